"""Can cloning alone solve PushT from this data, with nothing to see? Flow-matching chunks from the *true* state of the block.

python tests/interop/pusht_state_cloning.py DATASET [--keep all|success|N] [--chunk 8] [--execute 4] [--updates 6000] [--width 384]

DATASET is a LeRobot v3.0 PushT dataset with observation.environment_state; --keep N takes the N episodes of highest return (success
held to step 300). Prints success and mean return over 100 episodes of gym-pusht, seeds 300000 and up.
Set-up: python3 -m venv venv && venv/bin/pip install "gym-pusht==0.1.8" "pymunk<7" "numpy>=2,<2.3" pyarrow torch
"""

import argparse
import glob
import os
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
import gymnasium as gym
import gym_pusht  # noqa: F401
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

STEPS, EPISODES = 300, 100
args = argparse.ArgumentParser()
args.add_argument("dataset")
args.add_argument("--keep", default="all")
for name, value in [("chunk", 8), ("execute", 4), ("updates", 6000), ("width", 384), ("seed", 0)]:
    args.add_argument(f"--{name}", type=int, default=value)
args = args.parse_args()

files = sorted(glob.glob(f"{args.dataset}/data/**/*.parquet", recursive=True))
table = pa.concat_tables([pq.read_table(f) for f in files])
column = lambda name: np.array(table[name].to_pylist(), np.float32)
index, action = column("episode_index"), (column("action") - 256) / 128
agent, block = column("observation.state"), column("observation.environment_state")
reward, success = column("next.reward").ravel(), column("next.success").ravel() > 0


def features(agent, block):
    """The agent and the goal also as seen from the block: where contact happens."""
    c, s = np.cos(block[..., 2:3]), np.sin(block[..., 2:3])
    seen = lambda d: np.concatenate([c * d[..., :1] + s * d[..., 1:], c * d[..., 1:] - s * d[..., :1]], -1)
    parts = [(agent - 256) / 128, (block[..., :2] - 256) / 128, s, c]
    return np.concatenate([*parts, seen(agent - block[..., :2]) / 64, seen(256.0 - block[..., :2]) / 64], -1).astype(np.float32)


seen = features(agent, block)
episodes = [np.where(index == e)[0] for e in np.unique(index)]
returns = np.array([reward[i].sum() + (STEPS - len(i)) * success[i].any() for i in episodes])
succeeded = np.array([success[i].any() for i in episodes])
keep = {"all": np.arange(len(episodes)), "success": np.where(succeeded)[0]}.get(args.keep)
keep = np.argsort(-returns)[: int(args.keep)] if keep is None else keep
chunk = [np.minimum(np.arange(t, t + args.chunk), len(episodes[k]) - 1) for k in keep for t in range(len(episodes[k]))]
rows = [k for k in keep for _ in episodes[k]]
x = torch.tensor(np.concatenate([seen[episodes[k]] for k in keep]))
y = torch.tensor(np.stack([action[episodes[k][c]].ravel() for k, c in zip(rows, chunk)]))
print(f"behaviour: success {succeeded.mean():.2f}, return {returns.mean():.1f} of {STEPS}; cloning {len(keep)} episodes, {len(x)} steps")

torch.manual_seed(args.seed)
flat, w = 2 * args.chunk, args.width
frequencies = 2.0 ** torch.arange(4) * np.pi
net = nn.Sequential(nn.Linear(flat + 8 + x.shape[1], w), nn.SiLU(), nn.Linear(w, w), nn.SiLU(), nn.Linear(w, w), nn.SiLU(), nn.Linear(w, flat))
velocity = lambda a, tau, e: net(torch.cat([a, torch.sin(tau * frequencies), torch.cos(tau * frequencies), e], -1))
optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-4)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, args.updates)
for _ in range(args.updates):
    b = torch.randint(0, len(x), (256,))
    noise, tau = torch.randn(256, flat), torch.rand(256, 1)
    loss = ((velocity((1 - tau) * noise + tau * y[b], tau, x[b] + 0.01 * torch.randn_like(x[b])) - (y[b] - noise)) ** 2).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()

envs = [gym.make("gym_pusht/PushT-v0", obs_type="state").unwrapped for _ in range(EPISODES)]
observed = np.array([env.reset(seed=300_000 + i)[0] for i, env in enumerate(envs)])
total, done, solved = np.zeros(EPISODES), np.zeros(EPISODES, bool), np.zeros(EPISODES, bool)
for start in range(0, STEPS, args.execute):
    e, a = torch.tensor(features(observed[:, :2], observed[:, 2:5])), torch.randn(EPISODES, flat)
    with torch.no_grad():
        for k in range(6):
            a = a + velocity(a, torch.full((EPISODES, 1), k / 6), e) / 6
    actions = np.clip(a.numpy().reshape(EPISODES, args.chunk, 2) * 128 + 256, 0, 512).astype(np.float64)
    for step in range(start, min(start + args.execute, STEPS)):
        for i in np.where(~done)[0]:
            observed[i], r, ended, *_ = envs[i].step(actions[i, step - start])
            total[i] += r
            if ended:
                done[i] = solved[i] = True
                total[i] += STEPS - step - 1
print(f"clone: success {solved.mean():.2f}, return {total.mean():.1f} of {STEPS}")
