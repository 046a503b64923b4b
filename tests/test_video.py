"""The one object users hold: lazy, read once, honest about cost and damage."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from vidskim.clips.grid import lay_clip, split
from vidskim.errors import UsageError, VideoError
from vidskim.io.audio import log_mel
from vidskim.io.motion import motion
from vidskim.io.packets import read_packets
from vidskim.io.write.video import write_video
from vidskim.video import Video


def _plain_decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def test_making_one_touches_nothing():
    video = Video("/no/such/folder/video.mp4")
    assert video.path == Path("/no/such/folder/video.mp4")
    assert repr(video) == "Video('/no/such/folder/video.mp4')"
    assert video.warnings == []
    for use in (lambda: video.info, lambda: video.packets, video.clips):
        with pytest.raises(VideoError, match=r"^/no/such/folder/video.mp4: does not exist"):
            use()


def test_info_is_what_was_written(sample_video):
    info = Video(sample_video).info
    assert info.path == str(sample_video)
    assert info.duration_seconds == pytest.approx(12)
    assert (info.num_frames, info.width, info.height) == (300, 128, 96)
    assert info.frame_rate == Fraction(25)
    assert (info.codec, info.has_audio, info.rotation) == ("h264", True, 0)


def test_info_of_a_turned_video_has_its_displayed_size(tmp_path):
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(-90)
        picture = np.zeros((48, 64, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    video = Video(path)
    assert (video.info.width, video.info.height, video.info.rotation) == (48, 64, 90)
    assert video.info.frame_rate == Fraction(30000, 1001)
    assert video.frames(video.clips(num_frames=1)).shape == (1, 1, 3, 64, 48)


def test_the_file_is_indexed_once_and_every_byte_is_counted(sample_video):
    video = Video(sample_video)
    assert video.packets is video.packets
    total = video.packets.bytes_total
    assert video.stats.bytes_read == total
    assert video.stats.frames_decoded == 0
    assert video.info is video.info
    assert video.stats.frames_decoded >= 1
    looked = video.stats.frames_decoded
    for _ in video.iter_frames(video.clips()):
        pass
    assert video.stats.frames_decoded == looked + 300
    assert 2 * total <= video.stats.bytes_read < 3 * total


def test_clips_lie_on_the_true_times(sample_video):
    video = Video(sample_video)
    assert video.clips(num_frames=8, stride=2, step=10) == split(
        [n / 25 for n in range(300)], num_frames=8, stride=2, step=10, end_seconds=12.0
    )
    np.testing.assert_allclose(video.timestamps_seconds, np.arange(300) / 25)


def test_frames_come_in_the_order_of_the_clips_given(sample_video):
    video, expected = Video(sample_video), _plain_decode(sample_video)
    grid = video.clips(num_frames=8, stride=3, step=20)
    chosen = [grid[9], grid[0], grid[9], grid[-1], grid[4]]
    frames = video.frames(chosen)
    assert frames.shape == (5, 8, 3, 96, 128)
    assert frames.dtype == torch.uint8
    for clip, got in zip(chosen, frames):
        assert np.array_equal(got.permute(0, 2, 3, 1), expected[list(clip.frame_indices)])
    in_time = list(video.iter_frames(chosen))
    assert [clip.index for clip, _ in in_time] == sorted(clip.index for clip in chosen)
    assert torch.equal(in_time[0][1], frames[1])


def test_frames_of_nothing_or_of_unequal_lengths_are_a_wrong_call(sample_video):
    video = Video(sample_video)
    with pytest.raises(UsageError, match="got none"):
        video.frames([])
    clips = [video.clips(num_frames=n)[0] for n in (4, 8)]
    with pytest.raises(UsageError, match=r"\[4, 8\]"):
        video.frames(clips)
    assert len(list(video.iter_frames(clips))) == 2


def test_a_clip_without_a_readable_frame_is_an_error_or_a_warning(tmp_path):
    path = tmp_path / "damaged.mp4"
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(32)]
    write_video(path, pictures, options={"g": "8", "bf": "0"})
    index = read_packets(path)
    data = bytearray(path.read_bytes())
    for number in range(16, 24):
        start = int(index.demuxed.positions[number])
        data[start : start + int(index.sizes[number])] = bytes(int(index.sizes[number]))
    path.write_bytes(data)
    video = Video(path)
    clips = video.clips(num_frames=8)
    assert [clip.index for clip, _ in video.iter_frames(clips)] == [0, 1, 3]
    assert any("1 clips are left out" in warning for warning in video.warnings)
    assert any("8 of 32 frames could not be decoded" in warning for warning in video.warnings)
    told = list(video.warnings)
    list(video.iter_frames(clips))
    assert video.warnings == told
    with pytest.raises(VideoError, match=r"clip 2 \(from 0.64 s\)"):
        video.frames([clips[0], clips[2]])


def test_a_clip_beyond_the_end_is_an_error(sample_video):
    with pytest.raises(VideoError, match="clip 99"):
        Video(sample_video).frames(
            [lay_clip(9000, num_frames=4, index=99, start_seconds=360.0, end_seconds=361.0)]
        )


def test_motion_and_sound_are_those_of_the_reading_functions(sample_video):
    video = Video(sample_video)
    clips = video.clips()[:3]
    maps = motion(Video(sample_video).reading, clips)
    assert torch.equal(video.motion(clips).vectors, maps.vectors)
    assert [clip for clip, _ in video.iter_motion(clips)] == clips
    assert torch.equal(
        video.log_mel(clips).values, log_mel(Video(sample_video).reading, clips).values
    )
    assert video.log_mel(clips, num_steps=50, num_mels=20).values.shape == (3, 1, 20, 50)


def test_residuals_and_key_frames_have_the_shape_of_the_frames(sample_video):
    video = Video(sample_video)
    clips = video.clips(num_frames=50)
    assert video.residuals(clips).values.shape == (6, 3, 96, 128)
    keys = video.key_frames(clips)
    assert keys.frame_number.tolist() == [0, 50, 100, 150, 200, 250]
    expected = _plain_decode(sample_video)[::50]
    assert np.array_equal(keys.images.permute(0, 2, 3, 1), expected)


def test_what_is_streamed_is_what_is_packed(sample_video):
    video = Video(sample_video)
    clips = video.clips(num_frames=50)[::-1]
    maps, rest = video.motion(clips), video.residuals(clips, per_clip=2)
    looked = list(video.iter_compressed(clips, residuals_per_clip=2))
    assert [clip for clip, _, _ in looked] == clips[::-1]
    for clip, motion_part, residual_part in looked:
        place = clips.index(clip)
        assert motion_part.clip_index.unique().tolist() == [place]
        assert torch.equal(motion_part.vectors, maps.vectors[maps.clip_index == place])
        assert torch.equal(residual_part.values, rest.values[rest.clip_index == place])
    alone = [part.values for _, part in video.iter_residuals(clips, per_clip=2)]
    assert torch.equal(torch.cat(alone), torch.cat([part.values for _, _, part in looked]))
    small = video.residuals(clips, size=(24, 32))
    assert (small.values.shape, small.values.dtype) == ((6, 3, 24, 32), torch.float32)


def test_p_frames_alone_are_fewer_and_cheaper(sample_video):
    every, few = Video(sample_video), Video(sample_video)
    clips = every.clips(num_frames=50)
    maps, some = every.motion(clips), few.motion(clips, b_frames=False)
    types = every.packets.picture_types
    assert set(types[some.frame_number.numpy()]) == {"P"}
    assert "B" in types[maps.frame_number.numpy()]
    chosen = torch.isin(maps.frame_number, some.frame_number)
    assert torch.equal(maps.vectors[chosen], some.vectors)
    assert few.stats.frames_decoded < every.stats.frames_decoded


def test_streams_of_key_frames_and_sound_hold_every_clip_once(sample_video):
    video = Video(sample_video)
    clips = video.clips(num_frames=20)
    keys = video.key_frames(clips)
    seen = list(video.iter_key_frames(clips))
    assert sorted(n for positions, _, _ in seen for n in positions) == list(range(len(clips)))
    assert [number for _, number, _ in seen] == sorted({*keys.frame_number.tolist()})
    for positions, number, image in seen:
        assert keys.frame_number[positions].unique().tolist() == [number]
        assert all(torch.equal(keys.images[n], image) for n in positions)
    whole = video.log_mel(clips, num_steps=50).values
    heard = list(video.iter_log_mel(clips, num_steps=50))
    assert torch.cat([positions for positions, _ in heard]).tolist() == list(range(len(clips)))
    assert torch.equal(torch.cat([values for _, values in heard]), whole)
