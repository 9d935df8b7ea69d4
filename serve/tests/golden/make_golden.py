"""Writes the messages of the golden tests with the real client's packer.

pip install "numpy<2.3" msgpack && pip install --no-deps openpi-client==0.1.2 && python make_golden.py
"""
import pathlib

import numpy as np
from openpi_client import msgpack_numpy

here = pathlib.Path(__file__).parent
image = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
request = {
    "observation.state": np.array([1.5, -2.0], np.float64),
    "observation.image": image,
    "images": {"cam_high": np.ascontiguousarray(image.transpose(2, 0, 1)), "depth": np.zeros((2, 4), np.uint16)},
    "observation/joint_position": np.array([0.25, 0.5, 0.75], np.float32),
    "counts": np.array([-1, 2], np.int64),
    "gripper": np.float32(0.5),
    "gripper_position": np.array(0.125, np.float64),
    "step": 7,
    "pose": [1, 2.5, True],
    "half": np.zeros(2, np.float16),
    "prompt": "push the block",
}
reply = {
    "actions": np.arange(6, dtype=np.float32).reshape(3, 2),
    "disagreement": 0.25,
    "value": 0.5,
    "server_timing": {"infer_ms": 1.5, "prev_total_ms": 2.5},
}
(here / "request.msgpack").write_bytes(msgpack_numpy.packb(request))
(here / "reply.msgpack").write_bytes(msgpack_numpy.packb(reply))
