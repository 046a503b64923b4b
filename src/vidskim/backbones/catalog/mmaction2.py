"""Weights of mmaction2 1.2 (open-mmlab), with eight digits of their hash in the file names.

Read from configs/recognition/*/metafile.yml and the configurations beside. Tests take 10 clips x 3
crops of 256 pixels; its heads average the whole map.
"""

from vidskim.backbones.catalog.pyslowfast import square_transform
from vidskim.backbones.catalog.record import KINETICS400, TERMS, Weights
from vidskim.backbones.contract import ClipSpec
from vidskim.clips.transform import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    KINETICS_MEAN,
    KINETICS_STD,
    Transform,
)

PUBLISHER = "mmaction2"
FILES = "https://download.openmmlab.com/mmaction"
PAGES = "https://github.com/open-mmlab/mmaction2/blob/main/configs/recognition"
LICENSE = f"Apache-2.0 (mmaction2); {TERMS}"
ORDER = "mmaction2's label_map_k400.txt (as a fork keeps it), alphabetical"

IMAGENET_256 = Transform(short_side=256, crop=(256, 256), mean=IMAGENET_MEAN, std=IMAGENET_STD)
"""123.675, 116.28, 103.53 and 58.395, 57.12, 57.375 on the scale of 0 to 255."""

KINETICS_256 = Transform(short_side=256, crop=(256, 256), mean=KINETICS_MEAN, std=KINETICS_STD)


def _weights(
    backbone: str,
    family: str,
    path: str,
    clip: ClipSpec,
    *,
    top1: float,
    id: str = "mmaction2-k400",
    pretrained: str = "",
    transform: Transform = IMAGENET_256,
    is_hashed: bool = True,
) -> Weights:
    size = clip.size[0]
    return Weights(
        id=id,
        backbone=backbone,
        publisher=PUBLISHER,
        url=f"{FILES}/{path}",
        source=f"{PAGES}/{family}/metafile.yml",
        sha256_prefix=path.rpartition("-")[2].removesuffix(".pth") if is_hashed else None,
        license=LICENSE,
        dataset=f"{pretrained}, then {KINETICS400}" if pretrained else KINETICS400,
        num_classes=400,
        class_order=ORDER,
        clip=clip,
        transform=transform,
        protocol=(
            f"Kinetics-400 validation (19796 videos), 10 clips x 3 crops of {size}x{size}, "
            f"{clip.num_frames}x{clip.stride}"
        ),
        top1=top1,
        layout=PUBLISHER,
    )


def _v1(family: str, config: str, ending: str) -> str:
    """Return the path of a file of release 1, where most are called as their configuration."""
    return f"v1.0/recognition/{family}/{config}/{config}_{ending}.pth"


CLIP_4X16 = ClipSpec(4, 16, (256, 256))
CLIP_8X8 = ClipSpec(8, 8, (256, 256))
CLIP_32X2 = ClipSpec(32, 2, (256, 256))

SLOW: tuple[Weights, ...] = (
    _weights(
        "slow_r50_4x16",
        "slowonly",
        "v1.0/recognition/slowonly/slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb/"
        "slowonly_r50_4x16x1_256e_8xb16_kinetics400-rgb_20220901-f6a40d08.pth",
        CLIP_4X16,
        top1=0.7268,
    ),
    _weights(
        "slow_r50_4x16",
        "slowonly",
        _v1(
            "slowonly",
            "slowonly_imagenet-pretrained-r50_8xb16-4x16x1-steplr-150e_kinetics400-rgb",
            "20220901-e7b65fad",
        ),
        CLIP_4X16,
        id="mmaction2-k400-imagenet",
        pretrained="ImageNet",
        top1=0.7483,
    ),
    _weights(
        "slow_r50_8x8",
        "slowonly",
        _v1("slowonly", "slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb", "20220901-2132fc87"),
        CLIP_8X8,
        top1=0.7482,
    ),
    _weights(
        "slow_r50_8x8",
        "slowonly",
        _v1(
            "slowonly",
            "slowonly_imagenet-pretrained-r50_8xb16-8x8x1-steplr-150e_kinetics400-rgb",
            "20220901-df42dc84",
        ),
        CLIP_8X8,
        id="mmaction2-k400-imagenet",
        pretrained="ImageNet",
        top1=0.7596,
        is_hashed=False,  # a file of other weights (with non-local blocks) claims the same digits
    ),
)

SLOWFAST: tuple[Weights, ...] = (
    _weights(
        "slowfast_r50_4x16",
        "slowfast",
        _v1("slowfast", "slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb", "20220901-701b0f6f"),
        CLIP_32X2,
        top1=0.7555,
    ),
    _weights(
        "slowfast_r50_8x8",
        "slowfast",
        _v1("slowfast", "slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb", "20220818-1cb6dfc8"),
        CLIP_32X2,
        top1=0.7680,
    ),
    _weights(
        "slowfast_r50_8x8",
        "slowfast",
        _v1("slowfast", "slowfast_r50_8xb8-8x8x1-steplr-256e_kinetics400-rgb", "20220818-b62a501f"),
        CLIP_32X2,
        id="mmaction2-k400-stepwise",
        top1=0.7665,
    ),
    _weights(
        "slowfast_r101_8x8",
        "slowfast",
        _v1("slowfast", "slowfast_r101_8xb8-8x8x1-256e_kinetics400-rgb", "20220901-9c0e09bd"),
        CLIP_32X2,
        top1=0.7865,
    ),
)

