"""Anybody's checkpoint under one contract: who wrote it and what is in it, told by the file.

Give the NAME of a backbone and the PATH of a .pyth, .pth, .pkl or .safetensors; without them a file
is made as training scripts leave it.
"""

import sys
import tempfile
from pathlib import Path

import torch

import vidskim
from vidskim.backbones import split_at


def show(name: str, path: Path) -> None:
    backbone = vidskim.load_backbone(name, checkpoint=path)
    print(f"{backbone.name} with {backbone.num_classes} classes, {backbone.options}")
    print(f"takes {backbone.clip}; {backbone.transform}")

    counted = vidskim.count(backbone, backbone.clip.input_shape)
    print(f"{counted.macs / 1e9:.1f} GMACs, {counted.params / 1e6:.1f} M parameters")

    early, late = split_at(backbone, "res3")
    with torch.no_grad():
        half = early(torch.randn(1, 3, 16, 56, 56))
        print(f"after res3 {list(half.shape)}, at the end {list(late(half).shape)}")


def make_one(path: Path) -> None:
    state = vidskim.create_backbone("r2plus1d_18", num_classes=5).state_dict()
    torch.save({"model": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, path)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        show(sys.argv[1], Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "checkpoint.pth"
            make_one(made)
            show("r2plus1d_18", made)
