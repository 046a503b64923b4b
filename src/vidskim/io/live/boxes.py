"""The boxes of an MP4 or QuickTime file: is its index in reach of who reads front to back?

A plain MP4 has one index (moov) of all its pictures (mdat), which its writer puts last unless told
otherwise; a fragmented one goes on in fragments (moof, mdat), each with its own. Source: ISO/IEC
14496-12, 4.2::

    last    ftyp | mdat ............................. | moov      whole files only
    first   ftyp | moov | mdat .............................      front to back
    many    ftyp | moov | moof | mdat .. | moof | mdat ..         while it grows
"""

from pathlib import Path

_OPENING = (b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"pnot")
"""Types of the boxes that such a file opens with."""
_HEADER_BYTES = 16
MAX_BOXES = 100_000
"""Top-level boxes that are looked at; a fragmented file has two for each second or so."""


class BoxWatcher:
    """Follows the boxes that open a stream, as its bytes pass."""

    def __init__(self) -> None:
        self._done = False
        self._skip = 0
        self._header = b""

    def show_data_first(self, data: bytes) -> bool:
        """Take further bytes; say whether pictures have come before their index."""
        while data and not self._done:
            passed = min(self._skip, len(data))
            self._skip, data = self._skip - passed, data[passed:]
            self._header, data = self._header + data[:1], data[1:]
            if len(self._header) < 8:
                continue
            kind = self._header[4:8]
            if kind not in _OPENING or kind in (b"moov", b"mdat"):
                self._done = True
                return kind == b"mdat"
            size = _size(self._header)
            if size is not None:
                self._done = size < len(self._header)
                self._skip, self._header = size - len(self._header), b""
        return False


def is_whole(path: str | Path) -> bool:
    """Whether a file is an MP4 of which nothing is missing: it will not grow.

    A fragmented one is known to be finished if its index of fragments (mfra) closes it.

    Raises:
        OSError: the file cannot be read.
    """
    found: set[bytes] = set()
    kind = b""
    with open(path, "rb") as file:
        num_bytes = file.seek(0, 2)
        place = 0
        for _ in range(MAX_BOXES):
            file.seek(place)
            header = file.read(_HEADER_BYTES)
            if not header:
                break
            kind, size = header[4:8], _size(header)
            is_other = not found and kind not in _OPENING
            if is_other or size is None or size < 8 or place + size > num_bytes:
                return False
            found.add(kind)
            place += size
    is_closed = b"moof" not in found or kind == b"mfra"
    return place == num_bytes and {b"moov", b"mdat"} <= found and is_closed


def _size(header: bytes) -> int | None:
    """Return the bytes of a box, 0 if it reaches to the end of the file; None if unknown yet."""
    if len(header) < 8:
        return None
    size = int.from_bytes(header[:4])
    if size != 1:
        return size
    return int.from_bytes(header[8:16]) if len(header) >= _HEADER_BYTES else None
