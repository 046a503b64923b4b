"""Weights of VMZ: R(2+1)D-34 as converted by ig65m-pytorch, R(2+1)D-152 and CSN-152.

Tran et al. CVPR 2018, Ghadiyaram et al. CVPR 2019, Tran et al. ICCV 2019. The accuracies are those
of the Caffe2 networks that were converted. VMZ's page of models gives input sizes, but no number of
clips; its page on testing (tutorials/test.md) has one command with its output, for ir-CSN-152 from
IG-65M, which gives the published accuracy and the published 96.7 G at crops of 256 pixels. All CSN
records follow it. For R(2+1)D there is no such command: its published cost is that of 128 pixels,
the input that the page names has 112.
"""

from vidskim.backbones.catalog.record import KINETICS400, TERMS, Weights
from vidskim.backbones.contract import ClipSpec
from vidskim.clips.transform import Transform

IG65M_PAGE = "https://github.com/moabitcoin/ig65m-pytorch#readme"
VMZ_PAGE = "https://github.com/facebookresearch/VMZ/blob/main/pt/vmz/models/utils.py"

ORDER_34 = "the list of classes that ig65m-pytorch points to (Showmax), alphabetical"
ORDER_152 = "VMZ's tests label by sorted folders of Kinetics-400, alphabetical"

TRANSFORM_112 = Transform(resize_to=(128, 171), crop=(112, 112))
TRANSFORM_256 = Transform(short_side=256, crop=(256, 256))

CSN_WINDOW = (7, 7)
"""The map of a clip of 224 pixels (``final_spatial_kernel`` of c2/lib/models/r3d_model.py)."""

PRETRAINED_ONLY = "pretrained only: no accuracy is published"


CSN_PROTOCOL = (
    "Kinetics-400 validation, 10 clips x 3 crops of 256x256, 32x2, the head sliding over the map; "
    "of the Caffe2 network, by the command that VMZ gives for ir-CSN-152 from IG-65M"
)


def _on_kinetics(size: str) -> str:
    return (
        f"Kinetics-400 validation, video level, {size}; of the Caffe2 original (VMZ, "
        "c2/tutorials/model_zoo.md), which does not give the number of clips"
    )


def _r2plus1d_34(
    id: str, filename: str, *, num_frames: int, num_classes: int, top1: float | None
) -> Weights:
    tuned = top1 is not None
    return Weights(
        id=id,
        backbone="r2plus1d_34",
        publisher="ig65m-pytorch, from VMZ",
        url=f"https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0/{filename}",
        source=IG65M_PAGE,
        sha256_prefix=filename.rpartition("-")[2].removesuffix(".pth"),
        license=f"MIT (ig65m-pytorch), from VMZ (Apache-2.0); {TERMS}",
        dataset=f"IG-65M, then {KINETICS400}" if tuned else "IG-65M",
        num_classes=num_classes,
        class_order=ORDER_34 if tuned else None,
        clip=ClipSpec(num_frames, 1, (112, 112)),
        transform=TRANSFORM_112,
        protocol=_on_kinetics(f"{num_frames}x112x112") if tuned else PRETRAINED_ONLY,
        top1=top1,
        options={"mid": "vmz"},
    )


def _deep(
    backbone: str, id: str, filename: str, *, dataset: str, top1: float | None = None
) -> Weights:
    tuned = top1 is not None
    is_csn = "csn" in backbone
    protocol = CSN_PROTOCOL if is_csn else _on_kinetics("32x112x112")
    return Weights(
        id=id,
        backbone=backbone,
        publisher="VMZ",
        url=f"https://github.com/bjuncek/VMZ/releases/download/test_models/{filename}",
        source=VMZ_PAGE,
        license=f"Apache-2.0 (VMZ); {TERMS}",
        dataset=f"{dataset}, then {KINETICS400}" if tuned else dataset,
        num_classes=400 if tuned else None,
        class_order=ORDER_152 if tuned else None,
        clip=ClipSpec(32, 2, (256, 256)) if is_csn else ClipSpec(32, 1, (112, 112)),
        head_window=CSN_WINDOW if is_csn else None,
        transform=TRANSFORM_256 if is_csn else TRANSFORM_112,
        protocol=protocol if tuned else PRETRAINED_ONLY,
        top1=top1,
    )


WEIGHTS: tuple[Weights, ...] = (
    _r2plus1d_34(
        "ig65m-k400",
        "r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1.pth",
        num_frames=32,
        num_classes=400,
        top1=0.800,
    ),
    _r2plus1d_34(
        "ig65m-k400-8frames",
        "r2plus1d_34_clip8_ft_kinetics_from_ig65m-0aa0550b.pth",
        num_frames=8,
        num_classes=400,
        top1=0.749,
    ),
    _r2plus1d_34(
        "ig65m",
        "r2plus1d_34_clip32_ig65m_from_scratch-449a7af9.pth",
        num_frames=32,
        num_classes=487,
        top1=None,
    ),
    _r2plus1d_34(
        "ig65m-8frames",
        "r2plus1d_34_clip8_ig65m_from_scratch-9bae36ae.pth",
        num_frames=8,
        num_classes=359,
        top1=None,
    ),
    _deep(
        "r2plus1d_152",
        "vmz-k400-ig65m",
        "r2plus1d_152_ft_kinetics_from_ig65m_f107107466.pth",
        dataset="IG-65M",
        top1=0.816,
    ),
    _deep(
        "r2plus1d_152",
        "vmz-k400-sports1m",
        "r2plus1d_152_ft_kinetics_from_sports1m_f128957437.pth",
        dataset="Sports-1M",
        top1=0.795,
    ),
    _deep(
        "r2plus1d_152",
        "vmz-ig65m",
        "r2plus1d_152_ig65m_from_scratch_f106380637.pth",
        dataset="IG-65M",
    ),
    _deep(
        "ir_csn_152",
        "vmz-k400-ig65m",
        "irCSN_152_ft_kinetics_from_ig65m_f126851907.pth",
        dataset="IG-65M",
        top1=0.826,
    ),
    _deep(
        "ir_csn_152",
        "vmz-k400-sports1m",
        "irCSN_152_ft_kinetics_from_Sports1M_f101599884.pth",
        dataset="Sports-1M",
        top1=0.782,
    ),
    _deep(
        "ir_csn_152",
        "vmz-ig65m",
        "irCSN_152_ig65m_from_scratch_f125286141.pth",
        dataset="IG-65M",
    ),
    _deep(
        "ir_csn_152",
        "vmz-sports1m",
        "irCSN_152_Sports1M_from_scratch_f99918785.pth",
        dataset="Sports-1M",
    ),
    _deep(
        "ip_csn_152",
        "vmz-k400-ig65m",
        "ipCSN_152_ft_kinetics_from_ig65m_f133090949.pth",
        dataset="IG-65M",
        top1=0.825,
    ),
    _deep(
        "ip_csn_152",
        "vmz-k400-sports1m",
        "ipCSN_152_ft_kinetics_from_Sports1M_f111279053.pth",
        dataset="Sports-1M",
        top1=0.788,
    ),
    _deep(
        "ip_csn_152",
        "vmz-ig65m",
        "ipCSN_152_ig65m_from_scratch_f130601052.pth",
        dataset="IG-65M",
    ),
    _deep(
        "ip_csn_152",
        "vmz-sports1m",
        "ipCSN_152_Sports1M_from_scratch_f111018543.pth",
        dataset="Sports-1M",
    ),
)
