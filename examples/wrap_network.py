"""Any module is an encoder after one line: here a plain network, its clips chosen by SCSampler."""

import sys

import torch
from torch import Tensor, nn

import vidskim
from vidskim import ClipSpec, Transform


class Plain(nn.Module):
    """Three convolutions and a linear layer, as anyone would write them."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv3d(3, 16, 3, stride=(1, 2, 2), padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv3d(16, 32, 3, stride=2, padding=1), nn.ReLU())
        self.third = nn.Sequential(nn.Conv3d(32, 64, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` to logits ``[N, K]``."""
        return self.head(self.third(self.second(self.first(x))).mean((2, 3, 4)))


def main(path: str) -> None:
    encoder = vidskim.wrap(
        Plain(2),
        name="plain",
        clip=ClipSpec(num_frames=16, stride=2, size=(64, 64)),
        transform=Transform(short_side=64, crop=(64, 64)),
        classes=("still", "moving"),
    )
    answer = vidskim.recognize(path, model=encoder, method="scsampler", k=3)
    moments = [round(clip.clip.start_seconds, 1) for clip in answer.clips]
    print(answer.label, moments, f"{answer.cost.macs / answer.cost.dense_macs:.0%} of dense")


if __name__ == "__main__":
    main(sys.argv[1])
