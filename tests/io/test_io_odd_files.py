"""Files that are short, sparse, all intra, soundless or out of step: a right answer, and a word."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from footage import moving_pictures
from sound import add_sound, clicks

from vidskim.backbones.registry import create_backbone
from vidskim.io.write.video import write_video
from vidskim.look.network import NetworkSaliency
from vidskim.look.sampler import Sampler
from vidskim.look.sources import LogMels, MotionMaps, Residuals
from vidskim.video import Video

SECONDS = 4


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    """Motion, residuals and sound; tiny networks, random weights."""

    def tiny(source: MotionMaps | Residuals | LogMels) -> NetworkSaliency:
        network = create_backbone("resnet_18", in_channels=source.channels, num_classes=3, width=4)
        return NetworkSaliency(network, source)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Sampler((tiny(MotionMaps()), tiny(Residuals(size=(32, 32)))), tiny(LogMels()), k=2)


@pytest.fixture(scope="module")
def video_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of moving pictures without sound."""
    path = tmp_path_factory.mktemp("odd") / "video.mp4"
    write_video(path, moving_pictures(25 * SECONDS), frame_rate=25, options={"g": "12"})
    return path


def scores_of(sampler: Sampler, video: Video, *, num_frames: int = 8) -> dict[str, torch.Tensor]:
    """The parts of a sampler's answer, each one score per clip in [0, 1]."""
    clips = video.clips(num_frames=num_frames)
    parts = sampler.parts(video, clips)
    for scores in (*parts.values(), sampler.combine(parts)):
        assert scores.shape == (len(clips),)
        assert ((scores >= 0) & (scores <= 1)).all()
    return parts


def test_a_whole_file_says_nothing(sampler: Sampler, video_only: Path, tmp_path: Path) -> None:
    path = add_sound(video_only, tmp_path / "whole.mp4", clicks(SECONDS, [1.0, 2.0]))
    video = Video(path)
    assert set(scores_of(sampler, video)) == {"motion", "residual", "visual", "audio"}
    assert video.warnings == []


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shorter_than_one_clip(sampler: Sampler, tmp_path: Path, count: int) -> None:
    path = tmp_path / "short.mp4"
    write_video(path, moving_pictures(count), frame_rate=25, options={"bf": "0"})
    video = Video(path)
    clips = video.clips(num_frames=16)
    assert [clip.num_valid for clip in clips] == [count]
    ((_, motion, residual),) = video.iter_compressed(clips)
    assert motion.frame_number.tolist() == list(range(1, count))
    assert len(residual.values) == (count > 1)
    ((positions, number, image),) = video.iter_key_frames(clips)
    assert (positions, number, image.shape) == ([0], 0, (3, 64, 80))
    parts = scores_of(sampler, video, num_frames=16)
    assert ("packets" in parts) == (count == 1)
    assert any("no motion vectors" in text for text in video.warnings) == (count == 1)


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_key_frames_only(sampler: Sampler, tmp_path: Path, codec: str) -> None:
    path = tmp_path / "intra.mp4"
    write_video(path, moving_pictures(40), codec=codec, options={"g": "1", "bf": "0"})
    video = Video(path)
    assert set(video.packets.picture_types) == {"I"}
    clips = video.clips(num_frames=8)
    for _, motion, residual in video.iter_compressed(clips):
        assert len(motion.vectors) == len(residual.values) == 0
    assert len(video.residuals(clips).values) == 0
    assert [positions for positions, _, _ in video.iter_key_frames(clips)] == [
        [n] for n in range(5)
    ]
    assert set(scores_of(sampler, video)) == {"packets"}
    assert sum("no motion vectors" in text for text in video.warnings) == 1
    assert sum("no sound" in text for text in video.warnings) == 1


@pytest.mark.parametrize("name", ["hevc.mp4", "vp9.webm"])
def test_codecs_without_vectors(
    footage: Callable[[str], Path], sampler: Sampler, name: str
) -> None:
    video = Video(footage(name))
    clips = video.clips(num_frames=8)
    assert set(scores_of(sampler, video)) == {"packets"}
    assert sum("exports no motion vectors" in text for text in video.warnings) == 1
    assert len(list(video.iter_key_frames(clips))) >= 5


