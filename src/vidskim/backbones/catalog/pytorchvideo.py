"""Weights of PyTorchVideo's hub, trained and tested with PySlowFast's workflow.

Read from docs/source/model_zoo.md and pytorchvideo/models/hub (X3D-L is in the latter alone). Its
networks take RGB: the loaders of Something-Something and Charades turn frames to BGR
(``rgb2bgr``), their configurations back again (``DATA.REVERSE_INPUT_CHANNEL``).
"""

from vidskim.backbones.catalog import pyslowfast
from vidskim.backbones.catalog.record import KINETICS400, TERMS, Weights
from vidskim.backbones.contract import ClipSpec

PUBLISHER = "PyTorchVideo"
FILES = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo"
PAGE = "https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md"
LICENSE = f"Apache-2.0 (PyTorchVideo); {TERMS}"

DATASETS = {"k400": "kinetics", "ssv2": "ssv2", "charades": "charades"}
"""Our short names to its folders."""


def _weights(
    backbone: str,
    filename: str,
    clip: ClipSpec,
    *,
    top1: float,
    frames: str | None = None,
    head_window: tuple[int, int] = pyslowfast.WINDOW_224,
) -> Weights:
    size = clip.size[0]
    frames = frames or f"{clip.num_frames}x{clip.stride}"
    return Weights(
        id="pytorchvideo-k400",
        backbone=backbone,
        publisher=PUBLISHER,
        url=f"{FILES}/kinetics/{filename}",
        source=PAGE,
        license=LICENSE,
        dataset=KINETICS400,
        num_classes=400,
        class_order=pyslowfast.ORDER,
        clip=clip,
        head_window=head_window,
        transform=pyslowfast.square_transform(size),
        protocol=pyslowfast.kinetics_protocol(frames, size),
        top1=top1,
        layout=PUBLISHER,
    )


def _tuned(backbone: str, filename: str, clip: ClipSpec, *, on: str, figure: float) -> Weights:
    """Fine-tuned on Something-Something V2 or Charades; the figure is top-1 or mAP."""
    is_ssv2 = on == "ssv2"
    if is_ssv2:
        protocol = (
            "Something-Something V2 validation, 1 clip x 3 crops of 256x256, "
            f"{clip.num_frames} frames spread over the whole video"
        )
    else:
        protocol = (
            f"Charades validation, 10 clips x 3 crops of 256x256, {clip.num_frames}x{clip.stride}, "
            f"maximum over views: mAP {figure:.2%}; classes are told apart by sigmoid"
        )
    return Weights(
        id=f"pytorchvideo-{on}",
        backbone=backbone,
        publisher=PUBLISHER,
        url=f"{FILES}/{DATASETS[on]}/{filename}",
        source=PAGE,
        license=LICENSE,
        dataset=f"{KINETICS400}, then {'Something-Something V2' if is_ssv2 else 'Charades'}",
        num_classes=174 if is_ssv2 else 157,
        clip=clip,
        head_window=pyslowfast.WINDOW_224,
        transform=pyslowfast.square_transform(256),
        protocol=protocol,
        top1=figure if is_ssv2 else None,
        layout=PUBLISHER,
    )


SLOW_CLIP = ClipSpec(8, 8, (256, 256))
FAST_CLIP = ClipSpec(32, 2, (256, 256))

WEIGHTS: tuple[Weights, ...] = (
    _weights("slow_r50_4x16", "SLOW_4x16_R50.pyth", ClipSpec(4, 16, (256, 256)), top1=0.7240),
    _weights("slow_r50_8x8", "SLOW_8x8_R50.pyth", SLOW_CLIP, top1=0.7458),
    _tuned("slow_r50_8x8", "SLOW_8x8_R50.pyth", SLOW_CLIP, on="ssv2", figure=0.6004),
    _tuned("slow_r50_8x8", "SLOW_8x8_R50.pyth", SLOW_CLIP, on="charades", figure=0.3472),
    _weights("i3d_r50_8x8", "I3D_8x8_R50.pyth", SLOW_CLIP, top1=0.7327),
    _weights(
        "slowfast_r50_4x16",
        "SLOWFAST_4x16_R50.pyth",
        FAST_CLIP,
        top1=0.7534,
        frames="4x16 (32x2)",
    ),
    _weights(
        "slowfast_r50_8x8", "SLOWFAST_8x8_R50.pyth", FAST_CLIP, top1=0.7694, frames="8x8 (32x2)"
    ),
    _tuned("slowfast_r50_8x8", "SLOWFAST_8x8_R50.pyth", FAST_CLIP, on="ssv2", figure=0.6168),
    _tuned("slowfast_r50_8x8", "SLOWFAST_8x8_R50.pyth", FAST_CLIP, on="charades", figure=0.3724),
    _weights(
        "slowfast_r101_8x8", "SLOWFAST_8x8_R101.pyth", FAST_CLIP, top1=0.7790, frames="8x8 (32x2)"
    ),
    _weights(
        "slowfast_r101_16x8",
        "SLOWFAST_16x8_R101_50_50.pyth",
        ClipSpec(64, 2, (256, 256)),
        top1=0.7870,
        frames="16x8 (64x2)",
    ),
    _weights("ir_csn_101", "CSN_32x2_R101.pyth", FAST_CLIP, top1=0.7700),
    _weights("r2plus1d_50", "R2PLUS1D_16x4_R50.pyth", ClipSpec(16, 4, (256, 256)), top1=0.7601),
    _weights("x3d_xs", "X3D_XS.pyth", ClipSpec(4, 12, (182, 182)), top1=0.6912, head_window=(5, 5)),
    _weights("x3d_s", "X3D_S.pyth", ClipSpec(13, 6, (182, 182)), top1=0.7333, head_window=(5, 5)),
    _weights("x3d_m", "X3D_M.pyth", ClipSpec(16, 5, (256, 256)), top1=0.7594),
    _weights("x3d_l", "X3D_L.pyth", ClipSpec(16, 5, (356, 356)), top1=0.7744, head_window=(10, 10)),
)
