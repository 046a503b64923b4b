"""Only local media files are opened: no protocol, playlist or reference reaches anything else."""

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from vidskim.errors import VideoError
from vidskim.io.container import (
    check_size,
    main_video_stream,
    open_container,
    origin_seconds,
    read_only,
)
from vidskim.io.packets import read_packets
from vidskim.io.write.video import write_video
from vidskim.video import Video


def _pictures(count: int = 10) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "plain.mp4"
    write_video(path, _pictures())
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: os.mkfifo(path), "pipe or device"),
        (lambda path: path.write_text("no video, but quite a few words\n" * 40), "not readable"),
        (lambda path: path.write_bytes(bytes(range(256)) * 200), "not readable"),
    ],
)
def test_what_is_no_video_file_is_refused_in_one_line(tmp_path, make, reason):
    path = tmp_path / "thing.mp4"
    make(path)
    with pytest.raises(VideoError, match=reason) as error:
        open_container(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_device_and_a_null_byte_are_refused():
    with pytest.raises(VideoError, match="pipe or device"):
        open_container("/dev/zero")
    with pytest.raises(VideoError, match="cannot be reached"):
        open_container("a\0b.mp4")


@pytest.mark.parametrize("name", ["http:x.mp4", "concat:a|b.mp4", "pipe:0", "-i", "%d.mp4"])
def test_a_name_is_never_a_protocol_or_a_pattern(video, name, monkeypatch):
    monkeypatch.chdir(video.parent)
    os.rename(video, video.parent / name)
    with open_container(name) as container:
        assert main_video_stream(container, name).width == 64


def test_a_playlist_does_not_open_what_it_lists(video, tmp_path):
    part, playlist = tmp_path / "part.ts", tmp_path / "list.m3u8"
    write_video(part, _pictures())
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\npart.ts\n#EXT-X-ENDLIST\n")
    with av.open(str(playlist)) as container:  # FFmpeg left alone does
        assert container.streams.video
    with pytest.raises(VideoError, match="playlists and lists are refused"):
        open_container(playlist)
    disguised = tmp_path / "holiday.mp4"
    disguised.write_text(playlist.read_text())
    with pytest.raises(VideoError):
        open_container(disguised)


def test_a_concat_list_does_not_open_what_it_lists(video, tmp_path):
    listing = tmp_path / "list.ffconcat"
    listing.write_text("ffconcat version 1.0\nfile plain.mp4\n")
    with av.open(str(listing)) as container:
        assert container.streams.video
    with pytest.raises(VideoError, match="playlists and lists are refused"):
        open_container(listing)


def _with_external_reference(data: bytes, target: Path) -> bytes:
    """Make an MP4 take its samples from another file: a Macintosh alias in its ``dref`` box."""
    path = str(target).encode()
    path += b"\0" * (len(path) % 2)
    alias = (
        b"alis" + bytes(4) + bytes(10) + bytes(28) + bytes(12) + bytes(64) + bytes(16)
        + struct.pack(">HH", 1, 1) + bytes(16) + struct.pack(">HH", 2, len(path)) + path
        + struct.pack(">hH", -1, 0)
    )  # fmt: skip
    alias = struct.pack(">I", len(alias) + 4) + alias
    start = data.index(b"dref") - 4
    old_size = struct.unpack(">I", data[start : start + 4])[0]
    body = b"dref" + bytes(4) + struct.pack(">I", 1) + alias
    new = struct.pack(">I", len(body) + 4) + body
    grown = len(new) - old_size
    result = bytearray(data[:start] + new + data[start + old_size :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        place = data.rindex(name, 0, start) - 4
        size = struct.unpack(">I", data[place : place + 4])[0]
        result[place : place + 4] = struct.pack(">I", size + grown)
    return bytes(result)


def test_an_external_reference_is_not_followed(video, tmp_path):
    data = video.read_bytes()
    start = data.index(b"mdat") + 4
    stop = data.index(b"moov") - 4
    hollow = data[:start] + bytes(stop - start) + data[stop:]
    path = tmp_path / "pointer.mp4"
    path.write_bytes(_with_external_reference(hollow, video))
    follow = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(str(path), container_options=follow) as container:  # the reference does work
        assert len(list(container.decode(video=0))) == 10
    with pytest.raises(VideoError):
        Video(path).info  # noqa: B018


@pytest.mark.parametrize(("width", "height"), [(20000, 2), (2, 16385), (16000, 16000)])
def test_absurd_sizes_are_refused(width, height):
    with pytest.raises(VideoError, match=f"{width}x{height}"):
        check_size("x.mp4", width=width, height=height)
    check_size("x.mp4", width=7680, height=4320)


def test_a_file_of_absurd_frames_is_refused_before_decoding(tmp_path):
    path = tmp_path / "bomb.ivf"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(_pictures(1)[0], format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    size = struct.pack("<HH", 16383, 16383)  # 268 megapixels, in the file's and the frame's header
    data[12:16] = size
    place = data.index(b"\x9d\x01\x2a") + 3
    data[place : place + 4] = size
    path.write_bytes(data)
    with pytest.raises(VideoError, match="16383x16383"):
        read_packets(path)


def test_cover_art_is_no_video(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        voice = container.add_stream("aac", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        image = av.VideoFrame.from_ndarray(_pictures(1)[0], format="rgb24")
        image.pts, image.time_base = 0, Fraction(1)
        container.mux(cover.encode(image.reformat(format="yuvj420p")))
        container.mux(cover.encode(None))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate, sound.pts = 16000, 0
        container.mux(voice.encode(sound))
        container.mux(voice.encode(None))
    with open_container(path) as container:
        assert len(container.streams.video) == 1
        with pytest.raises(VideoError, match=r"no video stream \(audio only\)"):
            main_video_stream(container, path)


def test_other_streams_are_not_read(tmp_path):
    path = tmp_path / "voiced.mp4"
    write_video(path, _pictures(250), frame_rate=5, audio=np.zeros(50 * 16000, np.float32))

    def num_sound_packets(*, apart: bool) -> int:
        with open_container(path) as container:
            if apart:
                read_only(container, main_video_stream(container, path))
            return sum(p.stream.type == "audio" and p.size > 0 for p in container.demux())

    # what FFmpeg has read while it looked at the streams still comes
    assert num_sound_packets(apart=True) < num_sound_packets(apart=False) / 2


def test_times_count_from_the_start_of_a_transport_stream(tmp_path):
    path = tmp_path / "late.ts"
    write_video(path, _pictures())
    with open_container(path) as container:
        first = next(container.decode(video=0)).time
        assert origin_seconds(container) == pytest.approx(first) != 0
    assert read_packets(path).timestamps_seconds[0] == pytest.approx(0, abs=1e-6)
