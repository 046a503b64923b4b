"""Key frames: the right ones, equal to a plain decode, and nothing else decoded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from footage import reading_of

from vidskim.clips.grid import lay_clip, split
from vidskim.errors import UsageError, VideoError
from vidskim.io.keyframes import choose_key_frames, iter_key_frames, key_frames
from vidskim.io.packets import read_packets
from vidskim.io.probe import probe
from vidskim.io.walk import ReadStats
from vidskim.types import Clip

NAMES = [
    *("h264_open_gop.mp4", "h264_open_gop.mkv", "h264_no_b.mp4", "h264.ts", "h264.flv"),
    *("h264_b.avi", "mpeg4_b.mp4", "mpeg4.avi", "hevc.mkv", "vp9.webm"),
]


def clip(index: int, start: int, stop: int) -> Clip:
    """A clip that spans some frames."""
    return lay_clip(start, num_frames=stop - start, index=index)


@pytest.mark.parametrize("name", NAMES)
def test_equal_to_a_plain_decode_and_nothing_else_decoded(
    footage: Callable[[str], Path], truth: Callable[[str], list[np.ndarray]], name: str
) -> None:
    path = footage(name)
    index = read_packets(path)
    clips = split(index.timestamps_seconds.tolist(), num_frames=5)
    stats = ReadStats()
    found = key_frames(reading_of(path, index, stats=stats), clips[::-1])
    assert index.is_key[found.frame_number.numpy()].all()
    for image, number in zip(found.images, found.frame_number.tolist()):
        np.testing.assert_array_equal(image.permute(1, 2, 0), truth(name)[number])
    assert stats.frames_decoded == len(found.frame_number.unique())
    assert len(found.frame_number.unique()) >= 6


def test_inside_the_clip_before_at_or_before_its_start() -> None:
    is_key = np.zeros(40, bool)
    is_key[[4, 10, 20, 22]] = True
    clips = [clip(0, 10, 16), clip(1, 11, 20), clip(2, 18, 24), clip(3, 30, 40), clip(4, 0, 3)]
    assert choose_key_frames(is_key, clips).tolist() == [10, 10, 20, 22, 4]
    assert choose_key_frames(np.zeros(40, bool), clips[:1]).tolist() == [0]


def test_clips_that_share_a_key_frame_share_its_picture(footage: Callable[[str], Path]) -> None:
    path = footage("h264_long_gop.mp4")
    index = read_packets(path)
    clips = [clip(0, 30, 40), clip(1, 0, 8), clip(2, 50, 60)]
    arrived = list(iter_key_frames(reading_of(path, index), clips))
    assert [(positions, number) for positions, number, _ in arrived] == [([0, 1, 2], 0)]


def test_a_damaged_key_frame_is_replaced_and_told(
    footage: Callable[[str], Path], tmp_path: Path
) -> None:
    path = footage("h264_no_b.mp4")
    index = read_packets(path)
    number = 24
    packet = int(index.decode_order[number])
    start = int(index.demuxed.positions[packet])
    data = bytearray(path.read_bytes())
    data[start + 4 : start + int(index.sizes[number])] = bytes(int(index.sizes[number]) - 4)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    clips = [clip(i, start, start + 8) for i, start in enumerate(range(0, 64, 8))]
    warnings: list[str] = []
    found = key_frames(reading_of(damaged, index, warnings=warnings), clips)
    assert found.frame_number.tolist() == [0, 8, 16, 16, 32, 40, 48, 56]
    assert torch.equal(found.images[3], found.images[2])
    assert warnings == ["damaged: could not decode the key frames of 1 of the clips"]
    arrived = list(iter_key_frames(reading_of(damaged, index, warnings=warnings), clips))
    assert [positions for positions, _, _ in arrived] == [[0], [1], [2, 3], [4], [5], [6], [7]]
    assert [number for _, number, _ in arrived] == [0, 8, 16, 32, 40, 48, 56]
    assert len(warnings) == 1


def test_a_damaged_first_key_frame_is_replaced_by_the_next(
    footage: Callable[[str], Path], tmp_path: Path
) -> None:
    path = footage("h264_no_b.mp4")
    index = read_packets(path)
    start = int(index.demuxed.positions[int(index.decode_order[0])])
    data = bytearray(path.read_bytes())
    data[start + 4 : start + int(index.sizes[0])] = bytes(int(index.sizes[0]) - 4)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    clips = [clip(0, 16, 24), clip(1, 0, 8), clip(2, 8, 16)]
    found = list(iter_key_frames(reading_of(damaged, index), clips))
    assert [(positions, number) for positions, number, _ in found] == [([1, 2], 8), ([0], 16)]
    together = key_frames(reading_of(damaged, index), clips)
    assert together.frame_number.tolist() == [16, 8, 8]
    for positions, _, image in found:
        assert all(torch.equal(together.images[position], image) for position in positions)


def test_no_clip_and_no_readable_key_frame(footage: Callable[[str], Path], tmp_path: Path) -> None:
    path = footage("h264_long_gop.mp4")
    index = read_packets(path)
    with pytest.raises(UsageError, match="at least one clip"):
        key_frames(reading_of(path, index), [])
    start = int(index.demuxed.positions[0])
    data = bytearray(path.read_bytes())
    data[start + 4 : start + int(index.sizes[0])] = bytes(int(index.sizes[0]) - 4)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    with pytest.raises(VideoError, match="key frames can be decoded"):
        key_frames(reading_of(damaged, index), [clip(0, 0, 8)])


def test_decoders_refuse_frames_that_grow_beyond_the_limit(
    footage: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = footage("h264_no_b.mp4")
    index = read_packets(path)
    clips = split(index.timestamps_seconds.tolist(), num_frames=5)
    monkeypatch.setattr("vidskim.io.walk.MAX_PIXELS", 64)
    with pytest.raises(VideoError, match="key frames can be decoded"):
        key_frames(reading_of(path, index), clips)
    with pytest.raises(VideoError, match="not one frame"):
        probe(path, index)
