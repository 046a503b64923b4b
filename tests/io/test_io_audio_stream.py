"""Sound in batches, decoded only where windows lie, and silence told from no sound."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from footage import reading_of
from resident import growth_bytes
from sound import RATE, clicks, clips_of, tone, write_sound

from vidskim.errors import UsageError
from vidskim.io import samples as samples_module
from vidskim.io.audio import iter_log_mel, log_mel
from vidskim.io.walk import ReadStats
from vidskim.io.write.video import write_video

PLACES = [3, 20, 21, 38]
"""Of 40 clips of half a second: far apart, so that most of the track lies between them."""


def speech(seconds: float, *, rate: int, channels: int = 1) -> np.ndarray:
    """A wandering tone that comes and goes, with some noise."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.05, len(time))
    voice = np.sin(2 * np.pi * (300 + 200 * np.sin(3 * time)) * time) * (1 + np.sin(7 * time))
    return np.stack([0.15 * voice + noise] * channels)


@pytest.mark.parametrize(
    ("codec", "suffix", "rate", "layout"),
    [
        ("pcm_s16le", ".wav", 44100, "stereo"),
        ("pcm_s16le", ".avi", 48000, "mono"),
        ("aac", ".mp4", 8000, "mono"),
        ("aac", ".mp4", 16000, "mono"),
        ("aac", ".mp4", 44100, "mono"),
        ("aac", ".mp4", 48000, "stereo"),
        ("aac", ".mkv", 44100, "5.1"),
        ("aac", ".ts", 44100, "mono"),
        ("libmp3lame", ".mp3", 44100, "stereo"),
        ("libmp3lame", ".mkv", 44100, "stereo"),
        ("libopus", ".webm", 48000, "stereo"),
        ("flac", ".flac", 44100, "mono"),
        ("alac", ".mp4", 48000, "stereo"),
        ("mp2", ".mkv", 44100, "mono"),
    ],
)
def test_some_windows_are_those_of_a_whole_decode(
    tmp_path: Path, codec: str, suffix: str, rate: int, layout: str
) -> None:
    path = tmp_path / f"sound{suffix}"
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    # without it a decoder fills bands with noise of its own, another at each decode
    options = {"aac_pns": "0"} if codec == "aac" else None
    sound = speech(20, rate=rate, channels=channels)
    write_sound(path, sound, codec=codec, rate=rate, layout=layout, block=1152, options=options)
    clips = clips_of(20)
    whole = log_mel(reading_of(path), clips)
    warnings: list[str] = []
    some = log_mel(reading_of(path, warnings=warnings), [clips[place] for place in PLACES])
    assert whole.values.max() > 8
    assert some.has_audio
    assert warnings == []
    torch.testing.assert_close(some.values, whole.values[PLACES], atol=2e-3, rtol=0)


def test_only_the_surroundings_of_windows_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sound.mp4"
    write_sound(path, speech(20, rate=RATE), codec="aac", block=1024)
    heard = 0.0

    class Counting(samples_module._Mono):
        def feed(self, frame, seconds):
            nonlocal heard
            heard += frame.samples / frame.sample_rate
            return super().feed(frame, seconds)

    monkeypatch.setattr(samples_module, "_Mono", Counting)
    clips = clips_of(20)
    log_mel(reading_of(path), [clips[place] for place in PLACES])
    windows, priming = 3.6, 3 * 0.5
    assert windows - 0.2 < heard < windows + priming
    heard = 0.0
    monkeypatch.setattr(samples_module, "RESUMABLE", frozenset())
    log_mel(reading_of(path), [clips[place] for place in PLACES])
    assert heard > 19


