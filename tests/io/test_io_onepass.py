"""One decode for motion and residuals: the numbers of two separate decodes, bit for bit."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from footage import moving_pictures, reading_of
from resident import growth_over_clips

from vidskim.clips.grid import lay_clip, split
from vidskim.errors import UsageError
from vidskim.io.motion import Motion, iter_motion
from vidskim.io.motion_residual import iter_compressed
from vidskim.io.packets import PacketIndex, read_packets
from vidskim.io.probe import probe
from vidskim.io.references import find_references
from vidskim.io.residual import Residual, iter_residuals, residuals
from vidskim.io.walk import ReadStats
from vidskim.io.write.video import write_video
from vidskim.types import Clip

NAMES = [
    *("h264_long_gop.mp4", "h264_open_gop.mkv", "h264_no_b.mp4", "h264_tiny_gop.mp4", "h264.ts"),
    *("h264_b.avi", "raw.h264", "mpeg4_b.mp4", "mpeg4_b.avi", "mpeg4.avi"),
]


def whole(path: Path, *, num_frames: int = 10) -> tuple[PacketIndex, list[Clip]]:
    """A file's index and its grid of clips."""
    index = read_packets(path)
    return index, split(index.timestamps_seconds.tolist(), num_frames=num_frames)


def assert_equal(path: Path, index: PacketIndex, clips: list[Clip], **form: object) -> int:
    """What one decode gives is what two give; return the number of residuals."""
    per_clip, b_frames = int(form.pop("per_clip", 1)), bool(form.pop("b_frames", True))
    together = list(
        iter_compressed(
            reading_of(path, index), clips, residuals_per_clip=per_clip, b_frames=b_frames, **form
        )
    )
    maps = list(iter_motion(reading_of(path, index), clips, b_frames=b_frames))
    rest = list(iter_residuals(reading_of(path, index), clips, per_clip=per_clip, **form))
    assert len(together) == len(maps) == len(rest) == len(clips)
    for (clip, motion, residual), (same, expected), (also, wanted) in zip(together, maps, rest):
        assert clip == same == also
        for column in Motion.__slots__:
            assert torch.equal(getattr(motion, column), getattr(expected, column)), column
        for column in Residual.__slots__:
            assert torch.equal(getattr(residual, column), getattr(wanted, column)), column
    return sum(len(residual.values) for _, _, residual in together)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("per_clip", [1, 3])
def test_equal_to_two_decodes(footage: Callable[[str], Path], name: str, per_clip: int) -> None:
    path = footage(name)
    index, clips = whole(path)
    assert assert_equal(path, index, clips, per_clip=per_clip) >= len(clips) - 1
    some = [clips[4], clips[1], clips[1], lay_clip(15, num_frames=4, stride=3, index=9)]
    assert assert_equal(path, index, some, per_clip=per_clip) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_p_frames_alone_are_those_of_a_whole_read_and_cost_less(
    footage: Callable[[str], Path], name: str
) -> None:
    path = footage(name)
    index, clips = whole(path)
    info = probe(path, index)
    everything, few = ReadStats(), ReadStats()
    dense = list(iter_compressed(reading_of(path, index, info=info, stats=everything), clips))
    sparse = list(
        iter_compressed(reading_of(path, index, info=info, stats=few), clips, b_frames=False)
    )
    types = find_references(index)
    num_b = 0
    for (clip, motion, residual), (same, some, equal) in zip(dense, sparse):
        assert clip == same
        is_b = torch.from_numpy(types.is_b)[motion.frame_number]
        num_b += int(is_b.sum())
        assert torch.equal(some.frame_number, motion.frame_number[~is_b])
        assert torch.equal(some.vectors, motion.vectors[~is_b])
        assert torch.equal(some.intra, motion.intra[~is_b])
        assert torch.equal(equal.values, residual.values)
    assert assert_equal(path, index, clips, b_frames=False) >= len(clips) - 1
    if num_b and index.demuxed.is_disposable.any() and index.timed:
        assert few.frames_decoded < everything.frames_decoded


def test_a_clip_of_b_frames_only_keeps_them(footage: Callable[[str], Path]) -> None:
    path = footage("h264_long_gop.mp4")
    index = read_packets(path)
    start = "".join(index.picture_types).index("BB", 8)
    clips = [lay_clip(start, num_frames=2), lay_clip(start - 1, num_frames=4, index=1)]
    ((_, only_b, _), (_, with_p, _)) = sorted(
        iter_compressed(reading_of(path, index), clips, b_frames=False),
        key=lambda item: item[0].index,
    )
    assert only_b.frame_number.tolist() == [start, start + 1]
    assert set(index.picture_types[with_p.frame_number.numpy()]) == {"P"}
    assert assert_equal(path, index, clips, b_frames=False) == 2


@pytest.mark.parametrize("name", ["h264_long_gop.mp4", "mpeg4_b.mp4"])
@pytest.mark.parametrize("form", [{"quarter_luma": True}, {"size": (28, 30)}, {"size": (64, 80)}])
def test_every_form_of_residual(footage: Callable[[str], Path], name: str, form: dict) -> None:
    path = footage(name)
    assert assert_equal(path, *whole(path), **form) >= 6


