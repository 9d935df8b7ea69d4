"""How far planning goes on PushT where the block's pose is known: dynamics, reward and values learned from the recording, and a search.

    python tests/interop/pusht_planning.py DATASET [--episodes 20] [--candidates 128] [--replan 4] [--value-weight 1]
        [--pixels-off 0] [--radians-off 0] [--updates 6000]

Four perceptrons foresee pusher and block together, half of what they learn from is near the block; the reward is read off the pose by
another; the value behind the horizon is an expectile of 8-step returns (IQL, Kostrikov et al. 2022). A cross-entropy search over four
knots of 16 steps acts in the true gym-pusht, seeds 310000 and up; success counts as a reward of 1 held to step 300.
`--pixels-off` and `--radians-off` put noise on the observed pose, `--value-weight 0` leaves the value out.
Needs torch, gym-pusht 0.1.8, numpy and pyarrow; one thread, 5 to 10 minutes.
"""

import argparse
import glob
import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import gymnasium as gym
import gym_pusht  # noqa: F401  (registers the environment)
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F

STEPS, HORIZON, KNOTS, ROUNDS, GAMMA, EXPECTILE, N_STEP, MEMBERS = 300, 16, 4, 3, 0.98, 0.8, 8, 4

parser = argparse.ArgumentParser()
parser.add_argument("dataset")
for name, default in (("episodes", 20), ("candidates", 128), ("replan", 4), ("updates", 6000)):
    parser.add_argument(f"--{name}", type=int, default=default)
for name, default in (("value-weight", 1.0), ("pixels-off", 0.0), ("radians-off", 0.0)):
    parser.add_argument(f"--{name}", type=float, default=default)
args = parser.parse_args()
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(0)

files = sorted(glob.glob(os.path.join(args.dataset, "data", "*", "*.parquet")))
table = pa.concat_tables([pq.read_table(file) for file in files])
column = lambda name: np.array(table[name].to_pylist(), np.float32)  # noqa: E731
episode, reward = np.array(table["episode_index"]), column("next.reward").reshape(-1)
success = np.array(table["next.success"].to_pylist()).reshape(-1).astype(bool)
pusher, block, action = column("observation.state"), column("observation.environment_state"), column("action")
steps = np.arange(len(episode))
first, last = np.searchsorted(episode, episode), np.searchsorted(episode, episode, side="right") - 1
for e in np.unique(episode):
    block[episode == e, 2] = np.unwrap(block[episode == e, 2])
before = np.maximum(steps - 1, first)
near = np.linalg.norm(pusher - block[:, :2], axis=1) < 130
tensor = lambda x: torch.tensor(np.asarray(x, np.float32))  # noqa: E731
PUSHER, BLOCK, ACTION, REWARD = map(tensor, (pusher, block, action, reward))


class Perceptrons(torch.nn.Module):
    """`members` perceptrons side by side: [K, B, inputs] to [K, B, outputs]."""

    def __init__(self, members, inputs, outputs, width=256, layers=3):
        super().__init__()
        sizes = [inputs] + [width] * layers + [outputs]
        scale = [1.0] * layers + [0.1]
        pairs = list(zip(sizes, sizes[1:], scale))
        self.weights = torch.nn.ParameterList(torch.randn(members, i, o) / i**0.5 * s for i, o, s in pairs)
        self.biases = torch.nn.ParameterList(torch.zeros(members, 1, o) for _, o, _ in pairs)

    def forward(self, x):
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(bias, x, weight)
            x = F.silu(x) if i + 1 < len(self.weights) else x
        return x


def turned(angle):
    return torch.cos(angle)[..., None], torch.sin(angle)[..., None]


def in_block_frame(v, angle):
    c, s = torch.cos(angle), torch.sin(angle)
    return torch.stack([c * v[..., 0] + s * v[..., 1], c * v[..., 1] - s * v[..., 0]], -1)


def seen(p, speed, b, a):
    parts = [(p - 256) / 150, speed / 30, (a - 256) / 150, (a - p) / 100, (p - b[..., :2]) / 100, (b[..., :2] - 256) / 150]
    return torch.cat([*parts, *turned(b[..., 2])], -1)


