"""Weights of PySlowFast's MODEL_ZOO.md: Slow, I3D, SlowFast (Caffe2 pickles mostly) and X3D.

Tests take 10 clips x 3 crops at a larger size than training, the head sliding over the map. All
networks take RGB: the loaders of Something-Something and Charades read BGR images, and their
configurations turn them around (``DATA.REVERSE_INPUT_CHANNEL``).
"""

from dataclasses import replace

from vidskim.backbones.catalog.record import KINETICS400, TERMS, Weights
from vidskim.backbones.contract import ClipSpec
from vidskim.clips.transform import Transform

PUBLISHER = "PySlowFast"
FILES = "https://dl.fbaipublicfiles.com/pyslowfast"
PAGE = "https://github.com/facebookresearch/SlowFast/blob/main/MODEL_ZOO.md"
LICENSE = f"Apache-2.0 (PySlowFast); {TERMS}"
ORDER = "PySlowFast's kinetics_classnames.json, alphabetical"

WINDOW_224 = (7, 7)
"""The map of a clip of 224 pixels."""

CAFFE2 = "Caffe2"


def square_transform(size: int) -> Transform:
    """Short side and crop of one size, PySlowFast's mean and deviation."""
    return Transform(
        short_side=size, crop=(size, size), mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225)
    )


def kinetics_protocol(frames: str, size: int = 256) -> str:
    """How the figures of PySlowFast and PyTorchVideo on Kinetics-400 were measured."""
    return (
        f"Kinetics-400 validation, 10 clips x 3 crops of {size}x{size}, {frames} at 30 frames per "
        "second"
    )


def _kinetics(
    backbone: str, path: str, *, frames: str, num_frames: int, stride: int, top1: float
) -> Weights:
    return Weights(
        id="pyslowfast-k400",
        backbone=backbone,
        publisher=PUBLISHER,
        url=f"{FILES}/{path}",
        source=PAGE,
        license=LICENSE,
        dataset=KINETICS400,
        num_classes=400,
        class_order=ORDER,
        clip=ClipSpec(num_frames, stride, (256, 256)),
        head_window=WINDOW_224,
        transform=square_transform(256),
        protocol=kinetics_protocol(frames),
        top1=top1,
        layout=CAFFE2,
    )


def _x3d(
    backbone: str, clip: ClipSpec, *, head_window: tuple[int, int], top1: float, ten_views: float
) -> Weights:
    size = clip.size[0]
    frames = f"{clip.num_frames}x{clip.stride}"
    return Weights(
        id="pyslowfast-k400",
        backbone=backbone,
        publisher=PUBLISHER,
        url=f"{FILES}/x3d_models/{backbone}.pyth",
        source=PAGE,
        license=LICENSE,
        dataset=KINETICS400,
        num_classes=400,
        class_order=ORDER,
        clip=clip,
        head_window=head_window,
        transform=square_transform(size),
        protocol=f"{kinetics_protocol(frames, size)} (10 views: {ten_views:.1%})",
        top1=top1,
        layout=PUBLISHER,
    )


SLOWFAST_8X8 = _kinetics(
    "slowfast_r50_8x8",
    "model_zoo/kinetics400/SLOWFAST_8x8_R50.pkl",
    frames="8x8 (32x2)",
    num_frames=32,
    stride=2,
    top1=0.770,
)


def _stepwise(id: str, filename: str, *, top1: float) -> Weights:
    return replace(
        SLOWFAST_8X8,
        id=id,
        url=f"{FILES}/pyslowfast/model_zoo/multigrid/model_zoo/Kinetics/{filename}",
        top1=top1,
        layout=None,
    )


def _multigrid(id: str, path: str, *, on: str, num_classes: int, protocol: str) -> Weights:
    return replace(
        SLOWFAST_8X8,
        id=id,
        backbone="slowfast_r50_16x8",
        url=f"{FILES}/pyslowfast/model_zoo/multigrid/model_zoo/{path}",
        dataset=f"{KINETICS400}, then {on}",
        num_classes=num_classes,
        class_order=None,
        clip=ClipSpec(64, 2, (256, 256)),
        protocol=protocol,
        top1=None,
        layout=None,
    )