def test_small_residuals_are_large_ones_shrunk(footage: Callable[[str], Path]) -> None:
    path = footage("h264_long_gop.mp4")
    index, clips = whole(path)
    large = residuals(reading_of(path, index), clips).values
    small = residuals(reading_of(path, index), clips, size=(28, 30)).values
    assert small.dtype == torch.float32
    expected = torch.nn.functional.interpolate(
        large.float(), size=(28, 30), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(small, expected)
    assert large.any()
    same = residuals(reading_of(path, index), clips, size=(64, 80)).values
    assert torch.equal(same, large.float())
    quarter = residuals(reading_of(path, index), clips, quarter_luma=True, size=(8, 9))
    assert quarter.values.shape == (len(clips), 1, 8, 9)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_files(tmp_path: Path, degrees: int) -> None:
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        stream.set_display_rotation(-degrees)
        for picture in moving_pictures(24):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    index, clips = whole(path)
    assert assert_equal(path, index, clips) == len(clips)
    assert assert_equal(path, index, clips, size=(20, 24)) == len(clips)
    found = residuals(reading_of(path, index), clips)
    assert found.values.shape[2:] == ((64, 80) if degrees == 180 else (80, 64))


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_only_key_frames_give_empty_parts(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "intra.mp4"
    write_video(path, moving_pictures(20), codec=codec, options={"g": "1", "bf": "0"})
    index, clips = whole(path)
    assert index.is_key.all()
    assert assert_equal(path, index, clips) == 0


def test_predicted_frames_without_vectors_have_residuals_of_the_plain_difference(
    tmp_path: Path,
) -> None:
    path = tmp_path / "noise.mp4"
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(10)]
    write_video(path, noise, options={"bf": "0", "x264-params": "scenecut=0"})
    index, clips = whole(path)
    assert assert_equal(path, index, clips) == 1
    ((_, motion, residual),) = iter_compressed(reading_of(path, index), clips)
    assert motion.intra.mean() > 0.9
    assert residual.values.float().abs().mean() > 30


@pytest.mark.parametrize("name", ["hevc.mp4", "vp9.webm"])
def test_a_codec_without_vectors_warns_once_and_decodes_nothing(
    footage: Callable[[str], Path], name: str
) -> None:
    path = footage(name)
    index, clips = whole(path)
    info = probe(path, index)
    warnings: list[str] = []
    stats = ReadStats()
    for _ in range(2):
        found = list(
            iter_compressed(
                reading_of(path, index, info=info, stats=stats, warnings=warnings), clips
            )
        )
    assert [clip for clip, _, _ in found] == clips
    assert all(len(motion.vectors) == len(rest.values) == 0 for _, motion, rest in found)
    assert found[0][1].vectors.shape == (0, 2, 4, 5)
    assert found[0][2].values.shape == (0, 3, 64, 80)
    assert len(warnings) == 1
    assert "exports no motion vectors" in warnings[0]
    assert stats.frames_decoded == stats.bytes_read == 0


def test_no_clips_and_wrong_numbers(footage: Callable[[str], Path]) -> None:
    path = footage("h264_no_b.mp4")
    index = read_packets(path)
    assert list(iter_compressed(reading_of(path, index), [])) == []
    with pytest.raises(UsageError, match="at least 1, got 0"):
        list(iter_compressed(reading_of(path, index), [], residuals_per_clip=0))


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_is_decoded_once_and_groups_without_clips_not_at_all(
    footage: Callable[[str], Path], name: str
) -> None:
    path = footage(name)
    index, clips = whole(path)
    info = probe(path, index)
    stats = ReadStats()
    list(iter_compressed(reading_of(path, index, info=info, stats=stats), clips))
    assert stats.frames_decoded <= len(index)
    if name in ("h264_no_b.mp4", "mpeg4_b.mp4", "h264.ts"):
        few = ReadStats()
        list(iter_compressed(reading_of(path, index, info=info, stats=few), [clips[3]]))
        assert few.frames_decoded <= 24


def test_damage_is_told_once(footage: Callable[[str], Path], tmp_path: Path) -> None:
    path = footage("h264_no_b.mp4")
    index, clips = whole(path)
    data = bytearray(path.read_bytes())
    for number in range(32, 36):
        start = int(index.demuxed.positions[number])
        data[start + 4 : start + int(index.sizes[number])] = bytes(int(index.sizes[number]) - 4)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    warnings: list[str] = []
    found = list(iter_compressed(reading_of(damaged, index, warnings=warnings), clips))
    assert [clip.index for clip, _, _ in found] == list(range(len(clips)))
    assert sum("could not decode" in text for text in warnings) == 1
    assert len(found[3][1].vectors) < 10 <= len(found[1][1].vectors) + 1


def test_memory_stays_flat(tmp_path: Path) -> None:
    reader = "vidskim.io.motion_residual.iter_compressed"
    growth = growth_over_clips(tmp_path, reader, num_frames=8, after=8)
    # residuals of 30 clips would be 55 MB, 240 frames 110 MB
    assert growth < 8e6
