"""Trains OfflineRL-Kit's ensemble dynamics on a Minari HDF5 file and measures them as rehearsal measures its own.

    git clone https://github.com/yihaosun1124/OfflineRL-Kit
    pip install torch h5py numpy
    PYTHONPATH=OfflineRL-Kit python dynamics_offlinerlkit.py FILE [EPOCHS]

Networks, optimiser and stopping are those of its run_example/run_mopo.py; EPOCHS bounds the training where given. The held-out episodes,
the units and the distribution of the starts are rehearsal's (seed 0, 15 % held out, quality.horizon 20); it may learn
from the observation after the last action too. One line of JSON: error by horizon of imagination as its `step` does it
(an elite drawn at each step, noise added) and of the elites' mean without noise, R² of the reward, seconds, megabytes.
"""

import json
import resource
import sys
import tempfile
import time
import types

import h5py
import numpy as np
import torch

# Imported by the package, needed by nothing here: a simulator and a writer of logs.
for name in ("gym", "gym.envs", "gym.envs.mujoco", "torch.utils.tensorboard"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["gym.envs.mujoco"].mujoco_env = types.SimpleNamespace(MujocoEnv=object)
sys.modules["torch.utils.tensorboard"].SummaryWriter = object

from offlinerlkit.dynamics import EnsembleDynamics  # noqa: E402
from offlinerlkit.modules import EnsembleDynamicsModel  # noqa: E402
from offlinerlkit.utils.scaler import StandardScaler  # noqa: E402

HORIZON, STARTS, MOST_WALKS, SEED, HELD_OUT = 20, 4096, 512, 0, 0.15
MASK = (1 << 64) - 1


def split(n, fraction, seed):
    """Positions to learn from and held out: episodes/src/split.rs."""

    def draw():
        nonlocal seed
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = draw() % (i + 1)
        order[i], order[j] = order[j], order[i]
    kept = n - min(max(int(n * fraction + 0.5), 1), n - 1)
    return sorted(order[:kept]), sorted(order[kept:])


class Quiet:
    """What the trainer asks of a logger."""

    def __init__(self, directory):
        self.model_dir, self.epochs, self.began = directory, 0, time.time()

    def log(self, *_):
        pass

    def logkv(self, key, value):
        self.last = {**getattr(self, "last", {}), key: float(value)}

    def set_timestep(self, epoch):
        self.epochs = epoch

    def dumpkvs(self, **_):
        print(f"epoch {self.epochs} {time.time() - self.began:.0f} s {self.last}", file=sys.stderr, flush=True)


def roll(step, episodes, starts, horizon):
    """States and rewards imagined from (episode, step) along the recorded actions: `[horizon, B, …]`, held past an end."""
    state = np.stack([episodes[e]["observations"][t] for e, t in starts])
    states, rewards = [], []
    for k in range(horizon):
        action = np.stack([episodes[e]["actions"][min(t + k, len(episodes[e]["actions"]) - 1)] for e, t in starts])
        state, reward = step(state, action)
        states.append(state)
        rewards.append(reward[:, 0])
    return np.stack(states), np.stack(rewards)


def main():
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    with h5py.File(sys.argv[1]) as f:
        names = sorted(f, key=lambda name: int(name.split("_")[1]))
        columns = ("observations", "actions", "rewards", "terminations")
        episodes = [{c: f[name][c][:] for c in columns} for name in names]
    train, held_out = split(len(episodes), HELD_OUT, SEED)
    data = {
        "observations": np.concatenate([episodes[e]["observations"][:-1] for e in train]),
        "next_observations": np.concatenate([episodes[e]["observations"][1:] for e in train]),
        "actions": np.concatenate([episodes[e]["actions"] for e in train]),
        "rewards": np.concatenate([episodes[e]["rewards"] for e in train])[:, None],
    }
    deviation = np.maximum(data["observations"].std(axis=0), 1e-3 * np.ptp(data["observations"], axis=0))
    model = EnsembleDynamicsModel(
        obs_dim=data["observations"].shape[1],
        action_dim=data["actions"].shape[1],
        hidden_dims=[200] * 4,
        num_ensemble=7,
        num_elites=5,
        weight_decays=[2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4],
        device="cpu",
    )
    never = lambda state, action, following: np.zeros((len(state), 1), dtype=bool)  # noqa: E731
    dynamics = EnsembleDynamics(model, torch.optim.Adam(model.parameters(), lr=1e-3), StandardScaler(), never)
    began = time.time()
    with tempfile.TemporaryDirectory() as directory:
        logger = Quiet(directory)
        dynamics.train(data, logger, max_epochs=int(sys.argv[2]) if len(sys.argv) > 2 else None)
    seconds = time.time() - began

    def sampled(state, action):
        following, reward, _, _ = dynamics.step(state, action)
        return following, reward

    @torch.no_grad()
    def averaged(state, action):
        mean, _ = model(dynamics.scaler.transform(np.concatenate([state, action], axis=1)))
        mean = mean[model.elites].mean(0).numpy()
        return state + mean[:, :-1], mean[:, -1:]

    rng = np.random.default_rng(SEED)
    # As rehearsal draws them: an episode longer than the horizon, then a step of it; the last recorded observation is not used.
    long = [e for e in held_out if len(episodes[e]["actions"]) > HORIZON]
    drawn = [long[i] for i in rng.integers(len(long), size=STARTS)]
    starts = [(e, int(rng.integers(len(episodes[e]["actions"]) - HORIZON))) for e in drawn]
    walks = [(e, t) for e in held_out for t in range(0, len(episodes[e]["actions"]), HORIZON)]
    walks = walks[:: -(-len(walks) // MOST_WALKS)]
    # `error`: horizon to mean squared error of the state and its standard error.
    result = {"epochs": logger.epochs, "train_s": round(seconds, 1), "held_out": len(held_out)}
    for name, step in (("sampled", sampled), ("averaged", averaged)):
        states, _ = roll(step, episodes, starts, HORIZON)
        error = {}
        for h in [h for h in range(1, HORIZON + 1) if h & (h - 1) == 0 or h % 5 == 0]:
            truth = np.stack([episodes[e]["observations"][t + h] for e, t in starts])
            rows = (((states[h - 1] - truth) / deviation) ** 2).mean(axis=1)
            error[h] = [float(rows.mean()), float(rows.std() / np.sqrt(len(rows)))]
        _, rewards = roll(step, episodes, walks, HORIZON)
        pairs = [
            (rewards[k, i], episodes[e]["rewards"][t + k])
            for i, (e, t) in enumerate(walks)
            for k in range(HORIZON)
            if t + k < len(episodes[e]["actions"])
        ]
        said, recorded = np.array(pairs).T
        result[name] = {
            "error_by_horizon": error,
            "reward_r2": float(1 - np.mean((said - recorded) ** 2) / np.var(recorded)),
        }
    result["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(result))


if __name__ == "__main__":
    main()
