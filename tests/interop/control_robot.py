"""Drives gymnasium's MuJoCo robots with a policy: whole episodes of 1000 steps at most, with the same seeds for every policy.

    pip install "gymnasium[mujoco]" h5py numpy
    python control_robot.py FILE random     uniformly random actions: what a score of 0 is
    python control_robot.py FILE best       the best recorded episodes: what a score of 100 is

FILE is one of tests/interop/make_mujoco.py's; its attribute `task` names the environment. One line of JSON. `best` is
the mean return of the best episodes that together make up 10 % of the recorded steps.
"""

import json
import sys

import gymnasium
import h5py
import numpy as np

EPISODES, FIRST_SEED = 20, 10_000


def read(path):
    """Environment's name and episodes in the order of their numbers, each a dictionary of arrays."""
    with h5py.File(path) as f:
        names = sorted(f, key=lambda name: int(name.split("_")[1]))
        columns = ("observations", "actions", "rewards", "terminations", "truncations")
        return f.attrs["task"], [{c: f[name][c][:] for c in columns} for name in names]


def play(name, act, episodes=EPISODES):
    """Return and length of each episode; `act` maps float32 observations `[B, S]` of those that still move to actions `[B, A]`."""
    robots = [gymnasium.make(name) for _ in range(episodes)]
    observations = [robot.reset(seed=FIRST_SEED + i)[0] for i, robot in enumerate(robots)]
    returns, lengths, moving = np.zeros(episodes), np.zeros(episodes, dtype=int), list(range(episodes))
    while moving:
        actions = act(np.stack([observations[i] for i in moving]).astype(np.float32))
        ended = []
        for i, action in zip(moving, actions):
            observations[i], reward, terminated, truncated, _ = robots[i].step(np.clip(action, -1, 1))
            returns[i] += reward
            lengths[i] += 1
            if terminated or truncated:
                ended.append(i)
        moving = [i for i in moving if i not in ended]
    return {"returns": [round(float(r), 1) for r in returns], "mean_length": float(lengths.mean())}


def main():
    path, what = sys.argv[1:]
    name, recorded = read(path)
    if what == "best":
        recorded.sort(key=lambda e: -e["rewards"].sum())
        steps = np.cumsum([len(e["rewards"]) for e in recorded])
        kept = int(np.searchsorted(steps, 0.1 * steps[-1])) + 1
        found = {"returns": [round(float(e["rewards"].sum()), 1) for e in recorded[:kept]]}
    else:
        space, rng = gymnasium.make(name).action_space, np.random.default_rng(0)
        found = play(name, lambda o: rng.uniform(space.low, space.high, (len(o), *space.shape)), 100)
    print(json.dumps({"algorithm": what, "task": name} | found))


if __name__ == "__main__":
    main()
