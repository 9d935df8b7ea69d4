"""Trains one of d3rlpy's algorithms on PushT's recorded states and drives the true gym-pusht with the outcome.

    pip install torch d3rlpy "gym-pusht==0.1.8" "pymunk<7" pyarrow numpy
    python control_pusht.py DATASET bc|td3+bc|iql|cql UPDATES [SEED] [EPISODES]

DATASET is a LeRobot v3.0 dataset with `observation.state`, `observation.environment_state` (the block's pose) and `next.reward`. What
an algorithm sees is what configs/pusht_state.toml gives rehearsal: where the pusher is and was a step ago, where the block lies, and the
cosine and sine of its angle; differences pusher to block too, so that nobody has to form them. Success is the end and worth 1 per step for ever, as there.
Everything else is as in control_d3rlpy.py. Seeds 300000 and up, 300 steps, as everywhere. One line of JSON.
"""

import glob
import json
import os
import sys
import time
import warnings

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
warnings.filterwarnings("ignore")

import gym_pusht  # noqa: F401, E402
import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)

import d3rlpy  # noqa: E402
from d3rlpy.logging import NoopAdapterFactory  # noqa: E402
from d3rlpy.preprocessing import ReturnBasedRewardScaler, StandardObservationScaler  # noqa: E402

FIRST_SEED, STEPS, GAMMA = 300_000, 300, 0.98


def see(pusher, before, block):
    """Pusher now and before `[B, 2]`, pose of the block `[B, 3]`, to observations `[B, 10]`."""
    turned = np.stack([np.cos(block[:, 2]), np.sin(block[:, 2])], 1) * 100
    return np.concatenate([pusher, pusher - before, block[:, :2], turned, pusher - block[:, :2]], 1).astype(np.float32)


def read(path):
    """Episodes up to their first success as one d3rlpy dataset; actions from -1 to 1."""
    files = sorted(glob.glob(f"{path}/data/*/*.parquet"))
    table = pa.concat_tables([pq.read_table(f) for f in files])
    column = lambda name: np.array(table[name].to_pylist(), np.float32)  # noqa: E731
    episode, succeeds = column("episode_index"), column("next.success").reshape(-1) > 0
    pusher, block, action = column("observation.state"), column("observation.environment_state"), column("action")
    reward, parts = column("next.reward").reshape(-1), []
    for index in np.unique(episode):
        rows = np.where(episode == index)[0]
        ended = np.where(succeeds[rows])[0]
        rows = rows[: ended[0] + 1] if len(ended) else rows
        rewards, terminal = reward[rows].copy(), np.zeros(len(rows), np.float32)
        if len(ended):
            rewards[-1], terminal[-1] = 1 / (1 - GAMMA), 1
        timeout = np.zeros(len(rows), np.float32)
        timeout[-1] = 1 - terminal[-1]
        before = pusher[np.concatenate([rows[:1], rows[:-1]])]
        parts.append((see(pusher[rows], before, block[rows]), action[rows] / 256 - 1, rewards, terminal, timeout))
    observations, actions, rewards, terminals, timeouts = (np.concatenate(p) for p in zip(*parts))
    return d3rlpy.dataset.MDPDataset(observations, actions, rewards, terminals, timeouts)


def play(act, episodes):
    """Share of successes and mean return, a success held to the last step."""
    robots = [gym.make("gym_pusht/PushT-v0", obs_type="state").unwrapped for _ in range(episodes)]
    now = np.stack([robot.reset(seed=FIRST_SEED + i)[0] for i, robot in enumerate(robots)])
    before, done, returns = now[:, :2].copy(), np.zeros(episodes, bool), np.zeros(episodes)
    for step in range(STEPS):
        actions = act(see(now[:, :2], before, now[:, 2:5]))
        for i in np.where(~done)[0]:
            before[i] = now[i, :2]
            now[i], reward, done[i], _, _ = robots[i].step(np.clip((actions[i] + 1) * 256, 0, 512))
            returns[i] += reward + (STEPS - step - 1) * done[i]
    return {"success": float(done.mean()), "return": round(float(returns.mean()), 1), "episodes": episodes}


def main():
    path, which, updates, *rest = sys.argv[1:]
    seed, episodes = int(rest[0]) if rest else 0, int(rest[1]) if len(rest) > 1 else 50
    d3rlpy.seed(seed)
    common = {"batch_size": 256, "observation_scaler": StandardObservationScaler()}
    discounted = common | {"gamma": GAMMA}
    config = {
        "bc": lambda: d3rlpy.algos.BCConfig(**common),
        "td3+bc": lambda: d3rlpy.algos.TD3PlusBCConfig(**discounted),
        "iql": lambda: d3rlpy.algos.IQLConfig(**discounted, reward_scaler=ReturnBasedRewardScaler(multiplier=1000.0)),
        "cql": lambda: d3rlpy.algos.CQLConfig(**discounted),
    }[which]()
    algorithm, began = config.create(device=False), time.process_time()
    algorithm.fit(
        read(path),
        n_steps=int(updates),
        n_steps_per_epoch=min(int(updates), 5000),
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
    )
    result = {"algorithm": f"d3rlpy {which}", "task": "PushT", "seed": seed, "updates": int(updates)}
    print(json.dumps(result | {"cpu_s": round(time.process_time() - began)} | play(algorithm.predict, episodes)))


if __name__ == "__main__":
    main()
