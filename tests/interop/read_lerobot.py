"""Opens converted datasets with LeRobot's own loader and compares pictures and vectors with where they came from.

    python -m venv lr && lr/bin/pip install "lerobot==0.4.*" h5py
    lr/bin/python tests/interop/read_lerobot.py CONVERTED=ORIGINAL [CONVERTED=ORIGINAL,ORIGINAL ...]

An ORIGINAL is a LeRobot dataset (v2.1 or v3.0) or an HDF5 file of the shape of make_hdf5.py; several, with commas, for a
dataset that was appended to. Prints a line per dataset and fails where a picture is not near its original.
"""

import json
import pathlib
import sys
import warnings

import av
import h5py
import numpy as np
import pyarrow.parquet as pq
from lerobot.datasets.lerobot_dataset import LeRobotDataset

# torchvision's about its future.
warnings.filterwarnings("ignore")

# Episodes looked at per original, and frames of each.
EPISODES, FRAMES = 6, 5
# Copied videos are the same bytes; encoded ones have lost a little.
LEAST_DB = 35.0


def spread(n, of):
    return sorted({round(i * (n - 1) / max(of - 1, 1)) for i in range(of)})


def video_frames(path, start, count):
    with av.open(str(path)) as container:
        frames = []
        for i, frame in enumerate(container.decode(video=0)):
            if start <= i < start + count:
                frames.append(frame.to_ndarray(format="rgb24"))
            if i + 1 >= start + count:
                break
        return frames


def hdf5_episodes(path):
    """(actions, {camera: frames}) of every demonstration, read when asked for."""
    with h5py.File(path) as f:
        demos = sorted(f["data"], key=lambda name: int(name.split("_")[1]))
    for demo in demos:
        def read(demo=demo):
            with h5py.File(path) as f:
                group = f["data"][demo]
                pictures = {f"observation.images.{k}": v[:] for k, v in group["obs"].items() if k.endswith("_image")}
                return group["actions"][:], pictures
        yield read


def v21_episodes(root, info):
    cameras = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    for line in (root / "meta/episodes.jsonl").read_text().splitlines():
        index = json.loads(line)["episode_index"]
        data = root / f"data/chunk-{index // 1000:03}/episode_{index:06}.parquet"
        videos = {key: root / f"videos/chunk-{index // 1000:03}/{key}/episode_{index:06}.mp4" for key in cameras}
        if not data.exists() or not all(video.exists() for video in videos.values()):
            continue
        def read(data=data, videos=videos):
            actions = np.stack(pq.read_table(data)["action"].to_numpy())
            return actions, {key: video_frames(video, 0, len(actions)) for key, video in videos.items()}
        yield read


def v3_episodes(root, info):
    cameras = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    columns = ["action", "episode_index", "frame_index"]
    rows = pq.read_table(sorted((root / "data").rglob("*.parquet")), columns=columns).to_pandas()
    listed = pq.read_table(sorted((root / "meta/episodes").rglob("*.parquet"))).to_pylist()
    for episode in listed:
        def read(episode=episode):
            mine = rows[rows.episode_index == episode["episode_index"]].sort_values("frame_index")
            pictures = {}
            for key in cameras:
                of = lambda name: episode[f"videos/{key}/{name}"]
                path = root / f"videos/{key}/chunk-{of('chunk_index'):03}/file-{of('file_index'):03}.mp4"
                start = round(of("from_timestamp") * info["fps"])
                pictures[key] = video_frames(path, start, episode["length"])
            return np.stack(mine.action.to_numpy()), pictures
        yield read


def episodes_of(path):
    if path.suffix in (".hdf5", ".h5"):
        return list(hdf5_episodes(path))
    info = json.loads((path / "meta/info.json").read_text())
    return list((v3_episodes if info["codebase_version"] == "v3.0" else v21_episodes)(path, info))


def psnr(a, b):
    return 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b.astype(float)) ** 2), 1e-9))


def compare(converted, originals):
    dataset = LeRobotDataset(f"rehearsal/{converted.name}", root=converted, video_backend="pyav")
    first, worst, compared, index = [0], np.inf, 0, 0
    for length in (episode["length"] for episode in dataset.meta.episodes):
        first.append(first[-1] + length)
    assert len(dataset) == first[-1], f"{len(dataset)} items, {first[-1]} listed"
    for original in originals:
        readers = episodes_of(original)
        for position in spread(len(readers), EPISODES):
            actions, pictures = readers[position]()
            for t in spread(len(actions), FRAMES):
                item = dataset[first[index + position] + t]
                assert np.allclose(item["action"].numpy(), actions[t], atol=1e-6), f"action {t} of {position}"
                for key in dataset.meta.camera_keys:
                    seen = np.rint(item[key].numpy().transpose(1, 2, 0) * 255)
                    worst = min(worst, psnr(seen, pictures[key][t]))
                    compared += 1
        index += len(readers)
    assert index == dataset.num_episodes, f"{dataset.num_episodes} episodes, {index} recorded"
    kinds = ", ".join(f"{key} {dataset.meta.features[key]['dtype']}" for key in dataset.meta.camera_keys)
    mean = {key: [round(float(x), 3) for x in np.ravel(dataset.meta.stats[key]["mean"])] for key in dataset.meta.camera_keys}
    near = "identical" if worst > 100 else f"the worst {worst:.1f} dB"
    print(f"{converted.name}: {dataset.num_episodes} episodes, {len(dataset)} items; {kinds}; {compared} pictures, {near}; mean {mean}")
    assert compared and worst >= LEAST_DB, f"a picture is {worst:.1f} dB from its original"


if __name__ == "__main__":
    for pair in sys.argv[1:]:
        converted, originals = pair.split("=")
        compare(pathlib.Path(converted), [pathlib.Path(original) for original in originals.split(",")])
