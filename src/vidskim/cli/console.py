"""How a command meets the terminal: what is printed where, and how it ends.

Human text goes to stdout, logs and progress to stderr, ``--json`` prints one object for machines.
Exit status: 0 done, 1 the input is unusable, 2 wrong usage.
"""

import json
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidskim.declare import flag
from vidskim.errors import TOO_LITTLE_MEMORY, UsageError, VideoError, VidskimError, is_out_of_memory

if TYPE_CHECKING:
    from vidskim.show.strip import Canvas

_encoding = "utf-8"
"""What standard output was opened with, before `run` made it take any text."""


def run(command: Callable[[Sequence[str]], None], argv: Sequence[str]) -> int:
    """Run a command on its words; return the exit status."""
    if sys.stdout is None:  # closed by the caller
        return _fail("standard output is closed: there is nowhere to put the answer", 1)
    global _encoding
    _encoding = sys.stdout.encoding or "ascii"
    if isinstance(sys.stdout, TextIOWrapper):  # whatever the locale; file names need not be text
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    with warnings.catch_warnings(), _findings_told():
        warnings.showwarning = lambda message, *_, **__: warn([str(message)])
        return _run(command, argv)


def canvas() -> "Canvas":
    """Return how wide the terminal is, and whether it can show more than ASCII."""
    from vidskim.show.strip import BLOCKS, Canvas

    width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80
    try:
        BLOCKS.encode(_encoding)
    except (UnicodeEncodeError, LookupError):
        return Canvas(width, plain=True)
    return Canvas(width)


def show(result: Any) -> None:
    """Print an answer: text as it is, anything else as JSON."""
    print(result if isinstance(result, str) else json.dumps(result, allow_nan=False))


def warn(messages: Sequence[str]) -> None:
    """Print each message to standard error."""
    for message in messages:
        print(f"warning: {message}", file=sys.stderr)


def each(inputs: Sequence[str], answer: Callable[[str], None]) -> None:
    """Answer one input, or several one after another: one that cannot be used stops no other.

    Raises:
        VidskimError: the only input cannot be used.
        SystemExit: one of several cannot; why was printed.
    """
    if len(inputs) == 1:
        answer(inputs[0])
        return
    status = 0
    for path in inputs:
        try:
            answer(path)
        except VideoError as error:
            status = _fail(str(error), error.exit_code)
        sys.stdout.flush()
    if status:
        raise SystemExit(status)


def output(options: Mapping[str, Any], key: str, suffixes: Sequence[str]) -> str | None:
    """Return the file that an option names, None where it is not given.

    Args:
        options: what is given.
        key: the option.
        suffixes: how the file may end.

    Raises:
        UsageError: it cannot be written: nothing is worked on in vain.
    """
    path: str | None = options.get(key)
    check_output(path, option=flag(key), suffixes=suffixes)
    return path


def check_output(path: str | None, *, option: str, suffixes: Sequence[str]) -> None:
    """Refuse, before any work is done, a file that cannot be written.

    Raises:
        UsageError: a folder, another suffix, a place where nothing can be written.
    """
    if path is None:
        return
    file = Path(path)
    if file.is_dir():
        raise UsageError(f"{option} {path}: is a folder; name a file in it")
    if file.suffix.lower() not in suffixes:
        raise UsageError(f"{option} {path}: give a file that ends in {' or '.join(suffixes)}")
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise UsageError(f"{option} {path}: cannot be written, choose another place")


def _run(command: Callable[[Sequence[str]], None], argv: Sequence[str]) -> int:
    """Run one command; every refusal is one line and a status."""
    try:
        command(argv)
        sys.stdout.flush()
    except VidskimError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        return _fail(f"{where}{error.strerror or error}", 1)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return _fail(TOO_LITTLE_MEMORY, 1)
    except SystemExit as stop:  # help and configuration were printed
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    return 0


def _fail(reason: str, status: int) -> int:
    """Print one line that says why."""
    print(f"vidskim: {' '.join(reason.split())}", file=sys.stderr)
    return status


@contextmanager
def _findings_told() -> Iterator[None]:
    """Print what is measured before an answer, of precision and speed, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    loggers = [logging.getLogger(f"vidskim.answer.{name}") for name in ("precision", "openvino")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
