"""The ingest cases of `benches` with PyAV: the same files decoded and resized, frame after frame, into one array.

Set-up, once:

    python3 -m venv .cache/pyav
    .cache/pyav/bin/pip install av numpy pillow opencv-python-headless pyarrow
    DATA=… PYAV=.cache/pyav/bin/python bash benches/episodes.sh

`ingest_pyav.py [--serve] NAME` with NAME one of ingest_{pusht,g1}_{96,64}; DATA is the folder of pusht_v3 and
g1_bottle_v21. AV1 is decoded by the dav1d inside PyAV's FFmpeg, with its assembly. Before the first turn every common way is
timed once, and the one with the least processor time is used; standard error names it:

    sws      FFmpeg's own scaler from the decoder's planes to RGB at the size asked for, area averaging or bilinear
    opencv   FFmpeg's scaler to RGB, then cv2.resize with INTER_AREA
    pillow   the same, then Image.resize with BOX
    threads  1 (SLICE), or as many as FFmpeg takes (AUTO)

Unlike ours nothing is written to disk or synced: the array is in memory.
"""

import glob
import os
import sys
import time

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from turns import serve

NAME = sys.argv[-1]
DATA = os.environ["DATA"]
_, dataset, size = NAME.split("_")
size = int(size)
cv2.setNumThreads(1)


def videos():
    """Paths and the number of frames wanted of each: what the first sound episodes of the dataset cover."""
    if dataset == "pusht":
        root = os.path.join(DATA, "pusht_v3")
        listing = sorted(glob.glob(os.path.join(root, "meta/episodes/*/*.parquet")))[0]
        lengths = pq.read_table(listing, columns=["length"])["length"].to_pylist()
        return [(glob.glob(os.path.join(root, "videos/*/*/file-000.mp4"))[0], sum(lengths[:8]))]
    paths = sorted(glob.glob(os.path.join(DATA, "g1_bottle_v21/videos/*/*/*.mp4")))[:2]
    return [(path, av.open(path).streams.video[0].frames) for path in paths]


VIDEOS = videos()
FRAMES = sum(frames for _, frames in VIDEOS)
out = np.empty((FRAMES, size, size, 3), np.uint8)


def sws(interpolation):
    def resize(frame):
        return frame.reformat(size, size, "rgb24", interpolation=interpolation).to_ndarray()

    return resize


def opencv(frame):
    return cv2.resize(frame.to_ndarray(format="rgb24"), (size, size), interpolation=cv2.INTER_AREA)


def pillow(frame):
    return np.asarray(Image.fromarray(frame.to_ndarray(format="rgb24")).resize((size, size), Image.Resampling.BOX))


def ingest(resize, threads):
    i = 0
    for path, frames in VIDEOS:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.thread_count = threads
            for _, frame in zip(range(frames), container.decode(stream)):
                out[i] = resize(frame)
                i += 1
    assert i == FRAMES, f"{i} of {FRAMES} frames"


def seconds(way):
    began = time.process_time()
    ingest(*way)
    return time.process_time() - began


resizes = {"sws area": sws("AREA"), "sws bilinear": sws("BILINEAR"), "opencv": opencv, "pillow": pillow}
ways = {
    f"{name}, {threads[0]} {threads[1]}": (resize, threads)
    for threads in (("SLICE", 1), ("AUTO", 0))
    for name, resize in resizes.items()
}
spent = {name: seconds(way) for name, way in ways.items()}
best = min(spent, key=spent.get)
with av.open(VIDEOS[0][0]) as container:
    codec = container.streams.video[0].codec_context.codec.name
print(f"# {NAME}: {FRAMES} frames, PyAV {av.__version__} with {codec}, {best}", file=sys.stderr)
serve(NAME, lambda: ingest(*ways[best]))