SCALE = torch.tensor([10.0, 10.0, 0.1, 20.0, 20.0])


def step(dynamics, p, speed, b, a):
    change = dynamics(seen(p, speed, b, a)) * SCALE
    return p + change[..., 3:], change[..., 3:], b + change[..., :3]


def of_pose(b):
    return torch.cat([(b[..., :2] - 256) / 60, *turned(b[..., 2]), *turned(2 * b[..., 2])], -1)


def of_state(p, b):
    off = p - b[..., :2]
    return torch.cat([(p - 256) / 150, off / 100, in_block_frame(off, b[..., 2]) / 100, (b[..., :2] - 256) / 150, *turned(b[..., 2])], -1)


def learn(network, updates, peak, loss):
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=1e-5)
    for update in range(updates):
        optimiser.param_groups[0]["lr"] = peak * min(1.0, update / 200) * min(1.0, 2.5 * (1 - update / updates) + 0.02)
        optimiser.zero_grad()
        loss().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()


dynamics = Perceptrons(MEMBERS, 14, 5)
windows = np.where(steps + 4 <= last)[0]
touching = windows[near[windows]]


def foreseen():
    draw = lambda: np.where(rng.random(128) < 0.5, rng.choice(windows, 128), rng.choice(touching, 128))  # noqa: E731
    at = np.stack([draw() for _ in range(MEMBERS)])
    p, speed, b, total = PUSHER[at], PUSHER[at] - PUSHER[before[at]], BLOCK[at], 0.0
    for ahead in range(4):
        p, speed, b = step(dynamics, p, speed, b, ACTION[at + ahead])
        of_block, of_pusher = (b - BLOCK[at + ahead + 1]) / SCALE[:3], (p - PUSHER[at + ahead + 1]) / SCALE[3:]
        total = total + 5 * F.smooth_l1_loss(of_block, torch.zeros_like(of_block), beta=0.1)
        total = total + F.smooth_l1_loss(of_pusher, torch.zeros_like(of_pusher), beta=0.1)
    return total / 4


learn(dynamics, args.updates, 1e-3, foreseen)

paid = Perceptrons(1, 6, 1)
inside = np.where(steps < last)[0]
high = inside[reward[inside] > 0.3]


def told():
    at = np.where(rng.random(512) < 0.5, rng.choice(inside, 512), rng.choice(high, 512))
    return F.smooth_l1_loss(paid(of_pose(BLOCK[at + 1])[None])[0, :, 0], REWARD[at], beta=0.02)


learn(paid, 4000, 2e-3, told)

value, slow = Perceptrons(3, 10, 1), Perceptrons(3, 10, 1)
slow.load_state_dict(value.state_dict())
STATE = of_state(PUSHER, BLOCK)


def worth():
    at = rng.choice(len(steps), 256)
    sums, discount, going, k = np.zeros(256), np.ones(256), np.ones(256), at.copy()
    for _ in range(N_STEP):
        sums += going * discount * (1 - GAMMA) * reward[k] + going * success[k] * discount * GAMMA
        going *= ~success[k]
        discount *= GAMMA
        k = np.minimum(k + 1, last[k])
    with torch.no_grad():
        for mine, its in zip(slow.parameters(), value.parameters()):
            mine.lerp_(its, 0.01)
        target = tensor(sums) + tensor(going * discount) * slow(STATE[k].expand(3, -1, -1)).min(0)[0][:, 0]
    off = target - value(STATE[at].expand(3, -1, -1))[..., 0]
    return (torch.where(off > 0, EXPECTILE, 1 - EXPECTILE) * off**2).mean()


learn(value, 8000, 1e-3, worth)

at_step, at_knot = torch.arange(HORIZON) / (HORIZON - 1), torch.linspace(0, 1, KNOTS)
LINES = torch.clamp(1 - (at_step[:, None] - at_knot[None]).abs() * (KNOTS - 1), min=0)


