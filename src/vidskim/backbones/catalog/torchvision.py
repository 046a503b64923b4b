"""Weights of torchvision: R3D-18, MC3-18, R(2+1)D-18 and S3D, hashes in the file names.

Read from torchvision's ``models/video/resnet.py`` and ``s3d.py``. They are tested at 15 frames per
second, every other frame of the usual 30. Its lists of categories equal
ours; a test compares them where torchvision is installed.
"""

from typing import Any

from vidskim.backbones.catalog.record import KINETICS400, TERMS, Weights
from vidskim.backbones.contract import ClipSpec
from vidskim.clips.transform import Transform

ORDER = "torchvision's list of categories, alphabetical"


def _weights(backbone: str, *, filename: str, size_megabytes: float, **fields: Any) -> Weights:
    return Weights(
        id="torchvision-k400",
        backbone=backbone,
        publisher="torchvision",
        url=f"https://download.pytorch.org/models/{filename}",
        sha256_prefix=filename.rpartition("-")[2].removesuffix(".pth"),
        size_megabytes=size_megabytes,
        license=f"BSD-3-Clause (torchvision); {TERMS}",
        dataset=KINETICS400,
        num_classes=400,
        class_order=ORDER,
        **fields,
    )


def _resnet(backbone: str, *, filename: str, size_megabytes: float, top1: float) -> Weights:
    return _weights(
        backbone,
        filename=filename,
        size_megabytes=size_megabytes,
        source=f"https://pytorch.org/vision/stable/models/generated/torchvision.models.video.{backbone}.html",
        clip=ClipSpec(num_frames=16, stride=2, size=(112, 112)),
        transform=Transform(resize_to=(128, 171), crop=(112, 112)),
        options={"mid": "torchvision"} if backbone == "r2plus1d_18" else {},
        protocol=(
            "Kinetics-400 validation, video level: mean over 5 clips x 1 center crop, 16 frames x "
            "stride 1 at 15 frames per second (stride 2 at 30), 112x112; torchvision's own figure"
        ),
        top1=top1,
    )


WEIGHTS: tuple[Weights, ...] = (
    _resnet("r3d_18", filename="r3d_18-b3b3357e.pth", size_megabytes=127.4, top1=0.63200),
    _resnet("mc3_18", filename="mc3_18-a90a0ba3.pth", size_megabytes=44.7, top1=0.63960),
    _resnet("r2plus1d_18", filename="r2plus1d_18-91a641e6.pth", size_megabytes=120.3, top1=0.67463),
    _weights(
        "s3d",
        filename="s3d-d76dad2f.pth",
        size_megabytes=32.0,
        source="https://pytorch.org/vision/stable/models/generated/torchvision.models.video.s3d.html",
        layout="torchvision",
        clip=ClipSpec(num_frames=128, stride=2, size=(224, 224)),
        transform=Transform(resize_to=(256, 256), crop=(224, 224)),
        protocol=(
            "Kinetics-400 validation, 1 clip x 1 center crop, 128 frames x stride 1 at 15 frames "
            "per second (stride 2 at 30), 224x224; torchvision's own figure"
        ),
        top1=0.68368,
    ),
)
