"""The window cases of `benches` in plain numpy, from the same frames in a memory-mapped file.

    pip install numpy
    SCRATCH=… python tests/interop/windows_numpy.py [--serve] NAME      (after `benches windows_u8` with the same SCRATCH)

windows_u8          16 windows of 32 frames copied, one slice each, into the same u8 array [16, 32, 96, 96, 3] again and again
windows_f32         windows stacked, made f32, brought to -0.5 to 0.5: an array [16, 32, 96, 96, 3] in new memory
windows_f32_tuned   the same numbers in as few passes as numpy takes, into the same array again and again

Ours (windows_f32) is in new memory each time, and in blocks of 16x16 pixels, as the network takes it.
"""

import os
import sys

import numpy as np
from turns import serve

BATCH, WINDOW, SIZE = 16, 32, 96
NAME = sys.argv[-1]
scratch = os.environ["SCRATCH"]
frames = np.memmap(os.path.join(scratch, "frames.u8"), np.uint8, "r").reshape(-1, SIZE, SIZE, 3)
lengths = np.loadtxt(os.path.join(scratch, "lengths"), dtype=int)
firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
# Every start of a window that lies wholly inside an episode.
starts = np.concatenate([np.arange(a, a + n - WINDOW + 1) for a, n in zip(firsts, lengths) if n >= WINDOW])
rng = np.random.default_rng(0)
batch = np.empty((BATCH, WINDOW, SIZE, SIZE, 3), np.uint8)
floats = np.empty(batch.shape, np.float32)


def windows_u8():
    for i, start in enumerate(rng.choice(starts, BATCH)):
        batch[i] = frames[start : start + WINDOW]


def windows_f32():
    windows = np.stack([frames[start : start + WINDOW] for start in rng.choice(starts, BATCH)])
    return windows.astype(np.float32) / 255 - 0.5


def windows_f32_tuned():
    for i, start in enumerate(rng.choice(starts, BATCH)):
        np.divide(frames[start : start + WINDOW], np.float32(255), out=floats[i], dtype=np.float32)
    np.subtract(floats, np.float32(0.5), out=floats)


CASES = {"windows_u8": windows_u8, "windows_f32": windows_f32, "windows_f32_tuned": windows_f32_tuned}
serve(NAME, CASES[NAME])
