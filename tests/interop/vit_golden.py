"""What `transformers` says of one picture, for the tests of `world_model::vit`: tiny models with random weights.

Set-up, once:

    python3 -m venv .cache/vit
    .cache/vit/bin/pip install torch transformers safetensors numpy

    .cache/vit/bin/python tests/interop/vit_golden.py world_model/src/vit/golden

writes a folder per family: model.safetensors and config.json as they are published, and expected.json with the normalised
tokens of the last block for the picture of the test, enlarged to `image_size` pixels. Every parameter is random, LayerScale and
norms too, so that none may be left out. DINOv2 is resampled from 3×3 to 4×4 positions, with registers from 5×5 to 3×3; SigLIP
is stored as BF16 and CLIP as F16.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

FRAME = 10
frame = (np.arange(FRAME * FRAME * 3, dtype=np.int64) * 37 % 251).astype(np.float32).reshape(FRAME, FRAME, 3)
sizes = dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, patch_size=4)
published_dino = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
}


def pixels(size, mean, std):
    x = torch.from_numpy(frame).permute(2, 0, 1)[None]
    x = torch.nn.functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False) / 255.0
    return (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


def write(folder, model, size, mean, std, dtype, config, rename=lambda name: name, last=lambda tokens: tokens):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((torch.randn(parameter.shape, generator=generator) * 0.4).to(dtype).float())
        model = model.eval()
        tokens = last(model(pixel_values=pixels(size, mean, std), interpolate_pos_encoding=True).last_hidden_state)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {rename(k): v.to(dtype).contiguous() for k, v in model.state_dict().items() if not k.startswith("head.")}
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config) + "\n")
    expected = {"image_size": size, "tokens": [round(x, 6) for x in tokens.flatten().tolist()]}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


def published(name):
    for new, old in published_dino.items():
        name = name.replace(new, old)
    return name


out = Path(sys.argv[1])
imagenet = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]
stated = {"num_attention_heads": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-6}
dino = Dinov2Model(Dinov2Config(**sizes, image_size=12, mlp_ratio=2))
write(out / "dinov2", dino, 16, *imagenet, torch.float32, stated, rename=published)
registers = Dinov2WithRegistersConfig(**sizes, image_size=20, num_register_tokens=2, mlp_ratio=2)
registers = Dinov2WithRegistersModel(registers)
write(out / "registers", registers, 12, *imagenet, torch.float32, stated, rename=published)
siglip = SiglipVisionModel(SiglipVisionConfig(**sizes, intermediate_size=16, image_size=12))
write(
    out / "siglip",
    siglip,
    12,
    [0.5] * 3,
    [0.5] * 3,
    torch.bfloat16,
    {"vision_config": {"num_attention_heads": 2}},
    rename=lambda name: "vision_model." + name,
)
clip = CLIPVisionModel(CLIPVisionConfig(**sizes, intermediate_size=16, image_size=12))
write(
    out / "clip",
    clip,
    12,
    [0.48145466, 0.4578275, 0.40821073],
    [0.26862954, 0.26130258, 0.27577711],
    torch.float16,
    {"vision_config": {"num_attention_heads": 2, "hidden_act": "quick_gelu"}},
    last=getattr(clip, "vision_model", clip).post_layernorm,
)
