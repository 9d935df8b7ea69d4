"""Adds episodes to a dataset that LeRobot recorded itself, and lets LeRobot go on with it.

    python -m venv lr && lr/bin/pip install "lerobot==0.4.*"
    cargo build --release
    lr/bin/python tests/interop/append_to_lerobot.py target/release/rehearsal

LeRobot records three episodes and, elsewhere, two; `rehearsal convert --append` adds the two to the three; LeRobot opens all
five, compares them with what it recorded, records a sixth behind them and deletes the first. Fails where anything differs.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from lerobot.datasets.dataset_tools import delete_episodes
from lerobot.datasets.lerobot_dataset import LeRobotDataset

STEPS, SIZE = 40, (96, 128, 3)
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": (6,), "names": list("abcdef")},
    "action": {"dtype": "float32", "shape": (6,), "names": list("abcdef")},
    "observation.images.front": {"dtype": "video", "shape": SIZE, "names": ["height", "width", "channels"]},
}


def record(dataset, seed):
    """One episode; returns states `[T, 6]` and the mean brightness of every frame `[T]`."""
    rng = np.random.default_rng(seed)
    base = np.kron(rng.integers(40, 120, (12, 16, 3)), np.ones((8, 8, 1)))
    states, brightness = [], []
    for t in range(STEPS):
        picture = (base + 3 * t).astype(np.uint8)
        state = rng.normal(size=6).astype(np.float32)
        frame = {"observation.state": state, "action": -state, "observation.images.front": picture, "task": f"task {seed % 2}"}
        dataset.add_frame(frame)
        states.append(state)
        brightness.append(picture.mean() / 255)
    dataset.save_episode()
    return np.array(states), np.array(brightness)


def compare(dataset, recorded):
    assert dataset.num_episodes == len(recorded), f"{dataset.num_episodes} episodes instead of {len(recorded)}"
    for episode, (seed, (states, brightness)) in enumerate(recorded):
        for t in (0, STEPS // 2, STEPS - 1):
            item = dataset[episode * STEPS + t]
            assert item["task"] == f"task {seed % 2}" and item["episode_index"] == episode
            assert np.array_equal(item["observation.state"].numpy(), states[t])
            assert abs(item["observation.images.front"].mean().item() - brightness[t]) < 0.01
    states = np.concatenate([states for _, (states, _) in recorded])
    found = dataset.meta.stats["observation.state"]
    for name, expected in {"min": states.min(0), "max": states.max(0), "mean": states.mean(0), "std": states.std(0)}.items():
        assert np.allclose(found[name], expected, atol=1e-4), f"{name}: {found[name]} instead of {expected}"
    # Of several episodes LeRobot averages them, and so do we.
    assert np.all(np.abs(found["q50"] - np.median(states, 0)) < 0.3)


def main(rehearsal):
    with tempfile.TemporaryDirectory() as folder:
        roots = [pathlib.Path(folder) / name for name in ("old", "new", "fewer")]
        recorded = []
        for root, seeds in zip(roots, ([0, 1, 2], [3, 4])):
            dataset = LeRobotDataset.create("me/x", fps=30, features=FEATURES, root=root, robot_type="so101")
            recorded += [(seed, record(dataset, seed)) for seed in seeds]
            dataset.finalize()
        subprocess.run([rehearsal, "convert", roots[1], roots[0], "--append"], check=True)
        compare(LeRobotDataset("me/x", root=roots[0]), recorded)
        print("five episodes read back, statistics and all")
        # Since 0.5 LeRobot adds to datasets that it is told to resume.
        again = getattr(LeRobotDataset, "resume", LeRobotDataset)("me/x", root=roots[0])
        recorded.append((5, record(again, 5)))
        again.finalize()
        compare(LeRobotDataset("me/x", root=roots[0]), recorded)
        print("a sixth recorded behind them")
        fewer = delete_episodes(LeRobotDataset("me/x", root=roots[0]), [0], output_dir=roots[2], repo_id="me/y")
        compare(fewer, recorded[1:])
        print("the first deleted")


if __name__ == "__main__":
    main(sys.argv[1])