SSV2_PROTOCOL = (
    "Something-Something V2 validation, 1 clip x 1 crop of 256x256, 64 frames spread over the "
    "whole video"
)


def _charades(mean_precision: float) -> str:
    return (
        f"Charades validation, 10 clips x 3 crops of 256x256, 64x2, maximum over views: mAP "
        f"{mean_precision:.1%}; classes are told apart by sigmoid"
    )


WEIGHTS: tuple[Weights, ...] = (
    _kinetics(
        "slow_r50_4x16",
        "model_zoo/kinetics400/SLOWONLY_4x16_R50.pkl",
        frames="4x16",
        num_frames=4,
        stride=16,
        top1=0.727,
    ),
    _kinetics(
        "slow_r50_8x8",
        "model_zoo/kinetics400/SLOWONLY_8x8_R50.pkl",
        frames="8x8",
        num_frames=8,
        stride=8,
        top1=0.748,
    ),
    _kinetics(
        "i3d_r50_8x8",
        "model_zoo/kinetics400/I3D_8x8_R50.pkl",
        frames="8x8",
        num_frames=8,
        stride=8,
        top1=0.735,
    ),
    _kinetics(
        "i3d_r50_8x8_nl",
        "model_zoo/kinetics400/I3D_NLN_8x8_R50.pkl",
        frames="8x8",
        num_frames=8,
        stride=8,
        top1=0.740,
    ),
    _kinetics(
        "slowfast_r50_4x16",
        "model_zoo/kinetics400/SLOWFAST_4x16_R50.pkl",
        frames="4x16 (32x2)",
        num_frames=32,
        stride=2,
        top1=0.756,
    ),
    SLOWFAST_8X8,
    _stepwise("pyslowfast-k400-stepwise", "SLOWFAST_8x8_R50_stepwise.pkl", top1=0.768),
    _stepwise("pyslowfast-k400-multigrid", "SLOWFAST_8x8_R50_stepwise_multigrid.pkl", top1=0.766),
    replace(
        _multigrid(
            "pyslowfast-ssv2",
            "SSv2/SLOWFAST_16x8_R50.pkl",
            on="Something-Something V2",
            num_classes=174,
            protocol=SSV2_PROTOCOL,
        ),
        top1=0.630,
    ),
    replace(
        _multigrid(
            "pyslowfast-ssv2-multigrid",
            "SSv2/SLOWFAST_16x8_R50_multigrid.pkl",
            on="Something-Something V2",
            num_classes=174,
            protocol=SSV2_PROTOCOL.replace("256x256", "224x224"),
        ),
        clip=ClipSpec(64, 2, (224, 224)),
        head_window=None,
        transform=replace(square_transform(256), crop=(224, 224)),
        top1=0.635,
    ),
    _multigrid(
        "pyslowfast-charades",
        "Charades/SLOWFAST_16x8_R50.pkl",
        on="Charades",
        num_classes=157,
        protocol=_charades(0.389),
    ),
    _multigrid(
        "pyslowfast-charades-multigrid",
        "Charades/SLOWFAST_16x8_R50_multigrid.pkl",
        on="Charades",
        num_classes=157,
        protocol=_charades(0.386),
    ),
    _x3d("x3d_xs", ClipSpec(4, 12, (182, 182)), head_window=(5, 5), top1=0.695, ten_views=0.687),
    _x3d("x3d_s", ClipSpec(13, 6, (182, 182)), head_window=(5, 5), top1=0.735, ten_views=0.731),
    _x3d("x3d_m", ClipSpec(16, 5, (256, 256)), head_window=(7, 7), top1=0.762, ten_views=0.751),
    _x3d("x3d_l", ClipSpec(16, 5, (356, 356)), head_window=(10, 10), top1=0.775, ten_views=0.769),
)
