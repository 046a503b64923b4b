"""What several verbs do with their options."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vidskim.declare import flag
from vidskim.errors import UsageError


def only(options: Mapping[str, Any], declared: type) -> dict[str, Any]:
    """Return those options that a class of `vidskim.options` declares."""
    return {key: value for key, value in options.items() if key in declared.__annotations__}


def paths_of(data: Any) -> list[Path]:
    """Return the files of a manifest or folder."""
    from vidskim.data.folder import load_manifest

    return list(dict.fromkeys(row.path for row in load_manifest(data).rows))


def words_of(names: str) -> list[str]:
    """Split names with commas between."""
    return [name.strip() for name in names.split(",") if name.strip()]


def refuse(given: Iterable[str], *more: str, reason: str) -> None:
    """Refuse options that mean nothing here, rather than pass over them.

    Args:
        given: names of options that are given and refused.
        *more: other words of the command line.
        reason: why.

    Raises:
        UsageError: there is one.
    """
    wrong = [*map(flag, sorted(given)), *more]
    if wrong:
        raise UsageError(f"{' and '.join(wrong)} {reason}")
