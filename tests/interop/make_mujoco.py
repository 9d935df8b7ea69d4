"""Writes state-only datasets of mixed quality from gymnasium's MuJoCo robots, as Minari keeps them in HDF5.

    pip install "gymnasium[mujoco]" h5py numpy
    python make_mujoco.py DIRECTORY [hopper halfcheetah walker2d]

The policies are its own: linear, on normalised observations, found by augmented random search (Mania et al. 2018,
arXiv:1803.07055) with a fixed seed. 20 % of the steps are of random actions, 40 % of the policy found in the first quarter of the search, 40 %
of the best one, each episode with noise of 0, 0.1 or 0.3 on the actions. Rewards, terminations (it fell) and
truncations (time was up) stand apart; `infos/success` is false throughout, so that falling is not taken for the goal. Another kind of processor rounds
otherwise, searches elsewhere and so makes other episodes: results belong to the files they were made with.
"""

import pathlib
import sys
import time

import gymnasium
import h5py
import numpy as np

STEPS, SEED = 100_000, 0
# Environment, steps of the search, directions, of which kept, step size, size of a perturbation, reward for being alive.
TASKS = {
    "hopper": ("Hopper-v5", 1_200_000, 8, 4, 0.015, 0.025, 1.0),
    "halfcheetah": ("HalfCheetah-v5", 2_500_000, 16, 8, 0.02, 0.03, 0.0),
    "walker2d": ("Walker2d-v5", 1_500_000, 16, 8, 0.03, 0.025, 1.0),
}


class Statistics:
    """Running mean and variance of observations (Welford)."""

    def __init__(self, size):
        self.count, self.mean, self.squares = 0, np.zeros(size), np.zeros(size)

    def add(self, x):
        self.count += 1
        delta = x - self.mean
        self.mean = self.mean + delta / self.count
        self.squares = self.squares + delta * (x - self.mean)

    def deviation(self):
        return np.maximum(np.sqrt(self.squares / max(self.count - 1, 1)), 1e-6) if self.count > 1 else np.ones_like(self.mean)


def search(env, steps, directions, kept, step_size, perturbation, alive, rng):
    """Policies `(weights, mean, deviation)` found in the first quarter and in all of the search, by their return."""
    statistics = Statistics(env.observation_space.shape[0])
    weights = np.zeros((env.action_space.shape[0], statistics.mean.size))
    used, medium, best = 0, None, (-np.inf, None)
    while used < steps:
        mean, deviation = statistics.mean, statistics.deviation()
        noise = rng.standard_normal((directions, *weights.shape))
        returns = np.zeros((directions, 2))
        lengths = 0
        for i in range(directions):
            for side, sign in enumerate((1, -1)):
                policy = (weights + sign * perturbation * noise[i]) / deviation
                observation, _ = env.reset(seed=int(rng.integers(2**31)))
                ended = False
                while not ended:
                    statistics.add(observation)
                    action = np.clip(policy @ (observation - mean), -1, 1)
                    observation, reward, terminated, truncated, _ = env.step(action)
                    ended = terminated or truncated
                    returns[i, side] += reward - alive
                    lengths += 1
        used += lengths
        # What the perturbed policies reached on average, alive or not, says how good the one in their middle is.
        score = returns.mean() + alive * lengths / (2 * directions)
        top = np.argsort(-returns.max(axis=1))[:kept]
        if score > best[0]:
            best = (score, (weights.copy(), mean.copy(), deviation.copy()))
        if medium is None and used > steps / 4:
            medium = best
        spread = returns[top].std() + 1e-6
        weights = weights + step_size / (kept * spread) * np.tensordot(returns[top, 0] - returns[top, 1], noise[top], 1)
    return medium, best


def episode(env, policy, noise, limit, rng):
    """One episode under `policy` (None acts at random), of at most `limit` steps; cut off there it is truncated."""
    observation, _ = env.reset(seed=int(rng.integers(2**31)))
    rows = {"observations": [observation], "actions": [], "rewards": [], "terminations": [], "truncations": []}
    size = env.action_space.shape[0]
    while True:
        if policy is None:
            action = rng.uniform(-1, 1, size)
        else:
            weights, mean, deviation = policy
            action = np.clip((weights / deviation) @ (observation - mean) + noise * rng.standard_normal(size), -1, 1)
        observation, reward, terminated, truncated, _ = env.step(action)
        truncated = truncated or (len(rows["actions"]) + 1 >= limit and not terminated)
        for name, value in zip(rows, (observation, action, reward, terminated, truncated)):
            rows[name].append(value)
        if terminated or truncated:
            return rows


def write(path, task):
    name, *numbers = TASKS[task]
    env, rng, began = gymnasium.make(name), np.random.default_rng(SEED), time.time()
    medium, best = search(env, *numbers, rng)
    print(f"{task}: medium {medium[0]:.0f}, best {best[0]:.0f} per episode, {time.time() - began:.0f} s of search", flush=True)
    episodes = []
    for policy, share in ((None, 0.2), (medium[1], 0.4), (best[1], 0.4)):
        left, returns = int(share * STEPS), []
        while left > 0:
            rows = episode(env, policy, rng.choice([0.0, 0.1, 0.3]), left, rng)
            left -= len(rows["actions"])
            returns.append(sum(rows["rewards"]))
            episodes.append(rows)
        print(f"  {len(returns)} episodes, return {np.mean(returns):.0f}", flush=True)
    temporary = path.with_suffix(".part")
    with h5py.File(temporary, "w") as f:
        f.attrs["control_rate_hz"] = 1.0 / env.unwrapped.dt
        f.attrs["task"] = name
        for i, j in enumerate(rng.permutation(len(episodes))):
            group = f.create_group(f"episode_{i}")
            for key, values in episodes[j].items():
                wide = np.float32 if key in ("observations", "actions", "rewards") else bool
                group.create_dataset(key, data=np.asarray(values, dtype=wide))
            group.create_dataset("infos/success", data=np.zeros(len(episodes[j]["observations"]), dtype=bool))
    temporary.rename(path)


if __name__ == "__main__":
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for wanted in sys.argv[2:] or TASKS:
        write(directory / f"{wanted}.hdf5", wanted)
