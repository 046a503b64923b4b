"""A reel shows the chosen moments: bit for bit where it is copied, with their sound."""

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidskim import Video
from vidskim.clips.grid import lay_clip
from vidskim.errors import UsageError, VideoError
from vidskim.io.write.video import write_video
from vidskim.look.reel import write_reel

sys.path.insert(0, str(Path(__file__).parent.parent / "io"))
from footage import STREAMS, moving_pictures, plain_decode, write_timed

INF = float("inf")
CLIPS = ((20, 6), (26, 4), (43, 7))
"""Start and length; the first two touch."""
NEVER_COPIED = {"h264_b.avi", "raw.h264", "mpeg4_b.avi"}
"""They do not tell when their frames are shown."""


def clips_at(*places):
    return [
        lay_clip(a, num_frames=m, index=n, start_seconds=a / 25, end_seconds=(a + m) / 25)
        for n, (a, m) in enumerate(places)
    ]


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Name to file, written at first use."""
    folder, pictures = tmp_path_factory.mktemp("footage"), moving_pictures(64)

    def path_of(name):
        path = folder / name
        if not path.exists():
            codec, options = STREAMS[name]
            write_video(path, pictures, codec=codec, options=options)
        return path

    return path_of


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", STREAMS)
def test_what_is_copied_is_the_source_bit_for_bit(footage, tmp_path, name, suffix):
    source, out = footage(name), tmp_path / f"reel{suffix}"
    reel = write_reel(source, clips_at(*CLIPS), out, widen_seconds=INF)
    truth, shown = plain_decode(source), plain_decode(out)
    if name in NEVER_COPIED:
        assert "does not tell" in reel.reason
        assert (reel.seconds_copied, reel.seconds_encoded) == (0, pytest.approx(17 / 25))
        expected = [truth[n] for n in (*range(20, 30), *range(43, 50))]
        assert len(shown) == len(expected)
        assert np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(shown, expected)]) < 8
        return
    assert reel.reason is None
    spans = [(round(a * 25), round(b * 25)) for a, b in reel.stretches]
    for start, stop in ((20, 30), (43, 50)):
        assert any(a <= start and stop <= b for a, b in spans)
    expected = [truth[n] for a, b in spans for n in range(a, b)]
    assert len(shown) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(shown, expected))
    assert reel.seconds_copied == pytest.approx(len(expected) / 25)
    assert reel.seconds_chosen == pytest.approx(17 / 25)
    assert reel.seconds_encoded == 0
    times = Video(out).timestamps_seconds
    assert times - times[0] == pytest.approx(np.arange(len(expected)) / 25, abs=2e-3)


def test_a_key_frame_far_before_is_a_reason_to_encode(footage, tmp_path):
    source = footage("h264_no_b.mp4")  # a key frame every 8 frames
    clips = clips_at((20, 6))
    reel = write_reel(source, clips, tmp_path / "r.mp4", widen_seconds=0.1)
    assert "lies 0.16 s before it, and it may be widened by 0.1 s" in reel.reason
    assert len(plain_decode(tmp_path / "r.mp4")) == 6
    assert reel.stretches == ((0.8, 1.04),)
    assert write_reel(source, clips, tmp_path / "r.mp4", widen_seconds=0.16).reason is None
    assert len(plain_decode(tmp_path / "r.mp4")) == 10
    on_key = write_reel(source, clips_at((16, 6)), tmp_path / "r.mp4", widen_seconds=0)
    assert on_key.reason is None
    assert on_key.stretches == (pytest.approx((0.64, 0.88)),)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm", ".avi"])
@pytest.mark.parametrize("name", ["vp9.webm", "mpeg4.avi"])
def test_every_container_plays(footage, tmp_path, name, suffix):
    out = tmp_path / f"reel{suffix}"
    reel = write_reel(footage(name), clips_at(*CLIPS), out, widen_seconds=INF)
    shown = plain_decode(out)
    if reel.reason is not None:
        assert "is not copied into" in reel.reason
        assert len(shown) == 17
        truth = plain_decode(footage(name))
        expected = [truth[n] for n in (*range(20, 30), *range(43, 50))]
        assert np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(shown, expected)]) < 8
    assert (reel.reason is None) == (
        suffix
        in {"vp9.webm": (".mp4", ".mkv", ".webm"), "mpeg4.avi": (".mp4", ".mkv", ".mov")}[name]
    )


def beeps(path, *, frame_rate=25):
    """Write a video with a white frame and a beep at frames 10, 40, 70, ...; 5 s."""
    pictures = moving_pictures(125)
    rate = 44100
    samples = np.zeros(5 * rate, np.float32)
    for frame in range(10, 125, 30):
        pictures[frame] = np.full_like(pictures[frame], 255)
        at = round(frame / frame_rate * rate)
        samples[at : at + 1764] = 0.8 * np.sin(2 * np.pi * 2000 * np.arange(1764) / rate)
    write_video(
        path, pictures, options={"g": "12"}, audio=samples, sample_rate=rate, frame_rate=frame_rate
    )


def flashes_and_beeps(path):
    """Return the times at which frames are white and beeps begin, by plain decoding."""
    with av.open(str(path)) as container:
        # AVI tells no times of display: the n-th frame is shown at n / 25
        flashes = [
            n / 25 if path.suffix == ".avi" else frame.time
            for n, frame in enumerate(container.decode(video=0))
            if frame.to_ndarray(format="gray").mean() > 200
        ]
    with av.open(str(path)) as container:
        rate, heard = None, []
        for frame in container.decode(audio=0):
            rate = frame.sample_rate
            values = frame.to_ndarray().astype(float)
            values = (
                values
                if frame.format.is_planar
                else values.reshape(-1, len(frame.layout.channels)).T
            )
            loud = np.abs(values[0]) > 0.2 * (1 if "flt" in frame.format.name else 32768)
            heard += [frame.time + n / rate for n in np.flatnonzero(loud)]
    starts = [t for n, t in enumerate(heard) if n == 0 or t - heard[n - 1] > 0.2]
    return flashes, starts


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
@pytest.mark.parametrize("widen", [0.0, INF])
def test_sound_stays_with_its_pictures(tmp_path, suffix, widen):
    beeps(tmp_path / "source.mp4")
    # stretches of 0.5 s around the flashes at frames 40 and 100, not beginning at key frames
    clips = clips_at((35, 12), (95, 13))
    reel = write_reel(tmp_path / "source.mp4", clips, tmp_path / f"r{suffix}", widen_seconds=widen)
    assert reel.has_sound
    assert (reel.reason is None) == (widen == INF and suffix in (".mp4", ".mkv"))
    flashes, starts = flashes_and_beeps(tmp_path / f"r{suffix}")
    assert len(flashes) == len(starts) == 2
    assert starts == pytest.approx(flashes, abs=0.012)


def test_stereo_stays_stereo(tmp_path):
    path = tmp_path / "s.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "5"})
        video.width, video.height, video.pix_fmt = 80, 64, "yuv420p"
        voice = container.add_stream("aac", rate=32000, layout="stereo")
        for picture in moving_pictures(50):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        tone = 0.5 * np.sin(np.arange(64000) / 5).astype(np.float32)
        block = av.AudioFrame.from_ndarray(
            np.stack([tone, np.zeros_like(tone)]), format="fltp", layout="stereo"
        )
        block.sample_rate, block.pts = 32000, 0
        container.mux(voice.encode(block))
        container.mux(voice.encode(None))
    write_reel(path, clips_at((10, 20)), tmp_path / "r.mp4")
    with av.open(str(tmp_path / "r.mp4")) as container:
        frames = [f.to_ndarray() for f in container.decode(audio=0)]
    left, right = np.concatenate(frames, axis=1)
    assert np.abs(left).mean() > 0.2
    assert np.abs(right).mean() < 0.01
    assert len(left) / 32000 == pytest.approx(0.8, abs=0.07)


def test_a_missing_track_gives_a_silent_reel(footage, tmp_path):
    reel = write_reel(footage("hevc.mp4"), clips_at((0, 8)), tmp_path / "r.mp4")
    assert not reel.has_sound
    with av.open(str(tmp_path / "r.mp4")) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("widen", [0.0, INF])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_keep_their_uneven_times(tmp_path, widen, suffix):
    ticks = list(np.cumsum([1 + (n * 7) % 5 for n in range(64)]) * 20)
    write_timed(
        tmp_path / "v.mp4",
        moving_pictures(64),
        ticks=[int(t) for t in ticks],
        time_base=Fraction(1, 1000),
        g="10",
    )
    source = Video(tmp_path / "v.mp4").timestamps_seconds
    reel = write_reel(
        tmp_path / "v.mp4", clips_at((13, 9), (33, 6)), tmp_path / f"r{suffix}", widen_seconds=widen
    )
    assert (reel.reason is None) == (widen == INF)
    found = Video(tmp_path / f"r{suffix}").timestamps_seconds
    expected, offset = [], 0.0
    for start, end in reel.stretches:
        inside = source[(source > start - 1e-6) & (source < end - 1e-6)]
        expected += list(inside - start + offset)
        offset += end - start
    assert found - found[0] == pytest.approx(np.array(expected), abs=2e-3)


@pytest.mark.parametrize("widen", [0.0, INF])
def test_rotation_and_aspect_are_kept(tmp_path, widen):
    """A copy keeps the marks in the file; what is encoded is turned upright."""
    write_video(tmp_path / "plain.mp4", moving_pictures(24), options={"g": "6"})
    with (
        av.open(str(tmp_path / "plain.mp4")) as reader,
        av.open(str(tmp_path / "turned.mp4"), "w") as writer,
    ):
        copy = writer.add_stream_from_template(reader.streams.video[0], opaque=True)
        copy.sample_aspect_ratio = Fraction(4, 3)
        copy.set_display_rotation(90) if hasattr(copy, "set_display_rotation") else None
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                writer.mux(packet)
    source = Video(tmp_path / "turned.mp4").info
    write_reel(tmp_path / "turned.mp4", clips_at((8, 9)), tmp_path / "r.mp4", widen_seconds=widen)
    with av.open(str(tmp_path / "r.mp4")) as container:
        ratio = container.streams.video[0].sample_aspect_ratio
    found = Video(tmp_path / "r.mp4").info
    assert (found.width, found.height) == (source.width, source.height)
    assert source.rotation != 0
    if widen:
        assert (ratio, found.rotation) == (Fraction(4, 3), source.rotation)
    else:
        assert (ratio, found.rotation) == (Fraction(3, 4), 0)


def test_the_smallest_video_and_the_whole_of_one(tmp_path, footage):
    write_video(tmp_path / "one.mp4", moving_pictures(1))
    reel = write_reel(tmp_path / "one.mp4", clips_at((0, 1)), tmp_path / "r.mp4")
    assert reel.reason is None
    assert len(plain_decode(tmp_path / "r.mp4")) == 1
    source = footage("h264_open_gop.mp4")
    whole = write_reel(source, clips_at((0, 32), (32, 32)), tmp_path / "r.mp4")
    assert whole.stretches == (pytest.approx((0.0, 64 / 25)),)
    assert whole.reason is None
    assert len(plain_decode(tmp_path / "r.mp4")) == 64


def test_strided_clips_show_all_frames_they_span(footage, tmp_path):
    clip = lay_clip(8, num_frames=4, stride=4, start_seconds=8 / 25, end_seconds=24 / 25)
    write_reel(footage("h264_no_b.mp4"), [clip], tmp_path / "r.mp4")
    assert len(plain_decode(tmp_path / "r.mp4")) == 16


def test_what_decoders_would_not_show_is_encoded(footage, tmp_path, monkeypatch):
    monkeypatch.setattr("vidskim.look.reel.shows_the_same", lambda *_, **__: False)
    reel = write_reel(footage("h264_no_b.mp4"), clips_at((20, 6)), tmp_path / "r.mp4")
    assert "would not show" in reel.reason
    assert len(plain_decode(tmp_path / "r.mp4")) == 6


def test_frames_that_do_not_decode_are_told(tmp_path):
    """A group of pictures without its key frame's data gives nothing."""
    write_video(tmp_path / "v.mp4", moving_pictures(48), options={"g": "8", "bf": "0"})
    index = Video(tmp_path / "v.mp4").packets
    data = bytearray((tmp_path / "v.mp4").read_bytes())
    for number in range(16, 24):
        start = int(index.demuxed.positions[index.decode_order[number]])
        data[start : start + int(index.sizes[number])] = bytes(int(index.sizes[number]))
    (tmp_path / "broken.mp4").write_bytes(data)
    reel = write_reel(
        tmp_path / "broken.mp4", clips_at((8, 20)), tmp_path / "r.mp4", widen_seconds=INF
    )
    assert reel.reason is not None
    assert reel.warnings == ("8 of the reel's 20 frames could not be decoded",)
    assert len(plain_decode(tmp_path / "r.mp4")) == 12
    with pytest.raises(VideoError, match="not one frame"):
        write_reel(tmp_path / "broken.mp4", clips_at((17, 4)), tmp_path / "none.mp4")
    assert not (tmp_path / "none.mp4").exists()