@torch.no_grad()
def scores(p, speed, b, plans):
    """[E, N] of plans [E, N, H, 2]; each member imagines for itself, and their mean is paid."""
    count = plans.shape[1]
    wide = lambda x: x[:, None].expand(-1, count, -1).reshape(1, len(p) * count, -1).expand(MEMBERS, -1, -1)  # noqa: E731
    p, speed, b, plans = wide(p), wide(speed), wide(b), plans.reshape(-1, HORIZON, 2)
    total, alive, discount = torch.zeros(len(plans)), torch.ones(len(plans)), 1.0
    for ahead in range(HORIZON):
        p, speed, b = step(dynamics, p, speed, b, plans[:, ahead].expand(MEMBERS, -1, -1))
        r = paid(of_pose(b.mean(0))[None])[0, :, 0].clamp(0, 1)
        total += discount * (1 - GAMMA) * (alive * r + 1 - alive)
        alive *= (r <= 0.985).float()
        discount *= GAMMA
    end = slow(of_state(p.mean(0), b.mean(0)).expand(3, -1, -1)).mean(0)[:, 0]
    return (total + discount * (args.value_weight * alive * end + 1 - alive)).reshape(-1, count)


envs = [gym.make("gym_pusht/PushT-v0", obs_type="state").unwrapped for _ in range(args.episodes)]
now = np.stack([env.reset(seed=310_000 + i)[0] for i, env in enumerate(envs)]).astype(np.float32)
was, done, returns = now[:, :2].copy(), np.zeros(len(envs), bool), np.zeros(len(envs))
means = torch.zeros(len(envs), KNOTS, 2) + tensor(now[:, None, :2])
for begun in range(0, STEPS, args.replan):
    live = np.where(~done)[0]
    if len(live) == 0:
        break
    noisy = now[live, 2:5] + rng.normal(size=(len(live), 3)) * [args.pixels_off, args.pixels_off, args.radians_off]
    p, b, speed = tensor(now[live, :2]), tensor(noisy), tensor(now[live, :2] - was[live])
    mean, spread, n = means[live], torch.full((len(live), KNOTS, 2), 80.0), args.candidates
    for tried in range(ROUNDS):
        knots = mean[:, None] + spread[:, None] * torch.randn(len(live), n, KNOTS, 2)
        if tried == 0:
            anywhere = torch.rand(len(live), n // 2, KNOTS, 2) * 512
            knots[:, : n // 2] = p[:, None, None] + (anywhere - p[:, None, None]) * torch.rand(len(live), n // 2, 1, 1) * 0.8
        knots = knots.clamp(0, 512)
        knots[:, -1] = mean
        top = scores(p, speed, b, torch.einsum("hk,enkd->enhd", LINES, knots)).topk(max(6, n // 10), 1)
        elites = torch.gather(knots, 1, top.indices[:, :, None, None].expand(-1, -1, KNOTS, 2))
        weights = torch.softmax((top.values - top.values[:, :1]) / (top.values.std(1, keepdim=True) + 1e-6), 1)[:, :, None, None]
        centre = (weights * elites).sum(1)
        spread = (weights * (elites - centre[:, None]) ** 2).sum(1).sqrt().clamp(8, 80)
        mean = centre if tried + 1 < ROUNDS else elites[:, 0]
    plan = torch.einsum("hk,ekd->ehd", LINES, mean).numpy()
    for k in range(args.replan):
        for row, i in enumerate(live):
            if not done[i]:
                was[i] = now[i, :2]
                now[i], r, done[i], _, _ = envs[i].step(np.clip(plan[row, k], 0, 512))
                returns[i] += r + (STEPS - begun - k - 1) * done[i]
    place = (torch.arange(KNOTS) + args.replan * (KNOTS - 1) / (HORIZON - 1)).clamp(max=KNOTS - 1)
    low = place.floor().long()
    share = (place - low)[None, :, None]
    means[live] = mean[:, low] * (1 - share) + mean[:, (low + 1).clamp(max=KNOTS - 1)] * share
print(f"success {done.mean():.2f}, return {returns.mean():.1f} of {STEPS}, {len(envs)} episodes")
