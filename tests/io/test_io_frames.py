"""RGB clips against a plain decode: order, overlap, rotation, color, holes."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from footage import NUM_FRAMES, STREAMS, loop, moving_pictures, plain_decode, reading_of
from resident import EXACT_HEAP
from torch import Tensor

from vidskim.clips.grid import lay_clip, split
from vidskim.io.frames import RgbConverter, read_clips, wanted_ranges
from vidskim.io.packets import read_packets
from vidskim.io.probe import rotation_degrees
from vidskim.io.walk import ReadStats
from vidskim.io.write.video import write_video
from vidskim.types import Clip


def _clip(start: int, num_frames: int = 4, *, stride: int = 1, num_valid: int | None = None):
    valid = num_frames if num_valid is None else num_valid
    return lay_clip(
        start, num_frames=num_frames, stride=stride, total=start + valid * stride, index=start
    )


def _as_pictures(frames: Tensor) -> np.ndarray:
    return frames.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("name", STREAMS)
def test_every_clip_of_a_grid_equals_a_plain_decode(footage, truth, name):
    path, expected = footage(name), np.stack(truth(name))
    index = read_packets(path)
    for num_frames, stride, step in [(8, 1, None), (4, 3, 5), (16, 2, 7), (100, 1, None)]:
        clips = split(
            index.timestamps_seconds.tolist(), num_frames=num_frames, stride=stride, step=step
        )
        stats, warnings = ReadStats(), []
        read = list(
            read_clips(reading_of(path, index, stats=stats, warnings=warnings), clips[::-1])
        )
        assert [clip for clip, _ in read] == clips
        for clip, frames in read:
            assert frames.shape == (num_frames, 3, 64, 80)
            assert frames.dtype == torch.uint8
            assert np.array_equal(_as_pictures(frames), expected[list(clip.frame_indices)])
        assert stats.frames_decoded <= NUM_FRAMES
        assert warnings == []


def test_equal_clips_are_read_once_each(footage, truth):
    path = footage("h264_no_b.mp4")
    stats = ReadStats()
    read = list(read_clips(reading_of(path, read_packets(path), stats=stats), [_clip(8), _clip(8)]))
    assert len(read) == 2
    assert torch.equal(read[0][1], read[1][1])
    assert read[0][1].data_ptr() != read[1][1].data_ptr()
    assert stats.frames_decoded == 4


def test_wanted_ranges_are_the_frames_of_the_clips():
    clips = [_clip(0, 3, stride=4), _clip(8, 2), _clip(20, 4, num_valid=2)]
    assert wanted_ranges(clips) == [(0, 1), (4, 5), (8, 10), (20, 22)]
    assert wanted_ranges([]) == []


def test_a_missing_frame_is_replaced_by_the_nearest_and_told(tmp_path):
    path = tmp_path / "damaged.mp4"
    write_video(path, moving_pictures(32), options={"g": "8", "bf": "0"})
    index = read_packets(path)
    data = bytearray(path.read_bytes())
    for number in (12, 13, 14, *range(24, 32)):
        start = int(index.demuxed.positions[number])
        data[start : start + int(index.sizes[number])] = bytes(int(index.sizes[number]))
    path.write_bytes(data)
    warnings: list[str] = []
    clips = [_clip(0), _clip(11), _clip(13, 3), _clip(24)]
    read = {
        clip.index: frames
        for clip, frames in read_clips(reading_of(path, index, warnings=warnings), clips)
    }
    assert sorted(read) == [0, 11, 13]
    assert torch.equal(read[11][1], read[11][0])
    assert torch.equal(read[11][3], read[11][0])
    assert torch.equal(read[13][0], read[13][2])
    assert not torch.equal(read[13][2], read[11][0])
    assert warnings == [
        "7 of 13 frames could not be decoded",
        "1 clips are left out: not one of their frames could be decoded",
    ]


def _write_turned(path: Path, pictures: list[np.ndarray], *, counterclockwise: float) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.set_display_rotation(counterclockwise)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_frames_are_turned_upright(tmp_path, degrees):
    path = tmp_path / "turned.mp4"
    _write_turned(path, moving_pictures(3), counterclockwise=degrees)
    plain = plain_decode(path)
    index = read_packets(path)
    [(_, frames)] = read_clips(reading_of(path, index), [_clip(0, 3)])
    turned = [np.rot90(picture, k=degrees // 90) for picture in plain]  # counterclockwise, as told
    assert np.array_equal(_as_pictures(frames), np.stack(turned))
    with av.open(str(path)) as container:
        assert rotation_degrees(next(container.decode(video=0))) == -degrees % 360


@pytest.mark.data
@pytest.mark.parametrize(("degrees", "quarters"), [(0, 0), (90, -1), (180, 2), (270, 1)])
def test_real_files_are_turned_upright(data_folder, degrees, quarters):
    """A keyboard filmed in four positions; by eye, these turns make its letters readable."""
    path = data_folder / "clips" / "decord" / f"tests__test_data__video_{degrees}.mov"
    [(_, frames)] = read_clips(reading_of(path, read_packets(path)), [_clip(0, 1)])
    upright = np.rot90(plain_decode(path)[0], k=quarters)
    assert upright.shape == ((568, 320, 3) if degrees % 180 else (320, 568, 3))
    assert np.array_equal(_as_pictures(frames)[0], upright)


def test_a_size_that_changes_is_scaled_to_the_first(tmp_path):
    path = tmp_path / "grows.h264"
    parts = []
    for number, (height, width) in enumerate([(64, 80), (96, 112)]):
        part = tmp_path / f"{number}.h264"
        write_video(
            part, moving_pictures(8, height=height, width=width), options={"bf": "0", "g": "4"}
        )
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    index = read_packets(path)
    assert len(index) == 16
    [(_, frames)] = read_clips(reading_of(path, index), [_clip(0, 16)])
    assert frames.shape == (16, 3, 64, 80)
    with av.open(str(path)) as container:
        last = list(container.decode(video=0))[-1]
    assert (last.width, last.height) == (112, 96)
    expected = last.reformat(width=80, height=64, format="rgb24").to_ndarray()
    assert np.array_equal(_as_pictures(frames)[-1], expected)


def _through_filters(frame: av.VideoFrame) -> np.ndarray:
    """FFmpeg's own conversion: its filter graph, not PyAV's reformatter."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    scale = graph.add("scale", "out_range=full:flags=bilinear")
    to_rgb, sink = graph.add("format", "rgb24"), graph.add("buffersink")
    source.link_to(scale)
    scale.link_to(to_rgb)
    to_rgb.link_to(sink)
    graph.configure()
    source.push(frame)
    return graph.pull().to_ndarray()