I3D: tuple[Weights, ...] = (
    _weights(
        "i3d_r50_8x8",
        "i3d",
        _v1(
            "i3d",
            "i3d_imagenet-pretrained-r50_8xb8-dense-32x2x1-100e_kinetics400-rgb",
            "20220812-9f46003f",
        ),
        CLIP_32X2,
        id="mmaction2-k400-imagenet-dense",
        pretrained="ImageNet",
        top1=0.7377,
    ),
    _weights(
        "i3d_r50_8x8",
        "i3d",
        _v1(
            "i3d",
            "i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb",
            "20220812-e213c223",
        ),
        CLIP_32X2,
        id="mmaction2-k400-imagenet",
        pretrained="ImageNet",
        top1=0.7347,
    ),
)

R2PLUS1D: tuple[Weights, ...] = (
    _weights(
        "r2plus1d_34",
        "r2plus1d",
        _v1("r2plus1d", "r2plus1d_r34_8xb8-32x2x1-180e_kinetics400-rgb", "20220812-4270588c"),
        CLIP_32X2,
        top1=0.7546,
    ),
    _weights(
        "r2plus1d_34",
        "r2plus1d",
        _v1("r2plus1d", "r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb", "20220812-47cfe041"),
        CLIP_8X8,
        id="mmaction2-k400-8x8",
        top1=0.6976,
    ),
)

TPN: tuple[Weights, ...] = (
    _weights(
        "tpn_r50_8x8",
        "tpn",
        _v1(
            "tpn",
            "tpn-slowonly_imagenet-pretrained-r50_8xb8-8x8x1-150e_kinetics400-rgb",
            "20220913-fed3f4c1",
        ),
        CLIP_8X8,
        id="mmaction2-k400-imagenet",
        pretrained="ImageNet",
        top1=0.7674,
    ),
    _weights(
        "tpn_r50_8x8",
        "tpn",
        _v1("tpn", "tpn-slowonly_r50_8xb8-8x8x1-150e_kinetics400-rgb", "20220913-97d0835d"),
        CLIP_8X8,
        top1=0.7420,
    ),
)

CSN: tuple[Weights, ...] = (
    _weights(
        "ir_csn_152",
        "csn",
        _v1(
            "csn",
            "ircsn_ig65m-pretrained-r152_8xb12-32x2x1-58e_kinetics400-rgb",
            "20220811-c7a3cc5b",
        ),
        CLIP_32X2,
        id="mmaction2-k400-ig65m",
        pretrained="IG-65M",
        top1=0.8287,
    ),
    _weights(
        "ir_csn_152",
        "csn",
        _v1(
            "csn",
            "ircsn_ig65m-pretrained-r152-bnfrozen_8xb12-32x2x1-58e_kinetics400-rgb",
            "20220811-7d1dacde",
        ),
        CLIP_32X2,
        id="mmaction2-k400-ig65m-bnfrozen",
        pretrained="IG-65M",
        top1=0.8284,
    ),
    _weights(
        "ir_csn_152",
        "csn",
        "recognition/csn/vmz/"
        "vmz_ircsn_from_scratch_r152_32x2x1_180e_kinetics400_rgb_20210617-5c933ae1.pth",
        CLIP_32X2,
        transform=KINETICS_256,
        top1=0.7653,
    ),
    _weights(
        "ir_csn_152",
        "csn",
        "recognition/csn/vmz/"
        "vmz_ircsn_sports1m_pretrained_r152_32x2x1_58e_kinetics400_rgb_20210617-b9b10241.pth",
        CLIP_32X2,
        id="mmaction2-k400-sports1m",
        pretrained="Sports-1M",
        transform=KINETICS_256,
        top1=0.7857,
    ),
    _weights(
        "ip_csn_152",
        "csn",
        "recognition/csn/vmz/"
        "vmz_ipcsn_ig65m_pretrained_r152_32x2x1_58e_kinetics400_rgb_20210617-c3be9793.pth",
        CLIP_32X2,
        id="mmaction2-k400-ig65m",
        pretrained="IG-65M",
        top1=0.8268,
    ),
    _weights(
        "ip_csn_152",
        "csn",
        "recognition/csn/vmz/"
        "vmz_ipcsn_from_scratch_r152_32x2x1_180e_kinetics400_rgb_20210617-d565828d.pth",
        CLIP_32X2,
        transform=KINETICS_256,
        top1=0.7780,
    ),
    _weights(
        "ip_csn_152",
        "csn",
        "recognition/csn/vmz/"
        "vmz_ipcsn_sports1m_pretrained_r152_32x2x1_58e_kinetics400_rgb_20210617-3367437a.pth",
        CLIP_32X2,
        id="mmaction2-k400-sports1m",
        pretrained="Sports-1M",
        transform=KINETICS_256,
        top1=0.7907,
    ),
)

# 114.75 and 57.38 on the scale of 0 to 255: PySlowFast's 0.45 and 0.225
X3D: tuple[Weights, ...] = (
    _weights(
        "x3d_s",
        "x3d",
        "v1.0/recognition/x3d/facebook/x3d_s_13x6x1_facebook-kinetics400-rgb_20201027-623825a0.pth",
        ClipSpec(13, 6, (182, 182)),
        transform=square_transform(182),
        top1=0.733,
    ),
    _weights(
        "x3d_m",
        "x3d",
        "v1.0/recognition/x3d/facebook/x3d_m_16x5x1_facebook-kinetics400-rgb_20201027-3f42382a.pth",
        ClipSpec(16, 5, (256, 256)),
        transform=square_transform(256),
        top1=0.764,
    ),
)

WEIGHTS = (*SLOW, *SLOWFAST, *I3D, *R2PLUS1D, *TPN, *CSN, *X3D)
