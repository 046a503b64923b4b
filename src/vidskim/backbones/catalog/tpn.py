"""Weights of TPN's authors (decisionforce/TPN, MODELZOO.md): on Google Drive, fetched by hand.

Yang et al., "Temporal Pyramid Network for Action Recognition", CVPR 2020. Baselines without the
pyramid are Slow-only networks.
"""

from vidskim.backbones.catalog.mmaction2 import IMAGENET_256
from vidskim.backbones.catalog.record import KINETICS400, TERMS, Weights
from vidskim.backbones.contract import ClipSpec

PAGE = "https://github.com/decisionforce/TPN/blob/master/MODELZOO.md"


def _weights(backbone: str, drive_id: str, *, top1: float, id: str = "tpn-k400") -> Weights:
    num_frames, stride = (int(n) for n in backbone.rpartition("_")[2].split("x"))
    return Weights(
        id=id,
        backbone=backbone,
        publisher="TPN's authors",
        url=f"https://drive.google.com/open?id={drive_id}",
        source=PAGE,
        license=f"not stated (on the page); {TERMS}",
        dataset=f"ImageNet, then {KINETICS400}",
        num_classes=400,
        clip=ClipSpec(num_frames, stride, (256, 256)),
        transform=IMAGENET_256,
        protocol=(
            f"Kinetics-400 validation (19769 videos at 240x320), 10 clips x 3 crops of 256x256, "
            f"{num_frames}x{stride}, flipped too, the head's answers averaged over the map"
        ),
        top1=top1,
        layout="TPN",
        is_manual=True,
    )


WEIGHTS: tuple[Weights, ...] = (
    _weights("tpn_r50_8x8", "1KoISwdKDlfzZdEsLItygcvPGkKNwWyR-", top1=0.761),
    _weights("tpn_r50_16x4", "1TY39uBR-ckUw3aiabeFLNpR9uPSxt--H", top1=0.773),
    _weights("tpn_r50_32x2", "1TjeqcTJ2tReDz4VnLR8ajSHySre9sZDd", top1=0.777),
    _weights("slow_r50_8x8", "1uKHvZsY_heFHTBl6RXo02I7-W_aLBhFI", top1=0.749),
    _weights("slow_r50_16x4", "1Qgck89mUVs9gyUzalbYJPfJPwQEPbyI9", top1=0.761),
    _weights("slow_r50_32x2", "1oJ1sTzMeLPXHtnutJAAD8gWfm0b3NYpi", top1=0.757),
)
