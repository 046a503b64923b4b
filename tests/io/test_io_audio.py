"""Log-mel windows against librosa, tones and clicks at known places, and broken tracks."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from footage import reading_of
from sound import RATE, clicks, clips_of, tone, write_sound

from vidskim.clips.grid import lay_clip
from vidskim.errors import UsageError, VideoError
from vidskim.io.audio import Window, fill_windows, log_mel
from vidskim.io.mel import FLOOR, log_mel_spectra, mel_filters
from vidskim.io.samples import Chunk
from vidskim.io.walk import ReadStats
from vidskim.io.write.video import write_video


def mel_bin(hertz: float) -> int:
    """The one of 40 HTK mel bins up to 8 kHz whose middle is nearest."""
    top = 2595 * np.log10(1 + 8000 / 700)
    centers = np.linspace(0, top, 42)[1:-1]
    return int(np.abs(centers - 2595 * np.log10(1 + hertz / 700)).argmin())


def test_filters_equal_librosa() -> None:
    librosa = pytest.importorskip("librosa", reason="needs librosa: pip install librosa")
    for num_mels, n_fft, rate in ((40, 512, 16000), (64, 1024, 22050), (40, 2048, 16000)):
        expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=num_mels, htk=True, norm=None)
        ours = mel_filters(num_mels=num_mels, n_fft=n_fft, sample_rate=rate)
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_spectra_equal_librosa() -> None:
    librosa = pytest.importorskip("librosa", reason="needs librosa: pip install librosa")
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 9000)).astype(np.float32)
    ours = log_mel_spectra(
        torch.from_numpy(samples), sample_rate=RATE, hop=85, length=400, n_fft=512, num_mels=40
    )
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=RATE,
        n_fft=512,
        hop_length=85,
        win_length=400,
        center=False,
        htk=True,
        norm=None,
        n_mels=40,
    )
    expected = np.log1p(power / np.square(librosa.filters.get_window("hann", 400).sum()) / FLOOR)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_tone_is_heard_at_its_pitch(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "tone.wav"
    write_sound(path, tone(4, 1000, rate=rate), rate=rate)
    found = log_mel(reading_of(path), clips_of(4)[2:-2])
    assert found.has_audio
    assert found.values.shape == (4, 1, 40, 200)
    assert found.values.mean((0, 1, 3)).argmax() == mel_bin(1000)
    assert found.values.argmax(2).unique().numel() == 1
    assert found.values.max().item() == pytest.approx(np.log(0.5**2 / 4 / FLOOR), abs=0.8)


@pytest.mark.parametrize("length", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("suffix", [".wav", ".mka"])
def test_windows_are_twice_the_clip_and_centered_on_it(
    tmp_path: Path, length: float, suffix: str
) -> None:
    path = tmp_path / f"clicks{suffix}"
    clips = clips_of(6 * length, length=length)
    clip = clips[3]
    inside = clip.start_seconds + 0.3 * length
    at = [inside, clip.start_seconds - 0.4 * length, clip.end_seconds + 0.3 * length]
    write_sound(path, clicks(7 * length, at))
    loudness = log_mel(reading_of(path), [clip]).values[0, 0].mean(0)
    # the window opens half a clip before the clip; 100 steps are one clip
    expected = sorted(round(((moment - clip.start_seconds) / length + 0.5) * 100) for moment in at)
    peaks = [int(loudness[s - 8 : s + 8].argmax()) + s - 8 for s in expected]
    for peak, step in zip(peaks, expected):
        assert abs(peak - step) <= max(2, round(0.006 / length * 100))
    quiet = int(np.mean(expected[:2]))
    assert loudness[quiet] < 0.2 * loudness[peaks].min()


def test_silence_outside_of_the_track(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    write_sound(path, tone(1.0, 500))
    first, *_, last = clips_of(3)
    found = log_mel(reading_of(path), [first, last]).values
    assert (found[0, 0, :, :45] < found[0, 0, :, 60:].min(1).values[:, None] + 1e-6).all()
    assert found[0, 0, :, :40].max() == 0
    assert found[0, 0, :, 60:].max() > 10
    assert not found[1].any()


def test_order_and_choice_of_clips_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "sweep.wav"
    time = np.arange(4 * RATE) / RATE
    write_sound(path, 0.5 * np.sin(2 * np.pi * (200 + 400 * time) * time))
    clips = clips_of(4)
    dense = log_mel(reading_of(path), clips).values
    some = log_mel(reading_of(path), [clips[5], clips[0], clips[5]]).values
    torch.testing.assert_close(some, dense[[5, 0, 5]])
    assert log_mel(reading_of(path), []).values.shape == (0, 1, 40, 200)


def test_stereo_counts_both_channels(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    write_sound(path, np.stack([tone(2, 300), tone(2, 3000)]), layout="stereo")
    loud = log_mel(reading_of(path), clips_of(2)[1:3]).values.mean((0, 1, 3))
    assert sorted(loud.topk(2).indices.tolist()) == [mel_bin(300), mel_bin(3000)]


def test_sound_of_a_video_file_is_in_step_with_its_pictures(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    picture = np.zeros((32, 32, 3), np.uint8)
    write_video(path, [picture] * 100, frame_rate=25, audio=clicks(4, [2.0]).astype(np.float32))
    (found,) = (
        log_mel(reading_of(path), [lay_clip(40, num_frames=20, start_seconds=1.6, end_seconds=2.4)])
        .values[:, 0]
        .mean(1)
    )
    assert abs(int(found.argmax()) - 100) <= 3


def test_gaps_and_late_starts_keep_the_time(tmp_path: Path) -> None:
    path = tmp_path / "gap.mka"
    samples = np.concatenate([clicks(1, [0.5]), clicks(1, [0.5])])
    write_sound(path, samples, start_seconds=(0.0, 3.0))
    clips = [
        lay_clip(0, num_frames=1, end_seconds=1.0),
        lay_clip(1, num_frames=1, index=1, start_seconds=1.5, end_seconds=2.5),
        lay_clip(2, num_frames=1, index=2, start_seconds=3, end_seconds=4),
    ]
    warnings: list[str] = []
    found = log_mel(reading_of(path, warnings=warnings), clips).values[:, 0].mean(1)
    assert [abs(int(found[n].argmax()) - 100) <= 2 for n in (0, 2)] == [True, True]
    assert found[1].max() == 0
    assert warnings == ["the audio track has gaps of 2.0 s in all: they are taken as silence"]


def test_windows_are_cut_from_any_chunks() -> None:
    samples = np.random.default_rng(0).random(1000).astype(np.float32)
    whole = np.concatenate([np.zeros(500, np.float32), samples, np.zeros(500, np.float32)])
    rng = np.random.default_rng(1)
    edges = np.unique(np.concatenate([[0, 1000], rng.integers(0, 1000, 40)]))
    chunks = [Chunk(int(a), samples[a:b]) for a, b in pairwise(edges)]
    starts = rng.integers(-500, 1400, 30).tolist()
    windows = [Window(n, start, start + 100, 1, 1, 1) for n, start in enumerate(starts)]
    cut = list(fill_windows(windows, iter(chunks)))
    assert [window.start for window, _ in cut] == sorted(starts)
    for window, part in cut:
        np.testing.assert_array_equal(part, whole[window.start + 500 : window.stop + 500])


def test_only_what_windows_need_is_read_and_held() -> None:
    pulled = 0

    def stream() -> Iterable[Chunk]:
        nonlocal pulled
        for n in range(1000):
            pulled += 1
            yield Chunk(n * 100, np.full(100, n, np.float32))

    windows = [Window(0, 50, 250, 1, 1, 1), Window(1, 5000, 5100, 1, 1, 1)]
    first, second = fill_windows(windows, stream())
    assert first[1][[0, 49, 50, 199]].tolist() == [0, 0, 1, 2]
    assert second[1].tolist() == [50.0] * 100
    assert pulled == 51


def test_a_missing_track_is_silence_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    write_video(path, [np.zeros((32, 32, 3), np.uint8)] * 10)
    warnings: list[str] = []
    for _ in range(2):
        found = log_mel(reading_of(path, warnings=warnings), clips_of(1))
    assert not found.has_audio
    assert found.values.shape == (2, 1, 40, 200)
    assert not found.values.any()
    assert warnings == ["no audio track that can be decoded: sound is taken as silence"]


def test_damaged_packets_are_silence_and_told(tmp_path: Path) -> None:
    path = tmp_path / "sound.mka"
    write_sound(path, tone(6, 1000), codec="flac", block=4096)
    data = bytearray(path.read_bytes())
    start, stop = len(data) * 4 // 10, len(data) * 6 // 10
    data[start:stop] = np.random.default_rng(0).bytes(stop - start)
    path.write_bytes(data)
    warnings: list[str] = []
    found = log_mel(reading_of(path, warnings=warnings), clips_of(6))
    assert found.has_audio
    assert found.values[1].mean() > 1
    assert torch.isfinite(found.values).all()
    assert len(warnings) == 1
    assert "damaged audio" in warnings[0] or "gaps" in warnings[0]


def test_a_track_without_a_readable_packet_is_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    write_sound(path, tone(2, 1000), codec="aac", block=1024)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    stop = data.index(b"moov") - 4
    data[start:stop] = b"\xff" * (stop - start)
    path.write_bytes(data)
    warnings: list[str] = []
    found = log_mel(reading_of(path, warnings=warnings), clips_of(2))
    assert not found.has_audio
    assert len(warnings) == 2


def test_a_track_cut_off_is_heard_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    write_sound(path, tone(6, 1000))
    path.write_bytes(path.read_bytes()[: 3 * 2 * RATE])
    found = log_mel(reading_of(path), clips_of(6)).values
    assert found[2].max() > 10
    assert not found[-2].any()


def test_bytes_are_counted_and_reading_stops_after_the_last_window(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    write_sound(path, tone(20, 1000))
    all_of_it, start_of_it = ReadStats(), ReadStats()
    clips = clips_of(20)
    log_mel(reading_of(path, stats=all_of_it), clips)
    log_mel(reading_of(path, stats=start_of_it), clips[:2])
    assert all_of_it.bytes_read == 20 * RATE * 2
    assert start_of_it.bytes_read < 2.5 * RATE * 2


def test_a_clip_of_hours_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    write_sound(path, tone(1, 1000))
    found = log_mel(
        reading_of(path),
        [
            lay_clip(0, num_frames=2, end_seconds=1e6),
            lay_clip(0, num_frames=1, index=1, start_seconds=0.5, end_seconds=0.5),
        ],
    )
    assert found.values.shape == (2, 1, 40, 200)
    assert torch.isfinite(found.values).all()


def test_wrong_sizes_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="num_steps=0"):
        log_mel(reading_of(tmp_path / "a.wav"), [], num_steps=0)
    with pytest.raises(UsageError, match="window_clips=nan"):
        log_mel(reading_of(tmp_path / "a.wav"), [], window_clips=float("nan"))
    with pytest.raises(VideoError, match="does not exist"):
        log_mel(reading_of(tmp_path / "a.wav"), [])


@pytest.mark.data
def test_real_tracks(data_folder: Path) -> None:
    heard = 0
    for path in sorted((data_folder / "clips").glob("*/*.mp4")):
        warnings: list[str] = []
        found = log_mel(reading_of(path, warnings=warnings), clips_of(5))
        with av.open(str(path)) as container:
            assert found.has_audio == bool(container.streams.audio)
        assert torch.isfinite(found.values).all()
        assert found.has_audio or warnings
        heard += bool(found.values.any())
    assert heard > 10
