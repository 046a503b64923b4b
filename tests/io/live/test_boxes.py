"""Which MP4 can be read front to back, and which one is complete."""

import pytest

from vidskim.io.live.boxes import BoxWatcher, is_whole


def _box(kind: str, length: int, *, wide: bool = False) -> bytes:
    """A box with ``length`` bytes in it, its size in 4 bytes or in 16."""
    if wide:
        return (1).to_bytes(4) + kind.encode() + (16 + length).to_bytes(8) + bytes(length)
    return (8 + length).to_bytes(4) + kind.encode() + bytes(length)


HEAD = _box("ftyp", 16)
MOOV, MDAT, MOOF, MFRA = _box("moov", 300), _box("mdat", 900), _box("moof", 50), _box("mfra", 20)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (HEAD + MDAT + MOOV, True),
        (HEAD + _box("free", 0) + _box("wide", 70, wide=True) + MDAT, True),
        (HEAD + _box("mdat", 10, wide=True), True),
        (HEAD + bytes(4) + b"mdat", True),
        (MDAT, True),
        (HEAD + MOOV + MDAT, False),
        (HEAD + MOOV + MOOF + MDAT, False),
        (HEAD + _box("uuid", 8) + MDAT, False),
        (HEAD + bytes(4) + b"free" + MDAT, False),
        (b"\x1aE\xdf\xa3" + MDAT, False),
        (HEAD, False),
        (b"", False),
    ],
)
def test_pictures_before_their_index(data, expected, size):
    watcher = BoxWatcher()
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    assert any(watcher.show_data_first(part) for part in parts) is expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (HEAD + MDAT + MOOV, True),
        (HEAD + MOOV + MDAT, True),
        (HEAD + MOOV + _box("mdat", 9, wide=True), True),
        (HEAD + MOOV + MOOF + MDAT + MFRA, True),
        (HEAD + MOOV + MOOF + MDAT, False),
        (HEAD + MDAT, False),
        (HEAD + MOOV + MDAT[:-1], False),
        (HEAD + MOOV + (0).to_bytes(4) + b"mdat" + bytes(9), False),
        (HEAD + MDAT + MOOV + b"abc", False),
        (b"\x1aE\xdf\xa3" + MDAT + MOOV, False),
        (b"", False),
    ],
)
def test_a_whole_file(tmp_path, data, expected):
    path = tmp_path / "video.mp4"
    path.write_bytes(data)
    assert is_whole(path) is expected
