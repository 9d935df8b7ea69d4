"""Random windows through LeRobot's own dataset and a DataLoader: the case `windows_f32` of `benches`.

Set-up, once (Python 3.12; LeRobot 0.6.1 brings PyTorch and torchcodec or PyAV):

    python3.12 -m venv .cache/lerobot
    .cache/lerobot/bin/pip install 'lerobot[dataset]==0.6.1'
    DATA=… LEROBOT=.cache/lerobot/bin/python bash benches/episodes.sh

A batch is 16 windows of 32 frames of the first 40 episodes of pusht_v3, drawn at random: f32 from 0 to 1
[16, 32, 3, 96, 96], decoded from the video each time. One process (workers decode at the same cost beside it). The
quicker of torchcodec and PyAV is used; standard error names it.
"""

import os
import sys
import time

import torch
from turns import serve

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402

BATCH, WINDOW, EPISODES = 16, 32, 40
NAME = sys.argv[-1]
torch.manual_seed(0)


def batches(backend):
    rate = 10
    dataset = LeRobotDataset(
        "local/pusht_v3",
        root=os.path.join(os.environ["DATA"], "pusht_v3"),
        episodes=list(range(EPISODES)),
        delta_timestamps={"observation.image": [k / rate for k in range(WINDOW)]},
        video_backend=backend,
    )
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=0)

    def forever():
        while True:
            yield from loader

    return forever()


def seconds(source):
    next(source)
    began = time.process_time()
    next(source)
    return time.process_time() - began


sources, spent = {}, {}
for backend in ("torchcodec", "pyav"):
    try:
        sources[backend] = batches(backend)
        spent[backend] = seconds(sources[backend])
    except (ImportError, RuntimeError, OSError) as why:
        print(f"# {backend} does not work here: {str(why).splitlines()[0]}", file=sys.stderr)
best = min(spent, key=spent.get)
image = next(sources[best])["observation.image"]
assert image.shape == (BATCH, WINDOW, 3, 96, 96) and image.dtype == torch.float32, (image.shape, image.dtype)
print(f"# {NAME}: {best}, torch {torch.__version__}", file=sys.stderr)
serve(NAME, lambda: next(sources[best]))
