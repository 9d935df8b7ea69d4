"""Trains one of d3rlpy's algorithms on one of tests/interop/make_mujoco.py's files and drives the robot with the outcome.

    pip install torch d3rlpy "gymnasium[mujoco]" h5py numpy
    python control_d3rlpy.py FILE bc|bc-best|td3+bc|iql|cql UPDATES [SEED] [cuda:0]

Learning rates, sizes and coefficients are its defaults, with batches of 256. Observations are standardised for all, as TD3+BC
asks for; IQL's rewards are scaled by the range of returns, as its authors do and as d3rlpy's reproduction does. It learns
from every episode, those that rehearsal holds out too; `bc-best` from the best by mean return-to-go, a quarter of the steps, as
`policy.learn_from = "best"` does. One line of JSON, of the policy after the last update.
"""

import json
import sys
import time

import numpy as np
import torch
from control_robot import play, read

torch.set_num_threads(1)

import d3rlpy  # noqa: E402
from d3rlpy.logging import NoopAdapterFactory  # noqa: E402
from d3rlpy.preprocessing import ReturnBasedRewardScaler, StandardObservationScaler  # noqa: E402


def best(recorded, share=0.25, gamma=0.99):
    """The episodes that went best, as many as make up this share of the steps."""

    def worth(episode):
        rewards = episode["rewards"]
        following = 0.0 if episode["terminations"][-1] else rewards[-1]
        returns = []
        for reward in rewards[::-1]:
            following = (1 - gamma) * reward + gamma * following
            returns.append(following)
        return np.mean(returns)

    wanted = share * sum(len(e["rewards"]) for e in recorded)
    kept = []
    for episode in sorted(recorded, key=worth, reverse=True):
        if kept and sum(len(e["rewards"]) for e in kept) >= wanted:
            break
        kept.append(episode)
    return kept


def main():
    path, which, updates, *rest = sys.argv[1:]
    updates, seed = int(updates), int(rest[0]) if rest else 0
    device = rest[1] if len(rest) > 1 else "cpu"
    d3rlpy.seed(seed)
    name, recorded = read(path)
    if which == "bc-best":
        recorded = best(recorded)
    joined = {c: np.concatenate([e[c][: len(e["rewards"])] for e in recorded]) for c in recorded[0]}
    dataset = d3rlpy.dataset.MDPDataset(
        observations=joined["observations"],
        actions=joined["actions"],
        rewards=joined["rewards"],
        terminals=joined["terminations"].astype(np.float32),
        timeouts=joined["truncations"].astype(np.float32),
    )
    common = {"batch_size": 256, "observation_scaler": StandardObservationScaler()}
    config = {
        "bc": lambda: d3rlpy.algos.BCConfig(**common),
        "bc-best": lambda: d3rlpy.algos.BCConfig(**common),
        "td3+bc": lambda: d3rlpy.algos.TD3PlusBCConfig(**common),
        "iql": lambda: d3rlpy.algos.IQLConfig(**common, reward_scaler=ReturnBasedRewardScaler(multiplier=1000.0)),
        "cql": lambda: d3rlpy.algos.CQLConfig(**common),
    }[which]()
    algorithm = config.create(device=device)
    began, cpu = time.time(), time.process_time()
    algorithm.fit(
        dataset,
        n_steps=updates,
        n_steps_per_epoch=min(updates, 5000),
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
    )
    result = {"algorithm": f"d3rlpy {which}", "task": name, "seed": seed, "updates": updates}
    result |= {"cpu_s": round(time.process_time() - cpu), "wall_s": round(time.time() - began), "device": device}
    print(json.dumps(result | play(name, algorithm.predict)))


if __name__ == "__main__":
    main()
