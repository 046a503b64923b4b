"""Bytes as they come: from a file that still grows, from a pipe, from any object with ``read``.

FFmpeg takes the end of a file for final. Here reading waits at the end until more is there, so
that FFmpeg meets the end only once, when the source has really finished::

    bytes in the file   ======|......=====|....          |
    reads               ======> wait =====> wait idle_seconds > end

There is no way back: whatever needs to jump about in a file cannot be read like this.
"""

import os
import stat
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from vidskim.errors import UsageError, VideoError, printable
from vidskim.io.container import check_reachable
from vidskim.io.live.boxes import BoxWatcher

POLL_SECONDS = 0.05
"""A file that may grow is looked at so often."""
REMEDY = "Matroska, MPEG-TS and fragmented MP4 can be read while they are written"


class Feed:
    """A source that is read once, front to back.

    `read` never raises, because FFmpeg, which calls it, would take an error for the end of the
    stream: what went wrong is kept, and `check` raises it.

    Args:
        source: path of a file, which may still grow, or of a named pipe; ``"-"`` for standard
            input; or a binary object with ``read(n)``, which is not closed here.
        idle_seconds: a file that has not grown for so long is finished. A pipe says itself when it
            ends, and is waited for however long it takes.

    Raises:
        UsageError: neither a path nor a binary object, or a negative time.
        VideoError: a path that cannot be read, a folder, a device.
    """

    def __init__(self, source: str | Path | BinaryIO, *, idle_seconds: float = 10.0) -> None:
        if not idle_seconds >= 0:
            raise UsageError(f"idle_seconds is a time of at least 0, got {idle_seconds}")
        self.path, self.is_file = check_source(source)
        self.needs_seeking = False
        """Whether it turned out to be an MP4 whose index follows its pictures."""
        self._idle_seconds = idle_seconds
        self._closing = ExitStack()
        self._boxes = BoxWatcher()
        self._failure: BaseException | None = None
        self._held = b""
        self._is_finished = False
        try:
            self._pull = self._open(source)
        except OSError as error:
            raise VideoError(self.path, f"cannot be read ({error.strerror or error})") from error
        # A signal that arrives while FFmpeg works is raised where Python code runs next: were that
        # the start of a plain function, outside of its "try", PyAV would lose the interruption.
        self._serving = self._serve()
        next(self._serving)

    @property
    def name(self) -> str:
        """A file name with the suffix of the source, by which FFmpeg guesses raw formats."""
        return "stream" + printable(Path(self.path).suffix)

    @property
    def read(self) -> Callable[[int], bytes]:
        """A function that returns 1 to n bytes as soon as there are any; none at the end."""
        return self._serving.send

    @property
    def waited_seconds(self) -> float:
        """For how long a file did not grow, and was therefore taken for finished; 0 if it was not.

        Writers hold back what they have: FFmpeg's of Matroska gives a file 5 s at a time.
        """
        return self._idle_seconds if self._is_finished else 0.0

    def begin(self) -> None:
        """Wait for the first bytes.

        Raises:
            VideoError: it ends before, or cannot be read.
        """
        first = self.read(4096)
        self._held = first + self._held
        self.check()
        if first or self.needs_seeking:
            return
        if self.is_file:
            waited = f" after {self.waited_seconds:g} s" if self.waited_seconds else ""
            reason = f"is empty (0 bytes){waited}: start the recording first"
        else:
            reason = "ended before its first byte: check what writes into it"
        raise VideoError(self.path, reason)

    def check(self) -> None:
        """Raise what went wrong in `read`, if anything did.

        Raises:
            VideoError: the source cannot be read on.
            KeyboardInterrupt: whatever else ended the reading is raised as it is.
        """
        failure = self._failure
        if isinstance(failure, OSError):
            reason = failure.strerror or str(failure) or type(failure).__name__
            raise VideoError(self.path, f"cannot be read on ({reason})") from failure
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Close what was opened here."""
        self._serving.close()
        self._closing.close()

    def _serve(self) -> Generator[bytes, int, None]:
        """Answer requests for bytes; the surplus of objects that give too many is held back."""
        data = b""
        while True:
            try:
                size = yield data
                data = b"" if self._failure is not None else self._next(size)
                self._held, data = data[size:], data[:size]
            except GeneratorExit:
                return
            except BaseException as failure:
                self._failure, self._held, data = failure, b"", b""

    def _next(self, size: int) -> bytes:
        """Return bytes held back, else new ones; none where an MP4 proves to need seeking."""
        if self._held:
            return self._held
        if self.needs_seeking:
            return b""
        data = self._pull(size)
        if self._boxes.show_data_first(data):
            self.needs_seeking = True
            return b""
        return data

    def _open(self, source: str | Path | BinaryIO) -> Callable[[int], bytes]:
        """Return the function that waits for more bytes."""
        if not isinstance(source, str | Path):
            return _reader_of(source, self.path)
        if str(source) == "-":
            return _reader_of(_standard_input(), self.path)
        file = self._closing.enter_context(FileIO(source))
        if self.is_file:
            return lambda size: self._wait_for_growth(file.read, size)
        return _reader_of(file, self.path)

    def _wait_for_growth(self, read: Callable[[int], bytes], size: int) -> bytes:
        """Read at the end of a file until there is something, or it has not grown for long."""
        data = read(size)
        since = time.monotonic()
        while not data and not self._is_finished:
            self._is_finished = time.monotonic() - since >= self._idle_seconds
            if not self._is_finished:
                time.sleep(min(POLL_SECONDS, self._idle_seconds))
                data = read(size)
        return data


def check_source(source: object) -> tuple[str, bool]:
    """Return what to call a source, and whether it is a regular file; nothing is opened.

    Raises:
        UsageError: neither a path nor a binary object.
        VideoError: a path to something that cannot be read like this.
    """
    if isinstance(source, str | Path):
        if str(source) == "-":
            _standard_input()
            return "-", False
        mode = check_reachable(source).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise VideoError(source, "is a device: give a file or a pipe")
        return str(source), stat.S_ISREG(mode)
    if not callable(getattr(source, "read", None)):
        raise UsageError(
            f"a stream is a path, '-' or a binary object with read(n), got {type(source).__name__}"
        )
    name = getattr(source, "name", None)
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    return (name if isinstance(name, str) else f"<{type(source).__name__}>"), False


def _standard_input() -> BinaryIO:
    """Return standard input, if something is piped into it.

    Raises:
        VideoError: it is closed, or a terminal.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise VideoError("-", "standard input is closed: pipe a video into it")
    if sys.stdin.isatty():
        raise VideoError("-", "standard input is a terminal: pipe a video into it")
    return sys.stdin.buffer


def _reader_of(source: BinaryIO, path: str) -> Callable[[int], bytes]:
    """Return a function that takes what is there rather than wait until ``size`` bytes are.

    A buffered pipe's ``read`` waits until it has all that was asked for; its ``read1`` does not.
    """
    read = getattr(source, "read1", None) or source.read

    def pull(size: int) -> bytes:
        data = read(size)
        while data is None:  # nothing there yet, says an object that does not wait
            time.sleep(POLL_SECONDS)
            data = read(size)
        if isinstance(data, str):
            raise VideoError(path, "gives text: open it in binary mode")
        return bytes(data)

    return pull
