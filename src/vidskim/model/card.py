"""What the files of models around backbones share: FASTER's, a memory's, a compression's.

Each is one safetensors file whose header has a key of its kind, and whose tensors are named by the
part they belong to.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vidskim.backbones.files.header import Header, damaged, header_of, read_raw
from vidskim.errors import CheckpointError, listed


def holds(path: str | Path, key: str) -> bool:
    """Say whether a file is one of ours whose header has a key.

    Raises:
        CheckpointError: no such file, a damaged one, or one of a newer vidskim.
    """
    return key in (read_raw(Path(path)) or {})


def read_kind(path: Path, key: str, *, otherwise: str) -> dict[str, Any]:
    """Return the header of a file that has a key.

    Args:
        path: the file.
        key: of its kind.
        otherwise: what is said of a file without it.

    Raises:
        CheckpointError: no such file, a damaged one, or one without the key.
    """
    raw = read_raw(path)
    if raw is None or key not in raw:
        raise CheckpointError(f"{path}: {otherwise}")
    return raw


def metadata_of(raw: Mapping[str, Any], *, path: Path) -> dict[str, Any]:
    """Return what the writer of a file added to its header: recipe, metrics, source.

    Raises:
        CheckpointError: it is damaged.
    """
    told = raw.get("metadata")
    if not isinstance(told, dict):
        raise damaged(path, ValueError("metadata"))
    return told


def clip_header_of(told: Mapping[str, Any]) -> Header:
    """Return the header of a backbone, whose clip and transform are never left to the builder.

    Raises:
        ValueError: damaged values; also the other classes of
            `vidskim.backbones.files.header.DAMAGE`.
    """
    header = header_of(told)
    if header.clip is None or header.transform is None:
        raise ValueError(f"{header.name} without a clip or transform")
    return header


def part_of(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def refuse_others(state: Mapping[str, Tensor], prefixes: Iterable[str], *, path: Path) -> None:
    """Refuse tensors that belong to no part.

    Raises:
        CheckpointError: there are some.
    """
    known = tuple(prefixes)
    unknown = [name for name in state if not name.startswith(known)]
    if unknown:
        raise CheckpointError(f"{path}: holds tensors of no part ({listed(unknown)})")


def number_of(told: Any, what: str, *, most: int) -> int:
    """Return a whole number from 1 to ``most``, as it stands in a header.

    Raises:
        ValueError: it is none.
    """
    if type(told) is not int or not 0 < told <= most:
        raise ValueError(f"{told!r} {what}")
    return told
