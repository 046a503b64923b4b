"""Published weights: where they are, how they were made and measured, and fetching them."""

import os
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.download import download, has_sha256
from vidskim.errors import CheckpointError
from vidskim.transforms import Transform


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One published weight file and all that is needed to use it and to compare with it."""

    backbone: str
    """Name for `create_backbone`, at full width."""
    url: str
    sha256_prefix: str
    """As many leading digits of the SHA-256 as the publisher gives (torchvision: eight)."""
    size_megabytes: float
    license: str
    dataset: str
    num_classes: int
    clip: ClipSpec
    transform: Transform
    protocol: str
    """How ``top1`` was measured."""
    top1: float
    """Published accuracy in [0, 1]."""

    @property
    def filename(self) -> str:
        """Name of the file in the cache."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the head."""
        return kinetics400_classes()


@cache
def kinetics400_classes() -> tuple[str, ...]:
    """Return the 400 classes of Kinetics-400 in alphabetical order."""
    text = files("vidskim.backbones").joinpath("kinetics400.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def _torchvision(
    backbone: str, *, filename: str, sha256_prefix: str, size_megabytes: float, top1: float
) -> Weights:
    return Weights(
        backbone=backbone,
        url=f"https://download.pytorch.org/models/{filename}",
        sha256_prefix=sha256_prefix,
        size_megabytes=size_megabytes,
        license=(
            "published with torchvision (BSD-3-Clause); trained on Kinetics-400, whose terms may "
            "bind the use of the weights"
        ),
        dataset="Kinetics-400",
        num_classes=400,
        clip=ClipSpec(num_frames=16, stride=1, size=(112, 112)),
        transform=Transform(resize_to=(128, 171), crop=(112, 112)),
        protocol=(
            "Kinetics-400 validation, video level: mean over 5 clips x 1 center crop, 16 frames x "
            "stride 1 at 15 frames per second (stride 2 at 30), 112x112; torchvision's own figure"
        ),
        top1=top1,
    )


OFFICIAL_WEIGHTS: dict[str, Weights] = {
    "r3d_18": _torchvision(
        "r3d_18",
        filename="r3d_18-b3b3357e.pth",
        sha256_prefix="b3b3357e",
        size_megabytes=127.4,
        top1=0.63200,
    ),
    "mc3_18": _torchvision(
        "mc3_18",
        filename="mc3_18-a90a0ba3.pth",
        sha256_prefix="a90a0ba3",
        size_megabytes=44.7,
        top1=0.63960,
    ),
    "r2plus1d_18": _torchvision(
        "r2plus1d_18",
        filename="r2plus1d_18-91a641e6.pth",
        sha256_prefix="91a641e6",
        size_megabytes=120.3,
        top1=0.67463,
    ),
}
"""The weights each backbone loads when no checkpoint is given."""


def official_weights(backbone: str) -> Weights:
    """Return the published weights of a backbone.

    Raises:
        CheckpointError: none are known.
    """
    if backbone not in OFFICIAL_WEIGHTS:
        raise CheckpointError(
            f"no published weights are known for {backbone}: give a checkpoint, or use one of "
            f"{', '.join(OFFICIAL_WEIGHTS)}"
        )
    return OFFICIAL_WEIGHTS[backbone]


def default_cache_dir() -> Path:
    """Return ``$VIDSKIM_CACHE``, or ``~/.cache/vidskim``."""
    chosen = os.environ.get("VIDSKIM_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "vidskim"


def fetch(weights: Weights, *, cache_dir: str | Path | None = None) -> Path:
    """Return the local file of published weights, downloading it the first time.

    The file is checked against the known digits of its SHA-256 at every call.

    Args:
        weights: a record of `OFFICIAL_WEIGHTS`, or your own.
        cache_dir: where files are kept; by default `default_cache_dir`.

    Raises:
        CheckpointError: offline, or the file is not what it should be; one line that says which
            file to put where.
    """
    folder = default_cache_dir() if cache_dir is None else Path(cache_dir)
    path = folder / weights.filename
    if not path.exists():
        download(
            weights.url,
            path,
            sha256_prefix=weights.sha256_prefix,
            remedy=f"put the file {weights.filename} into {folder} yourself, or use --model demo",
        )
    try:
        intact = has_sha256(path, prefix=weights.sha256_prefix)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if not intact:
        raise CheckpointError(
            f"{path}: damaged, its SHA-256 does not begin with {weights.sha256_prefix}: delete it "
            f"to download it again from {weights.url}"
        )
    return path
