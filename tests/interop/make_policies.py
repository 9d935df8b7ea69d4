"""Small feed-forward policies as numpy, safetensors and torch write them: fixtures of the reader, and policies of a real size.

    python make_policies.py fixtures DIR            # stored.npz, packed.npz, policy.safetensors
    python make_policies.py policy FILE STATE ACTION  # a torch network of two hidden layers, .safetensors or .npz by its ending

The fixtures hold one network, W1 by columns and of 64 bits, everything else of 32 bits:
    W1 = [[1, -1], [0.5, 2], [0, -0.5]], b1 = [0, 1, -1], W2 = [[1, 0, 2], [-1, 1, 0]], b2 = [0.25, 0], activation relu.
At x = (1, 2): W1 x + b1 = (-1, 5.5, -2), relu (0, 5.5, 0), a = (0.25, 5.5).
"""

import sys
from pathlib import Path

import numpy as np

W1 = np.array([[1, -1], [0.5, 2], [0, -0.5]], dtype=np.float64)
REST = {
    "layers.0.bias": np.array([0, 1, -1], dtype=np.float32),
    "layers.1.weight": np.array([[1, 0, 2], [-1, 1, 0]], dtype=np.float32),
    "layers.1.bias": np.array([0.25, 0], dtype=np.float32),
}


def fixtures(directory: Path) -> None:
    from safetensors.numpy import save_file

    by_columns = {"layers.0.weight": np.asfortranarray(W1), **REST, "activation": np.array("relu")}
    np.savez(directory / "stored.npz", **by_columns)
    np.savez_compressed(directory / "packed.npz", **by_columns)
    save_file({"layers.0.weight": W1, **REST}, directory / "policy.safetensors", metadata={"activation": "relu"})


def policy(path: Path, state: int, action: int) -> None:
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(state, 64), torch.nn.GELU(), torch.nn.Linear(64, 64), torch.nn.GELU(), torch.nn.Linear(64, action)
    )
    words = {"activation": "gelu", "final_activation": "tanh", "input": "state_normalised"}
    tensors = {**net.state_dict(), "action_scale": torch.full((action,), 0.5), "action_offset": torch.zeros(action)}
    if path.suffix == ".npz":
        np.savez(path, **{name: t.numpy() for name, t in tensors.items()}, **{k: np.array(v) for k, v in words.items()})
    else:
        save_file(tensors, path, metadata=words)
    x = torch.linspace(-1, 1, state)
    print("at", [round(v, 4) for v in x.tolist()], "it answers", [round(v, 6) for v in (0.5 * torch.tanh(net(x))).tolist()])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fixtures", directory]:
            fixtures(Path(directory))
        case ["policy", path, state, action]:
            policy(Path(path), int(state), int(action))
        case _:
            sys.exit(__doc__)
