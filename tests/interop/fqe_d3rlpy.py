"""Values of policies that rehearsal serves, by d3rlpy's fitted-Q evaluation of the same recordings.

    pip install torch d3rlpy "gymnasium[mujoco]" h5py numpy openpi-client
    python fqe_d3rlpy.py REHEARSAL RUN FILE POLICY,POLICY… [UPDATES,UPDATES…] [SEED]

FILE is one of tests/interop/make_mujoco.py's, RUN was learned from it, POLICY is what `rehearsal serve RUN --policy` takes. The served policy
is asked once for every recorded state (of a policy with noise that is one draw for each), and `d3rlpy.ope.FQE` with its own
defaults (Le et al. 2019, arXiv:1903.08738; discount 0.99, rate 1e-4, batches of 100, a target every 100 updates) learns from the recorded
transitions with these answers. The value is the mean of Q(s, policy(s)) over the first states of all episodes, times
1 - 0.99: the units of rehearsal's report, and what tests/interop/ranking_table.py compares. A line of JSON per policy and number of
UPDATES (10000, as its tutorial has it); `cpu_s` counts asking, server included, and fitting.
"""

import contextlib
import json
import resource
import sys

import numpy as np
import torch
from control_robot import read
from known_outcomes import served
from openpi_client import msgpack_numpy
from websockets.sync.client import connect

torch.set_num_threads(1)

import d3rlpy  # noqa: E402
from d3rlpy.logging import NoopAdapterFactory  # noqa: E402

AHEAD = 64


def ask(port, states):
    """First action of the reply to each of the states `[N, S]`: `[N, A]`. So many requests are under way at a time."""
    packer, actions = msgpack_numpy.Packer(), []
    with connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None) as socket:
        socket.recv()
        for begin in range(0, len(states), AHEAD):
            some = states[begin : begin + AHEAD]
            for state in some:
                socket.send(packer.pack({"observation/state": state}))
            actions += [msgpack_numpy.unpackb(socket.recv())["actions"][0] for _ in some]
    return np.clip(np.array(actions, np.float32), -1, 1)


class Answered:
    """What fitted-Q evaluation asks of an algorithm: the actions that were answered for states, found by their bytes."""

    def __init__(self, states, actions):
        self.impl = self
        self.of = {state.tobytes(): action for state, action in zip(states, actions)}
        # d3rlpy puts zeros where an episode ended; nothing is bootstrapped there.
        self.of.setdefault(np.zeros_like(states[0]).tobytes(), np.zeros_like(actions[0]))

    def predict_best_action(self, observations):
        rows = observations.cpu().numpy()
        return torch.from_numpy(np.stack([self.of[row.tobytes()] for row in rows])).to(observations.device)


def processor_s():
    """Of this process and of the servers that have ended."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


def main():
    binary, run, path, policies, *rest = sys.argv[1:]
    stops = [int(stop) for stop in rest[0].split(",")] if rest else [10_000]
    seed = int(rest[1]) if len(rest) > 1 else 0
    name, recorded = read(path)
    joined = {c: np.concatenate([e[c][: len(e["rewards"])] for e in recorded]) for c in recorded[0]}
    states = joined["observations"].astype(np.float32)
    starts = np.stack([e["observations"][0] for e in recorded]).astype(np.float32)
    with contextlib.redirect_stdout(sys.stderr):
        dataset = d3rlpy.dataset.MDPDataset(
            observations=states,
            actions=joined["actions"],
            rewards=joined["rewards"],
            terminals=joined["terminations"].astype(np.float32),
            timeouts=joined["truncations"].astype(np.float32),
        )
    for policy in policies.split(","):
        began = processor_s()
        with served(binary, run, policy) as port:
            actions = ask(port, states)
        answered = Answered(states, actions)
        at_starts, gamma, done = np.stack([answered.of[s.tobytes()] for s in starts]), 0.99, 0
        with contextlib.redirect_stdout(sys.stderr):
            d3rlpy.seed(seed)
            fqe = d3rlpy.ope.FQE(algo=answered, config=d3rlpy.ope.FQEConfig(gamma=gamma))
        for stop in stops:
            with contextlib.redirect_stdout(sys.stderr):
                fqe.fit(
                    dataset,
                    n_steps=stop - done,
                    n_steps_per_epoch=stop - done,
                    logger_adapter=NoopAdapterFactory(),
                    show_progress=False,
                )
            done = stop
            value = (1 - gamma) * float(np.mean(fqe.predict_value(starts, at_starts)))
            result = {"algorithm": "d3rlpy fqe", "task": name, "policy": policy, "seed": seed, "updates": stop}
            print(json.dumps(result | {"return": round(value, 6), "cpu_s": round(processor_s() - began)}), flush=True)


if __name__ == "__main__":
    main()
