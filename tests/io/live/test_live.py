"""What comes out while a video is still coming is what the finished file gives."""

import io
import os
import re
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import BuiltinMethodType

import av
import numpy as np
import pytest
import torch
from footage import NUM_FRAMES, STREAMS, loop, moving_pictures
from resident import EXACT_HEAP

from vidskim.errors import UsageError, VideoError
from vidskim.io.live.clips import LiveClips
from vidskim.io.live.growing import Feed
from vidskim.io.write.video import write_video
from vidskim.types import Clip
from vidskim.video import Video


class Drip:
    """A pipe that gives a few bytes at a time, and counts them."""

    def __init__(self, data: bytes, *, size: int = 300) -> None:
        self.given = 0
        self._data = data
        self._size = size

    def read(self, size: int) -> bytes:
        start = self.given
        self.given = min(len(self._data), start + min(size, self._size))
        return self._data[start : self.given]


def _live(source, **options) -> tuple[LiveClips, list[tuple[Clip, torch.Tensor]]]:
    with LiveClips(source, **{"idle_seconds": 0.0, **options}) as live:
        return live, list(live)


def _check_equal(source, path: Path, *, ends: float = 0.0, **grid: int) -> LiveClips:
    """Compare a source with the finished file, in every bit of every clip.

    The end of a clip, which lies in the future, may be ``ends`` seconds off, and that of the last
    clip reach over the end of the video by the gap behind its last frame.
    """
    video = Video(path)
    finished = list(video.iter_frames(video.clips(**grid)))
    live, clips = _live(source, **grid)
    stride = grid.get("stride", 1)
    assert len(clips) == len(finished) > 0
    for (clip, frames), (same, expected) in zip(clips, finished):
        assert abs(clip.end_seconds - same.end_seconds) <= ends
        stop = same.stop_frame
        if same == finished[-1][0] and ends:
            assert stop <= clip.stop_frame < stop + stride
        else:
            assert clip.stop_frame == stop
        assert replace(clip, end_seconds=same.end_seconds, stop_frame=stop) == same
        assert torch.equal(frames, expected)
        assert frames.permute(0, 2, 3, 1).is_contiguous()
    assert live.info.to_json() == {**video.info.to_json(), "path": live.path}
    assert live.warnings == video.warnings
    return live


@pytest.mark.parametrize("grid", [{"num_frames": 8}, {"num_frames": 7, "stride": 2}], ids=str)
@pytest.mark.parametrize("name", STREAMS)
def test_a_file_gives_the_clips_of_the_finished_file(footage, name, grid):
    path = footage(name)
    live = _check_equal(path, path, **grid)
    assert live.stats.frames_decoded == NUM_FRAMES
    assert 0 < live.stats.bytes_read <= path.stat().st_size


IN_A_PIPE = [
    name for name in STREAMS if not name.endswith(".mp4")
]  # a plain MP4's index comes last: see below


@pytest.mark.parametrize("name", IN_A_PIPE)
def test_a_pipe_gives_the_clips_of_the_finished_file(footage, name):
    path = footage(name)
    _check_equal(Drip(path.read_bytes()), path, num_frames=8)


def _remux(source: Path, target: Path, **options: str) -> Path:
    """Copy the pictures of a file into another container, or another form of it."""
    with av.open(str(source)) as reader, av.open(str(target), "w", options=options) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        for packet in reader.demux(stream):
            if packet.size:
                packet.stream = copy
                writer.mux(packet)
    return target


MP4_FORMS = {
    "index_first": "faststart",
    "fragments": "frag_keyframe+empty_moov+default_base_moof",
    "fragment_per_frame": "frag_every_frame+empty_moov+default_base_moof",
}