def test_refusals_leave_nothing(footage, tmp_path):
    source = footage("h264_no_b.mp4")
    old = tmp_path / "old.mp4"
    old.write_bytes(b"an older reel")
    for out, clips, words in (
        (tmp_path / "r.gif", clips_at((0, 8)), "ends in one of"),
        (source, clips_at((0, 8)), "is the video itself"),
        (tmp_path / "r.mp4", [], "at least one clip"),
        (tmp_path / "old.mp4" / "r.mp4", clips_at((0, 8)), "cannot be written"),
    ):
        with pytest.raises(UsageError, match=words):
            write_reel(source, clips, out)
    with pytest.raises(UsageError, match="at least 0 seconds"):
        write_reel(source, clips_at((0, 8)), tmp_path / "r.mp4", widen_seconds=-1.0)
    with pytest.raises(VideoError):
        write_reel(tmp_path / "gone.mp4", clips_at((0, 8)), tmp_path / "r.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["old.mp4"]
    assert old.read_bytes() == b"an older reel"


def test_a_full_disk_leaves_the_old_reel(footage, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    (tmp_path / "r.mp4").write_bytes(b"an older reel")
    monkeypatch.setattr("vidskim.look.reel.write_stretches", full)
    with pytest.raises(UsageError, match="No space left on device"):
        write_reel(footage("h264_no_b.mp4"), clips_at((0, 8)), tmp_path / "r.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["r.mp4"]
    assert (tmp_path / "r.mp4").read_bytes() == b"an older reel"