@pytest.mark.parametrize("color_range", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
def test_range_and_depth_of_colors_are_respected(color_range, pixels):
    luma, depth = (235 if color_range == 1 else 255), 4 if pixels.endswith("10le") else 1
    dtype = np.uint16 if depth == 4 else np.uint8
    frame = av.VideoFrame(64, 48, pixels)
    for plane, value in zip(frame.planes, [luma, 128, 128]):
        size = plane.buffer_size // np.dtype(dtype).itemsize
        plane.update(np.full(size, value * depth, dtype).tobytes())
    frame.color_range = color_range
    white = RgbConverter()(frame)
    assert white.shape == (48, 64, 3)
    assert white.min() >= 253


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["bt709_full_range.mp4", "h264_10bits.mp4", "h265_10bits.mp4", "nasa_13013.mp4"]
)
def test_colors_of_real_files_are_those_of_ffmpegs_filters(data_folder, name):
    with av.open(str(data_folder / "clips" / "torchcodec" / name)) as container:
        frame = next(container.decode(container.streams.best("video")))
    difference = np.abs(RgbConverter()(frame).astype(int) - _through_filters(frame).astype(int))
    assert np.median(difference) == 0
    assert difference.mean() < 3  # at hard edges of 10-bit chroma the filters round more finely


_MEMORY = """
import re, sys, torch
from pathlib import Path
from vidskim.clips.grid import split
from vidskim.io.frames import read_clips
from vidskim.io.reading import Reading

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

before = peak()
reading = Reading(Path(sys.argv[1]))
clips = split(reading.packets.timestamps_seconds.tolist())
for clip, frames in read_clips(reading, clips[::int(sys.argv[2])]):
    pass
print(peak() - before)
"""


def _peak_mebibytes(path: Path, *, every: int) -> float:
    command = [sys.executable, "-c", _MEMORY, str(path), str(every)]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | EXACT_HEAP
    )
    return float(run.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's peak memory")
def test_memory_is_flat_whatever_the_length(footage, tmp_path):
    path = footage("h264_long_gop.mp4")
    longer = tmp_path / "longer.mp4"
    loop(path, longer, times=40)
    assert _peak_mebibytes(longer, every=1) - _peak_mebibytes(path, every=1) < 10


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's peak memory")
def test_ten_minutes_of_720p_fit_in_150_megabytes(tmp_path):
    source, path = tmp_path / "source.mp4", tmp_path / "long.mp4"
    pictures = moving_pictures(100, height=720, width=1280)
    write_video(source, pictures, options={"preset": "ultrafast", "g": "50"})
    loop(source, path, times=150)
    assert read_packets(path).duration_seconds == pytest.approx(600)
    assert _peak_mebibytes(path, every=9) < 150


def test_reading_leaves_no_cycles_behind(footage):
    path = footage("h264_long_gop.mp4")
    index = read_packets(path)
    clips = split(index.timestamps_seconds.tolist(), num_frames=4)
    gc.collect()
    gc.disable()
    try:
        for _ in read_clips(reading_of(path, index), clips):
            pass
        assert gc.collect() < 50
    finally:
        gc.enable()


UNEVEN = [
    Clip(0, (0, 1, 5, 6, 14), 5, 0.0, 0.8, 20),
    Clip(1, (3, 3, 4, 20, 20), 5, 0.1, 0.9, 22),  # slower than it was laid: frames stand twice
    Clip(2, (40, 47, 63, 63, 63), 3, 1.6, 2.6, 64),
    Clip(3, (2, 50, 51, 52, 61), 5, 0.1, 2.5, 63),
]


@pytest.mark.parametrize("name", ["h264_no_b.mp4", "h264_open_gop.mkv", "mpeg4.avi"])
def test_clips_of_uneven_frames_equal_a_plain_decode(footage, truth, name):
    expected = np.stack(truth(name))
    read = list(read_clips(reading_of(footage(name), read_packets(footage(name))), UNEVEN[::-1]))
    assert sorted(clip.index for clip, _ in read) == [0, 1, 2, 3]
    for clip, frames in read:
        assert np.array_equal(_as_pictures(frames), expected[list(clip.frame_indices)])
