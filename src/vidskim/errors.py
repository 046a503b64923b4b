"""One small tree of exceptions; every message gives the value, what was expected and the remedy."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

TOO_LITTLE_MEMORY = "not enough memory: choose smaller frames or fewer clips and crops"

SHOWN = 3
"""Names that a message lists of many."""

MAX_NAME = 120
"""Characters of each."""


class VidskimError(Exception):
    """Anything vidskim refuses on purpose. The command line prints it as one line."""

    exit_code = 1


class UsageError(VidskimError):
    """The call is wrong: an unknown name, an impossible value (exit code 2)."""

    exit_code = 2


class VideoError(VidskimError):
    """A file cannot be read as video; the message starts with the file's path.

    Args:
        path: the file.
        reason: what is wrong and what to do, one line.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type["VideoError"], tuple[str, str]]:
        """Let workers send it to the process that asked."""
        return type(self), (self.path, self.reason)


class AudioError(VideoError):
    """The audio track is missing or unreadable."""


class CheckpointError(VidskimError):
    """A weight file is missing, damaged, unsafe or made for another network."""


class ManifestError(VidskimError):
    """A manifest is missing or malformed."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, of one without any what it is."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """Return the error for a mistyped name, with the nearest valid one.

    >>> print(unknown_name("method", "unifrom", ["uniform", "random"]))
    unknown method 'unifrom': did you mean 'uniform'? (valid: random, uniform)
    """
    names = sorted(valid)
    spelled = {known.lower(): known for known in names}
    near = get_close_matches(name.lower(), spelled, n=1, cutoff=0.5)
    hint = f"did you mean {spelled[near[0]]!r}? " if near else ""
    return UsageError(f"unknown {kind} {name!r}: {hint}(valid: {', '.join(names)})")


def is_out_of_memory(error: Exception) -> bool:
    """Say whether memory was too small; torch tells it in words, in a plain `RuntimeError`."""
    told = str(error)
    return isinstance(error, MemoryError) or "allocate memory" in told or "out of memory" in told


@contextmanager
def memory_told(path: str | Path) -> Iterator[None]:
    """Say of which file it was that memory was too small for it.

    Raises:
        VideoError: instead of what `is_out_of_memory`.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise VideoError(path, TOO_LITTLE_MEMORY) from None


def printable(text: str) -> str:
    r"""Escape what would move a terminal's cursor: names in files may hold anything.

    >>> print(printable("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def by(sizes: Iterable[int]) -> str:
    """Return sizes as people write them.

    >>> by((224, 160))
    '224x160'
    """
    return "x".join(map(str, sizes))


def listed(names: Sequence[str]) -> str:
    """Return the first names as one line of a message, and dots if there are more.

    >>> listed(["a", "b", "c", "d"])
    'a, b, c, ...'
    """
    first = (printable(n[:MAX_NAME]) + "..." * (len(n) > MAX_NAME) for n in names[:SHOWN])
    return ", ".join(first) + ", ..." * (len(names) > SHOWN)
