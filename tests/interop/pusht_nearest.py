"""How far PushT's recorded episodes go without any learning: the chunk recorded at a similar moment, played again.

    python tests/interop/pusht_nearest.py DATASET [--choose gain|nearest] [--chunk 8] [--ahead 16] [--episodes 100]

From the *true* pose of the block, which a robot would not know. Among the 30 recorded moments nearest to the present one, `gain` takes
the one after which the recorded reward rose most within `--ahead` steps, less a price for being far away; `nearest` takes the nearest.
The same environment and seeds as the evaluation of served policies; success counts as a reward of 1 held to step 300.
Needs gym-pusht 0.1.8, numpy and pyarrow.
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

STEPS, NEAR, PRICE = 300, 30, 3.0

parser = argparse.ArgumentParser()
parser.add_argument("dataset")
parser.add_argument("--choose", choices=["gain", "nearest"], default="gain")
parser.add_argument("--chunk", type=int, default=8)
parser.add_argument("--ahead", type=int, default=16)
parser.add_argument("--episodes", type=int, default=100)
args = parser.parse_args()

files = sorted(glob.glob(os.path.join(args.dataset, "data", "*", "*.parquet")))
table = pa.concat_tables([pq.read_table(file) for file in files])
column = lambda name: np.array(table[name].to_pylist(), np.float32)  # noqa: E731
episode, reward = np.array(table["episode_index"]), column("next.reward").reshape(-1)
pusher, block, action = column("observation.state"), column("observation.environment_state"), column("action")


def features(pusher, block):
    angle = block[..., 2]
    parts = [pusher / 512, block[..., :2] / 512 * 1.5, 0.3 * np.stack([np.cos(angle), np.sin(angle)], -1)]
    return np.concatenate(parts, -1)


last = np.searchsorted(episode, episode, side="right") - 1
moments = np.where(last - np.arange(len(reward)) >= args.chunk)[0]
known = features(pusher, block)[moments]
gain = (reward[np.minimum(np.arange(len(reward)) + args.ahead, last)] - reward)[moments]


def chosen(observation):
    distance = ((known - features(observation[:2], observation[2:5])) ** 2).sum(1)
    if args.choose == "nearest":
        return moments[distance.argmin()]
    near = np.argpartition(distance, NEAR)[:NEAR]
    return moments[near[np.argmax(gain[near] - PRICE * np.sqrt(distance[near]))]]


env = gym.make("gym_pusht/PushT-v0", obs_type="state").unwrapped
successes, returns = [], []
for seed in range(300_000, 300_000 + args.episodes):
    observation, _ = env.reset(seed=seed)
    total, step, success = 0.0, 0, False
    while step < STEPS and not success:
        start = chosen(np.asarray(observation))
        for target in action[start : start + args.chunk]:
            observation, r, success, _, _ = env.step(np.clip(target, 0, 512))
            total, step = total + r, step + 1
            if success or step == STEPS:
                break
    successes.append(bool(success))
    returns.append(total + (STEPS - step if success else 0))
print(f"success {np.mean(successes):.2f}, return {np.mean(returns):.1f} of {STEPS}, {args.episodes} episodes")
