"""Packed JPEGs: the bytes are the JPEGs', the pixels FFmpeg's own decode of each."""

from fractions import Fraction

import av
import numpy as np
import pytest
from footage import moving_pictures

from vidskim import Video
from vidskim.errors import UsageError, VideoError
from vidskim.io.write.jpeg import to_jpeg
from vidskim.io.write.pack import pack_jpegs


def write_frames(folder, count, *, start=1, height=64, width=80):
    """Write frames as Something-Something V1 names them; return their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    data = [to_jpeg(p) for p in moving_pictures(count, height=height, width=width)]
    for number, jpeg in enumerate(data, start):
        (folder / f"{number:05d}.jpg").write_bytes(jpeg)
    return data


def decoded(jpeg):
    """The independent truth: one JPEG's pixels, uint8 ``[H, W, 3]``."""
    context = av.CodecContext.create("mjpeg", "r")
    (frame,) = [*context.decode(av.Packet(jpeg)), *context.decode(None)]
    return frame.to_ndarray(format="rgb24")


def packets_of(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(("count", "height", "width"), [(1, 64, 80), (7, 100, 133), (40, 100, 176)])
def test_pixels_are_those_of_the_jpegs(tmp_path, count, height, width):
    jpegs = write_frames(tmp_path / "17", count, height=height, width=width)
    out = tmp_path / "made" / "17.avi"
    assert pack_jpegs(tmp_path / "17", out) == count
    assert packets_of(out) == jpegs
    video = Video(out)
    assert (video.info.num_frames, video.info.frame_rate) == (count, 12)
    assert (video.info.width, video.info.height, video.info.codec) == (width, height, "mjpeg")
    np.testing.assert_allclose(video.timestamps_seconds, np.arange(count) / 12, atol=1e-9)
    frames = video.frames(video.clips(num_frames=count))[0].permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(frames, np.stack([decoded(jpeg) for jpeg in jpegs]))
    assert not video.warnings
    assert [path.name for path in out.parent.iterdir()] == ["17.avi"]


def test_pixels_are_nearly_those_of_another_decoder(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    write_frames(tmp_path / "17", 3)
    pack_jpegs(tmp_path / "17", tmp_path / "17.avi")
    video = Video(tmp_path / "17.avi")
    frames = video.frames(video.clips(num_frames=3))[0].permute(0, 2, 3, 1).numpy()
    for number, frame in enumerate(frames, 1):
        with image.open(tmp_path / "17" / f"{number:05d}.jpg") as picture:
            other = np.asarray(picture.convert("RGB"))
        # Decoders differ in how they spread chroma; brightness is the same to a rounding.
        weights = np.array([0.299, 0.587, 0.114])
        assert np.abs(frame @ weights - other @ weights).mean() < 1.5


def test_equal_frames_give_equal_bytes_and_other_rates_other_times(tmp_path):
    write_frames(tmp_path / "17", 5)
    for name in ("a.avi", "b.avi"):
        pack_jpegs(tmp_path / "17", tmp_path / name)
    assert (tmp_path / "a.avi").read_bytes() == (tmp_path / "b.avi").read_bytes()
    pack_jpegs(tmp_path / "17", tmp_path / "c.avi", frame_rate=Fraction(30000, 1001))
    assert Video(tmp_path / "c.avi").timestamps_seconds[4] == pytest.approx(4 * 1001 / 30000)


def test_other_files_are_passed_over_and_numbers_are_no_words(tmp_path):
    folder = tmp_path / "17"
    jpegs = write_frames(folder, 12, start=0)
    for number in range(12):
        (folder / f"{number:05d}.jpg").rename(folder / f"{number}.JPEG")
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "._1.jpg").write_bytes(b"x")
    (folder / "13.jpg").mkdir()
    assert pack_jpegs(folder, tmp_path / "17.avi") == 12
    assert packets_of(tmp_path / "17.avi") == jpegs


def spoil(folder, what):
    first, third = folder / "00001.jpg", folder / "00003.jpg"
    data = third.read_bytes()
    if what == "gap":
        (folder / "00002.jpg").unlink()
    elif what == "late":
        first.unlink()
    elif what == "twice":
        (folder / "3.jpg").write_bytes(data)
    elif what == "text":
        third.write_bytes(b"this is no picture" * 9)
    elif what == "empty":
        third.write_bytes(b"")
    elif what == "cut":
        third.write_bytes(data[: len(data) // 2])
    elif what == "header only":
        third.write_bytes(data[:40])
    elif what == "size":
        third.write_bytes(to_jpeg(moving_pictures(1, height=48, width=48)[0]))
    elif what == "none":
        for path in folder.iterdir():
            path.unlink()
    elif what == "huge":
        place = data.index(b"\xff\xc0")
        first.write_bytes(data[: place + 5] + b"\xff\xff\xff\xff" + data[place + 9 :])
    elif what == "no size":
        place = data.index(b"\xff\xc0")
        first.write_bytes(data[: place + 5] + bytes(4) + data[place + 9 :])
    elif what == "only markers":
        first.write_bytes(b"\xff\xd8" + b"\xff\xd0" * 9 + b"\xff\xd9")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("gap", "frame 2 is missing"),
        ("late", "frame 1 is missing"),
        ("twice", "frame 3 is there twice"),
        ("text", r"00003\.jpg: is no JPEG"),
        ("empty", r"00003\.jpg: is no JPEG"),
        ("cut", r"00003\.jpg: is cut off"),
        ("header only", r"00003\.jpg: is "),
        ("size", r"00003\.jpg: is 48x48, the first frame 80x64"),
        ("none", r"holds no frames named 00001\.jpg"),
        ("huge", r"00001\.jpg: declares frames of 65535x65535"),
        ("no size", r"00001\.jpg: is no JPEG"),
        ("only markers", r"00001\.jpg: is no JPEG"),
    ],
)
def test_what_cannot_be_packed_leaves_nothing_behind(tmp_path, what, words):
    write_frames(tmp_path / "17", 4)
    spoil(tmp_path / "17", what)
    with pytest.raises(VideoError, match=words):
        pack_jpegs(tmp_path / "17", tmp_path / "out" / "17.avi")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_failure_keeps_what_was_there(tmp_path):
    write_frames(tmp_path / "17", 4)
    spoil(tmp_path / "17", "text")
    (tmp_path / "17.avi").write_bytes(b"before")
    with pytest.raises(VideoError):
        pack_jpegs(tmp_path / "17", tmp_path / "17.avi")
    assert (tmp_path / "17.avi").read_bytes() == b"before"


def test_bounds(tmp_path, monkeypatch):
    write_frames(tmp_path / "17", 4)
    monkeypatch.setattr("vidskim.io.write.pack.MAX_FRAME_BYTES", 100)
    with pytest.raises(VideoError, match="is larger than"):
        pack_jpegs(tmp_path / "17", tmp_path / "17.avi")
    monkeypatch.setattr("vidskim.io.write.pack.MAX_FRAMES", 3)
    with pytest.raises(VideoError, match="more than 3 frames"):
        pack_jpegs(tmp_path / "17", tmp_path / "17.avi")


def test_wrong_use(tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.avi"):
        pack_jpegs(tmp_path, tmp_path / "17.mkv")
    with pytest.raises(VideoError, match="cannot be read"):
        pack_jpegs(tmp_path / "missing", tmp_path / "17.avi")
    write_frames(tmp_path / "17", 2)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        pack_jpegs(tmp_path / "17", tmp_path / "file" / "17.avi")