def test_one_packet_per_second(sampler: Sampler, tmp_path: Path) -> None:
    path = tmp_path / "slides.mp4"
    sound = clicks(20, [10.5]).astype(np.float32)
    write_video(path, moving_pictures(20), frame_rate=1, options={"bf": "0"}, audio=sound)
    video = Video(path)
    clips = video.clips(num_frames=4)
    assert [(clip.start_seconds, clip.end_seconds) for clip in clips[:2]] == [(0, 4), (4, 8)]
    assert [len(motion.vectors) for _, motion, _ in video.iter_compressed(clips)] == [3, 4, 4, 4, 4]
    heard = video.log_mel(clips).values[:, 0].amax((1, 2))
    assert heard.argmax() == 2
    # the window of clip 2 is 6 to 14 s: the click is 4.5 s into it
    assert abs(int(video.log_mel(clips).values[2, 0].mean(0).argmax()) - 112) <= 3
    assert set(scores_of(sampler, video, num_frames=4)) == {"motion", "residual", "visual", "audio"}
    assert video.warnings == []


@pytest.mark.parametrize(
    ("rate", "layout", "codec", "suffix"),
    [
        (8000, "mono", "aac", ".mp4"),
        (16000, "mono", "libopus", ".mkv"),
        (44100, "stereo", "aac", ".mp4"),
        (48000, "5.1", "aac", ".mkv"),
        (48000, "stereo", "libmp3lame", ".mp4"),
        (44100, "stereo", "pcm_s16le", ".mkv"),
    ],
)
@pytest.mark.parametrize("start", [0.0, 1.5])
def test_any_rate_and_layout_from_the_start_or_late(
    video_only: Path,
    tmp_path: Path,
    sampler: Sampler,
    rate: int,
    layout: str,
    codec: str,
    suffix: str,
    start: float,
) -> None:
    click = 2.5
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    samples = np.stack([clicks(SECONDS - start, [click - start], rate=rate)] * channels)
    path = add_sound(
        video_only,
        tmp_path / f"sound{suffix}",
        samples,
        codec=codec,
        rate=rate,
        layout=layout,
        start_seconds=start,
    )
    video = Video(path)
    clips = video.clips(num_frames=25)
    (window,) = video.log_mel([clips[2]]).values[:, 0].mean(1)
    # a clip of a second in a window of two: the click is in its middle
    assert abs(int(window.argmax()) - 100) <= 4
    whole = video.log_mel(clips).values
    assert whole.amax((1, 2, 3)).argmax() in (1, 2, 3)
    assert "audio" in scores_of(sampler, video)
    assert video.warnings == []


@pytest.mark.parametrize(("seconds", "last_heard"), [(1.0, 0), (2 * SECONDS, SECONDS - 1)])
def test_sound_shorter_or_longer_than_the_pictures(
    video_only: Path, tmp_path: Path, sampler: Sampler, seconds: float, last_heard: int
) -> None:
    moments = np.arange(0.3, seconds, 0.4).tolist()
    path = add_sound(video_only, tmp_path / "sound.mp4", clicks(seconds, moments))
    video = Video(path)
    clips = video.clips(num_frames=25)
    assert len(clips) == SECONDS
    loud = video.log_mel(clips, window_clips=1.0).values.amax((1, 2, 3)) > 5
    assert loud.nonzero().max() == last_heard
    assert "audio" in scores_of(sampler, video)
    told = [text for text in video.warnings if text.startswith("sound ends at 1.")]
    assert (video.warnings == told, len(told)) == (True, int(seconds < SECONDS))


def test_a_silent_track_is_left_out_and_told(
    video_only: Path, tmp_path: Path, sampler: Sampler
) -> None:
    path = add_sound(video_only, tmp_path / "silent.mp4", clicks(SECONDS, []))
    video = Video(path)
    assert video.info.has_audio
    assert "audio" not in scores_of(sampler, video)
    assert any("silent" in text for text in video.warnings)
    assert any("no sound" in text for text in video.warnings)
    found = video.log_mel(video.clips(num_frames=8))
    assert (found.has_audio, found.is_silent) == (True, True)