def test_batches_are_the_whole_in_time_order(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    write_sound(path, speech(20, rate=RATE))
    clips = clips_of(20)[::-1]
    whole = log_mel(reading_of(path), clips).values
    batches = list(iter_log_mel(reading_of(path), clips))
    positions = torch.cat([positions for positions, _ in batches])
    assert positions.tolist() == list(range(40))[::-1]
    assert positions.dtype == torch.int64
    assert torch.equal(torch.cat([values for _, values in batches]), whole[positions])
    assert max(len(positions) for positions, _ in batches) < 20
    assert list(iter_log_mel(reading_of(path), [])) == []
    with pytest.raises(UsageError, match="num_mels=0"):
        next(iter_log_mel(reading_of(path), clips, num_mels=0))


def test_batches_keep_memory_flat(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    write_sound(path, np.tile(tone(10, 440, rate=8000), 90), rate=8000, block=8000)
    growth = growth_bytes(
        path,
        setup="""
from vidskim.clips.grid import split
from vidskim.io.audio import iter_log_mel
from vidskim.io.reading import Reading
clips = split([frame / 20 for frame in range(18000)], num_frames=10)
""",
        iterable="iter_log_mel(Reading(Path(path)), clips)",
        after=3,
    )
    # 900 s are 58 MB of samples and 58 MB of windows
    assert growth < 8e6


def mute(path: Path, *, sound: Callable[[], np.ndarray] | None) -> Path:
    """Write a black video of two seconds."""
    pictures = [np.zeros((32, 32, 3), np.uint8)] * 50
    audio = None if sound is None else sound().astype(np.float32)
    write_video(path, pictures, audio=audio)
    return path


def test_a_silent_track_is_told_from_a_missing_one(tmp_path: Path) -> None:
    clips = clips_of(2)
    silent = mute(tmp_path / "silent.mp4", sound=lambda: np.zeros(2 * RATE))
    missing = mute(tmp_path / "missing.mp4", sound=None)
    sounding = mute(tmp_path / "sounding.mp4", sound=lambda: tone(2, 500))
    for path, has_audio, is_silent, text in (
        (silent, True, True, "silent wherever"),
        (missing, False, True, "no audio track"),
        (sounding, True, False, None),
    ):
        warnings: list[str] = []
        for _ in range(2):
            found = log_mel(reading_of(path, warnings=warnings), clips)
            batches = list(iter_log_mel(reading_of(path, warnings=warnings), clips))
        assert (found.has_audio, found.is_silent) == (has_audio, is_silent)
        assert (batches == []) == is_silent
        assert len(warnings) == (text is not None)
        assert text is None or text in warnings[0]


def test_less_than_the_last_bit_is_silence_and_more_is_not(tmp_path: Path) -> None:
    for level, is_silent in ((5e-6, True), (1e-4, False)):
        path = tmp_path / f"{level}.wav"
        write_sound(path, tone(2, 500, level=level), codec="pcm_f32le")
        assert log_mel(reading_of(path), clips_of(2)).is_silent == is_silent


def test_silence_before_the_first_sound_is_not_left_out(tmp_path: Path) -> None:
    path = tmp_path / "late.wav"
    write_sound(path, np.concatenate([np.zeros(60 * RATE), tone(2, 500)]))
    clips = clips_of(62)
    batches = list(iter_log_mel(reading_of(path), clips))
    positions = torch.cat([positions for positions, _ in batches])
    assert positions.tolist() == list(range(124))
    assert torch.equal(
        torch.cat([values for _, values in batches]), log_mel(reading_of(path), clips).values
    )
    assert batches[0][1].max() == 0
    assert batches[-1][1].max() > 10


def test_skipping_is_no_gap_and_gaps_are_still_told(tmp_path: Path) -> None:
    path = tmp_path / "gap.mka"
    write_sound(path, tone(20, 500), codec="flac", start_seconds=(0.0, 30.0), block=1024)
    clips = clips_of(40)
    warnings: list[str] = []
    log_mel(reading_of(path, warnings=warnings), [clips[2], clips[15], clips[70]])
    assert warnings == []
    whole = log_mel(reading_of(path, warnings=warnings), clips)
    assert warnings == ["the audio track has gaps of 20.0 s in all: they are taken as silence"]
    some = log_mel(reading_of(path), [clips[70]]).values
    torch.testing.assert_close(some, whole.values[[70]], atol=2e-2, rtol=0)


def test_a_small_gap_that_a_whole_decode_closes_is_closed_after_a_skip(tmp_path: Path) -> None:
    path = tmp_path / "gap.mka"
    sound = speech(20, rate=RATE)
    write_sound(path, sound, codec="flac", block=1024)
    with av.open(str(path)) as reader, av.open(str(tmp_path / "late.mka"), "w") as writer:
        copy = writer.add_stream_from_template(reader.streams.audio[0])
        for packet in reader.demux(reader.streams.audio[0]):
            if packet.size:
                late = 80 if packet.pts > 0 else 0  # milliseconds
                packet.pts, packet.dts, packet.stream = packet.pts + late, packet.pts + late, copy
                writer.mux(packet)
    clips = clips_of(20)
    whole = log_mel(reading_of(tmp_path / "late.mka"), clips)
    some = log_mel(reading_of(tmp_path / "late.mka"), [clips[place] for place in PLACES])
    torch.testing.assert_close(some.values, whole.values[PLACES], atol=2e-3, rtol=0)


def test_windows_beyond_the_track_alone_say_that_it_is_silent_there(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    write_sound(path, tone(2, 500))
    warnings: list[str] = []
    found = log_mel(reading_of(path, warnings=warnings), clips_of(20)[20:])
    assert found.has_audio
    assert found.is_silent
    assert warnings == ["the audio track is silent wherever it was listened to"]


def test_a_click_stays_at_its_place_after_a_skip(tmp_path: Path) -> None:
    path = tmp_path / "clicks.mp4"
    write_sound(path, clicks(20, [15.25], rate=44100), rate=44100, codec="aac", block=1024)
    (window,) = log_mel(reading_of(path), [clips_of(20)[30]]).values[:, 0].mean(1)
    assert abs(int(window.argmax()) - 100) <= 4


def test_bytes_of_skipped_packets_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    write_sound(path, tone(20, 500))
    stats = ReadStats()
    log_mel(reading_of(path, stats=stats), clips_of(20)[-1:])
    assert stats.bytes_read == 20 * RATE * 2
