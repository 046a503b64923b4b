"""Published weights: which there are for a backbone, and fetching their files."""

import logging
import os
from pathlib import Path

from vidskim.backbones.catalog import CATALOG
from vidskim.backbones.catalog.download import download
from vidskim.backbones.catalog.record import Weights, kinetics400_classes
from vidskim.backbones.files.fingerprint import file_sha256
from vidskim.backbones.registry import list_networks
from vidskim.errors import CheckpointError, unknown_name
from vidskim.io.write.files import write_whole

__all__ = [
    "OFFICIAL_WEIGHTS",
    "Weights",
    "default_cache_dir",
    "fetch",
    "find_weights",
    "kinetics400_classes",
    "list_weights",
    "official_weights",
]

logger = logging.getLogger(__name__)

SEPARATOR = "@"
"""Between a backbone's name and the id of its weights: ``slow_r50_8x8@pytorchvideo-k400``."""

HASH_SUFFIX = ".sha256"
"""Of the file beside one whose publisher gives no hash; holds the hash of the first download."""

OFFICIAL_WEIGHTS: dict[str, Weights] = {name: found[0] for name, found in CATALOG.items()}
"""The weights each backbone loads when neither a checkpoint nor other weights are named."""


def list_weights(backbone: str) -> tuple[Weights, ...]:
    """Return the published weights of a backbone, the default first; empty if none are known.

    Raises:
        UsageError: an unknown backbone.
    """
    if backbone not in list_networks():
        raise unknown_name("backbone", backbone, list_networks())
    return CATALOG.get(backbone, ())


def split_name(name: str) -> tuple[str, str | None]:
    """Split ``BACKBONE@ID``; without an id the second is None."""
    backbone, separator, weights_id = name.partition(SEPARATOR)
    return backbone, weights_id if separator else None


def find_weights(name: str) -> Weights:
    """Return published weights by name.

    Args:
        name: a backbone for its default weights, or ``BACKBONE@ID``.

    Raises:
        CheckpointError: none are known for the backbone.
        UsageError: it has weights, but none of that id; the nearest is named.
    """
    backbone, weights_id = split_name(name)
    if weights_id is None:
        return official_weights(backbone)
    records = {weights.id: weights for weights in list_weights(backbone)}
    if not records:
        official_weights(backbone)
    if weights_id not in records:
        raise unknown_name(f"weights of {backbone}", weights_id, records)
    return records[weights_id]


def official_weights(backbone: str) -> Weights:
    """Return the default weights of a backbone.

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

    At every call the file is checked: against the known digits of its SHA-256, or, where the
    publisher gives none, against the hash that was written beside it when it was first seen.

    Args:
        weights: a record of `find_weights`, or your own.
        cache_dir: where files are kept; by default `default_cache_dir`.

    Raises:
        CheckpointError: offline, or the file is not what it should be; one line that says which
            file to put where.
    """
    folder = default_cache_dir() if cache_dir is None else Path(cache_dir)
    path = folder / weights.filename
    if not path.exists():
        if weights.is_manual:
            raise CheckpointError(
                f"{weights.name} cannot be fetched by a program: open {weights.url} in a browser "
                f"and put the file into {folder} as {path.name}"
            )
        download(
            weights.url,
            path,
            sha256_prefix=weights.sha256_prefix or "",
            remedy=f"{_by_hand(weights, folder)}, or use --model demo",
        )
    try:
        found = file_sha256(path)
        if weights.sha256_prefix is None:
            _compare_with_first(weights, path, found)
            return path
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if not found.startswith(weights.sha256_prefix.lower()):
        raise CheckpointError(
            f"{path}: damaged, its SHA-256 does not begin with {weights.sha256_prefix}: delete it "
            f"to download it again from {weights.url}"
        )
    return path


def _by_hand(weights: Weights, folder: Path) -> str:
    """Say which file belongs where."""
    published = weights.url.rsplit("/", 1)[-1]
    if published == weights.filename:
        return f"put the file {published} into {folder} yourself"
    return f"put the file {published} into {folder} yourself, as {weights.filename}"


def forget(path: Path) -> None:
    """Forget the hash of a file that turned out to be another than was meant."""
    path.with_name(path.name + HASH_SUFFIX).unlink(missing_ok=True)


def _compare_with_first(weights: Weights, path: Path, found: str) -> None:
    """Hold a file without a published hash to its first download, or write its hash down.

    Raises:
        CheckpointError: it has changed since.
        OSError: the hash cannot be read.
    """
    record = path.with_name(path.name + HASH_SUFFIX)
    if record.exists():
        first = record.read_text(encoding="utf-8").split()[:1]
        if first != [found]:
            raise CheckpointError(
                f"{path}: changed since it was first fetched, its SHA-256 is not the one in "
                f"{record.name}: delete both to download it again from {weights.url}"
            )
        return
    try:
        write_whole(record, f"{found}  {path.name}\n")
    except OSError as error:
        logger.warning("%s: its hash cannot be written beside it (%s)", path, error.strerror)
    logger.warning(
        "%s gives no checksum for %s: what came has SHA-256 %s, and later uses are held to it",
        weights.publisher,
        path.name,
        found,
    )