@pytest.mark.parametrize("form", MP4_FORMS)
@pytest.mark.parametrize("as_pipe", [True, False], ids=["pipe", "file"])
def test_forms_of_mp4_that_can_be_read_front_to_back(footage, tmp_path, form, as_pipe):
    path = _remux(footage("h264.ts"), tmp_path / "video.mp4", movflags=MP4_FORMS[form])
    _check_equal(Drip(path.read_bytes()) if as_pipe else path, path, num_frames=8)


def test_an_mp4_whose_index_comes_last(footage, tmp_path):
    whole = footage("h264_long_gop.mp4")
    _check_equal(whole, whole, num_frames=8)
    data = whole.read_bytes()
    pipe = Drip(data)
    with pytest.raises(VideoError, match="index comes last and is beyond reach in a pipe: give"):
        _live(pipe)
    assert pipe.given < 2000  # refused at once, not when the stream ends
    growing = tmp_path / "growing.mp4"
    growing.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match="is not written yet: wait until it is finished; Matro"):
        _live(growing)


@contextmanager
def _written(path: Path, data: bytes, *, parts: int = 12, pause: float = 0.05):
    """Append a file's bytes to ``path`` in a thread, part by part."""
    path.touch()
    size = -(-len(data) // parts)

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            for start in range(0, len(data), size):
                file.write(data[start : start + size])
                time.sleep(pause)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


GROWING = ["h264_open_gop.mkv", "h264.ts", "mpeg4_b.avi", "mpeg4.avi", "vp9.webm", "h264.flv"]


@pytest.mark.parametrize("name", GROWING)
def test_a_file_that_grows_meanwhile(footage, tmp_path, name):
    whole, path = footage(name), tmp_path / name
    video = Video(whole)
    expected = list(video.iter_frames(video.clips(num_frames=8)))
    with (
        _written(path, whole.read_bytes()) as writing,
        LiveClips(path, num_frames=8, idle_seconds=1.0) as live,
    ):
        clips = iter(live)
        clip, frames = next(clips)
        assert writing.is_alive()  # answers come before the end does
        first = time.monotonic()
        given = [(clip, frames), *clips]
        assert time.monotonic() - first > 1.0  # the end is believed only after a while
    assert [clip for clip, _ in given] == [clip for clip, _ in expected]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(given, expected))


