"""Whatever the file, the answer is a good one, a partial one that says so, or one clear line."""

import os
import time
from pathlib import Path

import av
import numpy as np
import pytest

from vidskim.errors import VideoError
from vidskim.io.write.video import write_video
from vidskim.video import Video

SECONDS = 20
"""Far more than any of these files needs; a hang is what this catches."""


def _check_wording(path: Path, error: VideoError) -> None:
    """One line that names the file and says enough."""
    assert str(error).startswith(f"{path}: ")
    assert "\n" not in str(error)
    assert len(error.reason) > 15


def _look(path: Path) -> Video | None:
    """Ask for everything of a few clips; None if the file is refused, rightly worded."""
    start = time.perf_counter()
    video = Video(path)
    try:
        info = video.info
        clips = video.clips(num_frames=8)
        assert clips
        assert info.num_frames == len(video.timestamps_seconds) > 0
        assert np.isfinite(video.timestamps_seconds).all()
        assert np.all(np.diff(video.timestamps_seconds) >= 0)
        assert info.duration_seconds > 0
        seen = 0
        for _, frames in video.iter_frames(clips[:: max(1, len(clips) // 4)]):
            assert frames.shape == (8, 3, info.height, info.width)
            seen += 1
        assert seen or video.warnings
    except VideoError as error:
        _check_wording(path, error)
        return None
    finally:
        assert time.perf_counter() - start < SECONDS
    return video


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "whole.mp4"
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (200, 64, 3), dtype=np.uint8)
    pictures = [ground[t : t + 48] for t in range(100)]
    tone = np.sin(np.arange(64000) / 7).astype(np.float32)
    write_video(path, pictures, options={"g": "12"}, audio=tone)
    return path


def test_the_whole_file_reads_without_a_word(whole):
    video = _look(whole)
    assert video is not None
    assert video.warnings == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: os.mkfifo(path), "pipe"),
        (lambda path: path.write_text("a text file\n" * 100), "not readable as video"),
        (
            lambda path: path.write_bytes(np.random.default_rng(0).bytes(65536)),
            "not readable as video",
        ),
    ],
    ids=["missing", "folder", "empty", "fifo", "text", "noise"],
)
def test_what_is_no_video_is_refused(tmp_path, make, reason):
    path = tmp_path / "input.mp4"
    make(path)
    with pytest.raises(VideoError, match=reason):
        Video(path).info  # noqa: B018
    assert _look(path) is None


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".ts"])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_a_truncated_file_gives_what_is_there_and_says_so(tmp_path, suffix, share):
    path = tmp_path / f"cut{suffix}"
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (200, 64, 3), dtype=np.uint8)
    write_video(path, [ground[t : t + 48] for t in range(100)], options={"g": "12", "bf": "0"})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    video = _look(path)
    assert video is not None
    assert 100 * share - 15 < video.info.num_frames <= 100 * share + 5
    if suffix != ".ts":  # a transport stream may end anywhere
        assert any("cut off" in text or "damaged" in text for text in video.warnings)


def test_a_truncated_mp4_without_its_index_is_refused(whole, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(VideoError, match="not readable"):
        Video(path).packets  # noqa: B018


def test_audio_alone_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        voice = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 16000
        container.mux(voice.encode(sound))
        container.mux(voice.encode(None))
    with pytest.raises(VideoError, match="audio only"):
        Video(path).info  # noqa: B018


def test_a_single_frame_is_a_video(tmp_path):
    path = tmp_path / "one.mp4"
    write_video(path, [np.full((48, 64, 3), 90, np.uint8)])
    video = Video(path)
    [clip] = video.clips()
    assert clip.num_valid == 1
    assert video.info.duration_seconds == pytest.approx(0.04)
    frames = video.frames([clip])
    assert frames.shape == (1, 16, 3, 48, 64)
    assert (frames == frames[:, :1]).all()


def test_a_name_like_a_protocol_is_a_name(whole, tmp_path, monkeypatch):
    (tmp_path / "http:video.mp4").write_bytes(whole.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert Video("http:video.mp4").info.num_frames == 100
    with pytest.raises(VideoError, match="does not exist"):
        Video("http://localhost/video.mp4").info  # noqa: B018


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bits_never_crash_or_hang(whole, tmp_path, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(whole.read_bytes())
    for place in rng.integers(0, len(data), 40):
        data[place] ^= 1 << rng.integers(8)
    path = tmp_path / "flipped.mp4"
    path.write_bytes(data)
    _look(path)


@pytest.mark.data
def test_every_odd_file_is_refused_or_answered(data_folder):
    paths = sorted(path for path in (data_folder / "odd").rglob("*") if path.is_file())
    assert paths
    answered = {path.name for path in paths if _look(path) is not None}
    for name in ("one_frame.mp4", "trunc50.mp4", "trunc50.avi", "trunc50.webm", "bitflip_mid.mp4"):
        assert name in answered
    for name in ("zero_byte.mp4", "audio_only.mp4", "text_as_video.mp4", "header_only_64.mp4"):
        assert name not in answered


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["trunc50.mp4", "trunc50.avi", "trunc50.webm", "bitflip_mid.mp4", "bitflip_mid.avi"]
)
def test_damage_is_told(data_folder, name):
    video = _look(data_folder / "odd" / "derived" / name)
    assert video is not None
    assert video.warnings


@pytest.mark.data
def test_an_encrypted_track_is_named(data_folder):
    with pytest.raises(VideoError, match="encrypted"):
        Video(data_folder / "odd" / "mp4parse" / "mp4parse_capi__tests__short-cenc.mp4").info  # noqa: B018


@pytest.mark.data
def test_every_real_clip_is_answered(data_folder):
    for path in sorted((data_folder / "clips").glob("*/*")):
        if path.suffix in (".json", ".wav", ".mp3"):
            continue
        video = _look(path)
        assert video is not None, path
        assert "corrupted" in path.name or video.warnings == [], path
