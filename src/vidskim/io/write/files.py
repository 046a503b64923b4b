"""The one way in which a file appears under its name: complete, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from vidskim.errors import UsageError

_NUMBERS = count()


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name; what the block writes there appears under ``path`` when it is done.

    The temporary name is hidden, in the same folder, and has the same suffix, by which some
    libraries choose the format. If the block fails or is interrupted, the temporary file is removed
    and whatever was under ``path`` stays as it was.

    Args:
        path: the file; its folder is made if missing.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: str | Path, data: str | bytes) -> None:
    """Write bytes, or text as UTF-8 with its line ends as they are; see `whole`."""
    with whole(path) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def all_whole(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder; the files in it move to ``folder`` when the block is done.

    If the block fails or is interrupted, none of them does.

    Args:
        folder: made if missing; files of the same names in it are replaced.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=f".{os.getpid()}.part-") as temporary:
        yield Path(temporary)
        for part in sorted(Path(temporary).iterdir()):
            os.replace(part, folder / part.name)


@contextmanager
def refusing(
    place: str | Path, *, what: str, remedy: str = "give another folder"
) -> Iterator[None]:
    """Turn an `OSError` of the block into a `UsageError`: "PLACE: WHAT (reason); REMEDY"."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{place}: {what} ({error.strerror or error}); {remedy}") from None


def _part(path: Path) -> Path:
    """Return a name of our own, short even where the file's name is as long as names can be."""
    name = f".{path.stem[:40]}.{os.getpid()}-{next(_NUMBERS)}.part{path.suffix}"
    return path.with_name(name)