def test_a_fragmented_mp4_that_grows(footage, tmp_path):
    form = MP4_FORMS["fragment_per_frame"]
    whole = _remux(footage("h264.ts"), tmp_path / "whole.mp4", movflags=form)
    path = tmp_path / "path.mp4"
    with _written(path, whole.read_bytes()):
        _, clips = _live(path, num_frames=8, idle_seconds=1.0)
    video = Video(whole)
    assert torch.equal(torch.stack([x for _, x in clips]), video.frames(video.clips(num_frames=8)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe(footage, tmp_path):
    whole, path = footage("h264.ts"), tmp_path / "pipe"
    os.mkfifo(path)
    with _written(path, whole.read_bytes()):
        live = _check_equal(path, whole, num_frames=8)
    assert live.path == str(path)


def test_a_buffered_pipe_gives_what_is_there(footage):
    """Its ``read`` would wait for a full buffer, and an answer for the end of the video."""
    data = footage("h264.ts").read_bytes()
    reading, writing = os.pipe()
    with open(writing, "wb", buffering=0) as writer, open(reading, "rb") as reader:
        writer.write(data[: len(data) * 2 // 3])
        with LiveClips(reader, num_frames=8) as live:
            clips = iter(live)
            for expected in range(4):
                clip, _ = next(clips)
                assert clip.index == expected
            writer.write(data[len(data) * 2 // 3 :])
            writer.close()
            assert [clip.index for clip, _ in clips] == [4, 5, 6, 7]
        assert not reader.closed


T = 8


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("count", [1, 3, 4, 7, 8, 9, 11, 12, 13, 16, 19, 20, 22, 23, 24, 35, 36])
def test_a_stream_that_ends_mid_clip(tmp_path, count, stride):
    path = tmp_path / "short.mkv"
    pictures = moving_pictures(count, height=48, width=64)
    write_video(path, pictures, codec="mpeg4", options={"bf": "2", "g": "6"})
    # that the video ends with a clip, or within its last stride, shows only later
    _check_equal(path, path, ends=1e-9 + 0.04 * (stride - 1), num_frames=T, stride=stride)
    _, clips = _live(Drip(path.read_bytes()), num_frames=T, stride=stride)
    full, rest = divmod(count, T * stride)
    num_valid = -(-rest // stride)
    kept = num_valid > 0 and (2 * num_valid >= T or full == 0)
    assert [clip.num_valid for clip, _ in clips] == [T] * full + [num_valid] * kept
    if kept:
        _, frames = clips[-1]
        assert all(torch.equal(frames[n], frames[num_valid - 1]) for n in range(num_valid, T))


@pytest.mark.parametrize("share", [0.45, 0.55, 0.7, 0.9])
@pytest.mark.parametrize("name", ["h264.ts", "h264_open_gop.mkv", "mpeg4.avi", "vp9.webm"])
def test_a_stream_that_ends_mid_packet(footage, tmp_path, name, share):
    path = tmp_path / name
    data = footage(name).read_bytes()
    path.write_bytes(data[: round(share * len(data))])
    _check_equal(path, path, ends=0.2, num_frames=8)
    _check_equal(Drip(path.read_bytes()), path, ends=0.2, num_frames=8)


def _damage(data: bytes, *, places: list[float]) -> bytes:
    damaged = bytearray(data)
    for share in places:
        start = round(share * len(damaged))
        damaged[start : start + 40] = np.random.default_rng(start).bytes(40)
    return bytes(damaged)


@pytest.mark.parametrize("name", ["h264.ts", "h264_no_b.mp4", "mpeg4.avi", "raw.h264", "hevc.mp4"])
def test_damage_is_told_and_filled_as_in_a_file(footage, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(_damage(footage(name).read_bytes(), places=[0.4, 0.43, 0.46, 0.7]))
    live = _check_equal(path, path, ends=0.2, num_frames=4)
    assert live.warnings or name == "hevc.mp4"


def test_frames_lost_before_a_long_outage_are_not_given_up(tmp_path):
    """The decoder holds two frames while it refuses everything up to the end."""
    source = tmp_path / "source.mkv"
    write_video(source, moving_pictures(64) * 4, options={"g": "300"})
    path = _remux(source, tmp_path / "video.mp4", movflags="faststart")
    data = bytearray(path.read_bytes())
    start = round(0.4 * len(data))
    del data[start : start + 8]  # from here on, the index points beside every packet
    path.write_bytes(data)
    live = _check_equal(path, path, ends=0.2, num_frames=8)
    (told,) = re.findall(r"(\d+) of 256 frames could not be decoded", " ".join(live.warnings))
    assert 70 < int(told) < 200


def test_the_end_of_a_clip_is_known_where_the_next_packet_has_come(tmp_path):
    """At 30 frames per second in milliseconds, frames last 33 or 34, and are said to last 33."""
    path = tmp_path / "video.mkv"
    write_video(path, moving_pictures(80) * 2, frame_rate=30, options={"bf": "3", "g": "50"})
    video = Video(path)
    _, clips = _live(path, num_frames=4)
    expected = [clip.end_seconds for clip in video.clips(num_frames=4)]
    found = [clip.end_seconds for clip, _ in clips]
    assert found == pytest.approx(expected, abs=1.5e-3)
    assert sum(a == b for a, b in zip(found, expected)) >= 0.9 * len(expected)


def _frame_ends(path: Path) -> list[int]:
    """Where the bytes of each frame end in the file, in the order of the file."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return sorted(p.pos + p.size for p in packets if p.size and p.pos is not None)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("plain.mkv", 1),
        ("plain.ts", 2),
        ("pyramid.mkv", 3),
        ("pyramid.ts", 5),
        ("pyramid.flv", 3),
        ("fast.webm", 1),
    ],
)
def test_a_clip_comes_soon_after_its_last_frame(tmp_path, name, most):
    """In frames that have come in between: B-frames make two, MPEG-TS one or two."""
    path = tmp_path / name
    codec, options = "h264", {"g": "25", "bf": "0" if "plain" in name else "3"}
    if name.endswith("webm"):
        codec, options = "vp9", {"g": "25", "deadline": "realtime", "cpu-used": "8"}
    write_video(path, moving_pictures(80) * 2, codec=codec, options=options)
    ends = _frame_ends(path)
    pipe = Drip(path.read_bytes(), size=50)
    late = []
    with LiveClips(pipe, num_frames=8) as live:
        for clip, _ in live:
            late.append(bisect_right(ends, pipe.given) - 1 - clip.frame_indices[-1])
    assert len(late) == 20
    # FFmpeg looks at half a second first, or at more, to learn the order of B-frames
    assert max(late[4:]) <= most
    assert max(late) <= 24


_MEMORY = """
import re, sys
from pathlib import Path
from vidskim.io.live.clips import LiveClips

def mebibytes(kind):
    status = Path("/proc/self/status").read_text()
    return int(re.search(kind + r":\\s+(\\d+)", status)[1]) / 1024

with LiveClips(open(sys.argv[1], "rb"), num_frames=16) as live:
    for clip, frames in live:
        if clip.index == 20:
            before = mebibytes("VmRSS")
        assert mebibytes("VmRSS") - before < 8 if clip.index > 20 else True
print(mebibytes("VmRSS") - before, live.info.num_frames)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's memory")
@pytest.mark.parametrize(
    "times", [50, pytest.param(313, marks=pytest.mark.slow)], ids=["3200", "20032"]
)
def test_memory_does_not_grow_with_the_stream(tmp_path, times):
    """The allocator's own ups and downs are 5 MB; one byte of each frame kept would be 60 MB."""
    source, path = tmp_path / "source.mp4", tmp_path / "long.ts"
    write_video(source, moving_pictures(64, height=48, width=64), options={"g": "12"})
    loop(source, path, times=times)
    command = [sys.executable, "-c", _MEMORY, str(path)]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | EXACT_HEAP
    )
    growth, num_frames = run.stdout.split()
    assert int(num_frames) == 64 * times
    assert float(growth) < (2 if times > 100 else 6)


def test_a_clock_that_is_set_back(footage, tmp_path):
    data = footage("h264.ts").read_bytes()
    live, clips = _live(Drip(data + data), num_frames=8)
    once = Video(footage("h264.ts"))
    frames = once.frames(once.clips(num_frames=8))
    assert torch.equal(torch.stack([x for _, x in clips]), torch.cat([frames, frames]))
    starts = [clip.start_seconds for clip, _ in clips]
    assert starts == pytest.approx([0.32 * n for n in range(16)])
    assert [text for text in live.warnings if "clock was set back (1x)" in text]


@pytest.mark.parametrize("degrees", [90, 180])
def test_frames_are_turned_upright(tmp_path, degrees):
    path = tmp_path / "turned.mp4"
    options = {"movflags": MP4_FORMS["fragments"]}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 80, "yuv420p"
        stream.set_display_rotation(degrees)
        for picture in moving_pictures(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    live = _check_equal(Drip(path.read_bytes()), path, num_frames=8)
    assert live.info.rotation == -degrees % 360


def test_a_size_that_changes_is_scaled_to_the_first(tmp_path):
    parts = []
    for number, (height, width) in enumerate([(64, 80), (96, 112)]):
        part = tmp_path / f"{number}.h264"
        pictures = moving_pictures(8, height=height, width=width)
        write_video(part, pictures, options={"bf": "0", "g": "4"})
        parts.append(part.read_bytes())
    path = tmp_path / "grows.h264"
    path.write_bytes(b"".join(parts))
    _check_equal(path, path, num_frames=16)


def test_sound_beside_the_pictures(sample_video, tmp_path):
    for name in ("sound.mkv", "sound.ts"):
        path = tmp_path / name
        with av.open(str(sample_video)) as reader, av.open(str(path), "w") as writer:
            copies = {s: writer.add_stream_from_template(s) for s in reader.streams}
            for packet in reader.demux():
                if packet.size:
                    packet.stream = copies[packet.stream]
                    writer.mux(packet)
        live = _check_equal(Drip(path.read_bytes(), size=4096), path)
        assert live.info.has_audio


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("decord/examples__flipping_a_pancake.mkv", 2e-3),  # milliseconds at 30 frames per second
        ("decord/tests__test_data__unordered.mov", 1e-9),
        ("decord/tests__test_data__video_90.mov", 1e-9),
        ("torchcodec/av1_video.mkv", 2e-3),
        ("torchcodec/h264_10bits.mp4", 1e-9),
        ("torchcodec/nasa_13013.mp4", 1e-9),
    ],
)
def test_real_files(data_folder, name, ends):
    path = data_folder / "clips" / name
    _check_equal(path, path, ends=ends, num_frames=16)


class _Refusing:
    """Gives the start of a video, then what goes wrong."""

    def __init__(self, data: bytes, failure: BaseException) -> None:
        self._data = io.BytesIO(data)
        self._failure = failure

    def read(self, size: int) -> bytes:
        data = self._data.read(size)
        if not data:
            raise self._failure
        return data


@pytest.mark.parametrize("length", [0, 1000, 20_000])
def test_an_interruption_ends_it(footage, length):
    """PyAV would take it for the end of the stream."""
    source = _Refusing(footage("h264.ts").read_bytes()[:length], KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        _live(source)


def test_an_interruption_after_the_last_frame_ends_it_too(tmp_path):
    """Nothing is left in the decoder that would bring it to light."""
    path = tmp_path / "intra.mkv"
    write_video(path, moving_pictures(16), codec="mpeg4", options={"g": "1", "bf": "0"})
    with pytest.raises(KeyboardInterrupt):
        _live(_Refusing(path.read_bytes(), KeyboardInterrupt()), num_frames=8)


def test_ffmpeg_is_given_no_python_function(footage):
    """An interruption at the start of one, before its ``try``, is lost: 3 of 400 were."""
    feed = Feed(footage("h264.ts"))
    assert isinstance(feed.read, BuiltinMethodType)
    feed.close()


@pytest.mark.parametrize("length", [0, 1000, 20_000])
def test_a_source_that_fails_is_no_end(footage, length):
    source = _Refusing(footage("h264.ts").read_bytes()[:length], OSError(5, "no such luck"))
    with pytest.raises(VideoError, match=r"^<_Refusing>: cannot be read on \(no such luck\)"):
        _live(source)


class _Odd(Drip):
    """Gives more than was asked for, and nothing at times; FFmpeg's buffer must not overflow."""

    def read(self, size: int) -> bytes | None:
        if self.given and self.given % 3 == 0:
            self._data = b"\0" + self._data  # the same bytes, one further
            self.given += 1
            return None
        return super().read(10**9)


def test_objects_that_do_not_keep_to_the_rules(footage):
    path = footage("h264.ts")
    _check_equal(_Odd(path.read_bytes(), size=200_001), path, num_frames=8)
    with pytest.raises(VideoError, match="gives text: open it in binary mode"):
        _live(io.StringIO("text"))
    with pytest.raises(UsageError, match="a stream is a path, '-' or a binary object"):
        _live(5)


def _text(path: Path) -> Path:
    path.write_text("a text file\n" * 100_000)
    return path


def _sound_only(path: Path) -> Path:
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for start in range(0, 64000, 1024):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 16000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _playlist(path: Path) -> Path:
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://localhost/a.ts\n")
    return path


def _made(path: Path, data: bytes = b"") -> Path:
    path.write_bytes(data)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


BAD = {
    "missing": (lambda path: path, "does not exist: check the path"),
    "folder": (_folder, "is a folder"),
    "device": (lambda path: Path("/dev/null"), "is a device: give a file or a pipe"),
    "empty": (_made, r"is empty \(0 bytes\): start the recording first"),
    "text": (_text, "is not readable as video: .*; Matroska, MPEG-TS and fragmented MP4 can be"),
    "noise": (
        lambda path: _made(path, np.random.default_rng(0).bytes(3_000_000)),
        "is not readable as video",
    ),
    "sound": (_sound_only, r"has no video stream \(audio only\)"),
    "playlist": (_playlist, "is not readable as video"),
    "header": (lambda path: _made(path, b"\x1aE\xdf\xa3" + bytes(40)), "is not readable as video"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("as_pipe", [False, True], ids=["file", "pipe"])
def test_what_is_no_video_is_refused_in_one_line(tmp_path, name, as_pipe):
    make, reason = BAD[name]
    source = path = make(tmp_path / "input.bin")
    if as_pipe:
        if not path.is_file():
            pytest.skip("nothing that a pipe could give")
        source = Drip(path.read_bytes(), size=4096)
        reason = "ended before its first byte: check what" if name == "empty" else reason
    with pytest.raises(VideoError, match=reason) as caught:
        _live(source)
    assert str(caught.value).startswith(f"{'<Drip>' if as_pipe else path}: ")
    assert "\n" not in str(caught.value)


def test_noise_is_given_up_before_the_stream_ends():
    class Noise:
        given = 0

        def read(self, size: int) -> bytes:
            self.given += size
            assert self.given < 20_000_000, "noise is read without end"
            return np.random.default_rng(self.given).bytes(size)

    with pytest.raises(VideoError, match="is not readable as video"):
        _live(Noise())


def test_a_file_that_never_begins_is_waited_for(tmp_path):
    path = tmp_path / "never.ts"
    path.touch()
    start = time.monotonic()
    with pytest.raises(VideoError, match=r"is empty \(0 bytes\) after 0.3 s: start the recording"):
        _live(path, idle_seconds=0.3)
    assert 0.3 <= time.monotonic() - start < 3


def test_a_file_that_pauses_before_its_first_frame(footage, tmp_path):
    path = tmp_path / "pauses.mkv"
    path.write_bytes(footage("h264_open_gop.mkv").read_bytes()[:200])
    with pytest.raises(VideoError, match=r"it has not grown for 0.3 s: wait longer if it is still"):
        _live(path, idle_seconds=0.3)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_frames": 0}, "clips need num_frames, stride"),
        ({"stride": 0}, "clips need num_frames, stride"),
        ({"idle_seconds": -1.0}, "idle_seconds is a time of at least 0, got -1"),
        ({"idle_seconds": float("nan")}, "idle_seconds is a time of at least 0, got nan"),
    ],
)
def test_impossible_settings(footage, options, reason):
    with pytest.raises(UsageError, match=reason):
        _live(footage("h264.ts"), **options)


def test_what_is_known_meanwhile(footage):
    path = footage("h264.ts")
    with LiveClips(Drip(path.read_bytes()), num_frames=8) as live:
        with pytest.raises(VideoError, match="nothing of it has been read yet"):
            _ = live.info
        told = [(live.info.num_frames, live.info.duration_seconds) for _ in live]
    assert told == [(8 * n, pytest.approx(0.32 * n)) for n in range(1, 9)]
    assert re.fullmatch(r"LiveClips\('<Drip>'\)", repr(live))


def test_reading_may_stop_halfway(footage):
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0

    before = open_files()
    live = LiveClips(footage("h264.ts"), num_frames=8)
    clips: Iterator[tuple[Clip, torch.Tensor]] = iter(live)
    next(clips)
    clips.close()
    assert open_files() == before
