"""Writes episodes/tests/fixtures/h5py_robomimic.hdf5 as h5py does by default: pip install h5py numpy.

state = demo + t / 8 + element / 64, action = -state, pixel = 8 t + 2 column + channel; demo 0, 2 and 10, t 0 to 29.
Pictures are shuffled and compressed, states compressed, actions in one piece. `python make_hdf5.py FILE 64` writes FILE
instead, with pictures of 64x64 pixels over which the same brightness is spread.
"""

import json
import pathlib
import sys

import h5py
import numpy as np

out = pathlib.Path(__file__).parents[2] / "episodes/tests/fixtures/h5py_robomimic.hdf5"
size = 8
if len(sys.argv) > 2:
    out, size = pathlib.Path(sys.argv[1]), int(sys.argv[2])
steps = 30
t = np.arange(steps)[:, None]
pixels = 8 * t[..., None, None] + 16 * np.arange(size)[None, None, :, None] // size + np.arange(3)
pixels = np.broadcast_to(pixels, (steps, size, size, 3)).astype(np.uint8)

with h5py.File(out, "w") as f:
    data = f.create_group("data")
    data.attrs["env_args"] = json.dumps({"env_name": "Lift", "env_kwargs": {"control_freq": 20}})
    data.attrs["problem_info"] = json.dumps({"language_instruction": "pick up"})
    for n in (0, 2, 10):
        demo = data.create_group(f"demo_{n}")
        demo.attrs["num_samples"] = steps
        state = n + t / 8 + np.arange(3) / 64
        demo.create_dataset("actions", data=(-state[:, :2]).astype(np.float32))
        demo.create_dataset("dones", data=np.arange(steps) == steps - 1)
        obs = demo.create_group("obs")
        obs.create_dataset("eef_pos", data=state, compression="gzip", chunks=(8, 3))
        obs.create_dataset("front_image", data=pixels, chunks=(4, size, size, 3), compression="gzip", shuffle=True)
    f.create_group("mask").create_dataset("valid", data=np.array([b"demo_2", b"demo_10"]))
