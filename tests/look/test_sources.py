"""What saliency networks look at: scaled, resized, joined, told in JSON."""

import pytest
import torch

from vidskim import Video
from vidskim.errors import UsageError
from vidskim.look.sources import (
    KeyFrames,
    LogMels,
    MotionMaps,
    Residuals,
    image_input,
    motion_input,
    read_together,
    residual_input,
    source_from_json,
    to_json,
)


def pan(dx: float, dy: float, *, h: int = 6, w: int = 8) -> torch.Tensor:
    return torch.tensor([dx, dy])[:, None, None].expand(2, h, w).clone()


def test_motion_is_scaled_cut_and_resized():
    vectors = torch.stack([pan(2, -2), pan(1000, -1000)])
    assert motion_input(vectors)[:, :, 0, 0].tolist() == [[0.5, -0.5], [5, -5]]
    resized = motion_input(vectors, size=(3, 5))
    assert resized.shape == (2, 2, 3, 5)
    torch.testing.assert_close(resized[0], pan(0.5, -0.5, h=3, w=5))


def test_residuals_are_scaled_and_cut():
    values = torch.tensor([8, -255]).to(torch.int16).reshape(2, 1, 1, 1).expand(2, 3, 20, 30)
    x = residual_input(values, size=(4, 6))
    assert x.shape == (2, 3, 4, 6)
    torch.testing.assert_close(x[0], torch.full((3, 4, 6), 0.5))
    assert x[1].unique().tolist() == [-8]


def test_pictures_are_normalized_like_imagenet_s():
    white = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
    x = image_input(white, size=(2, 2))[0, :, 0, 0]
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert x.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "source",
    [
        MotionMaps(),
        MotionMaps(b_frames=False),
        MotionMaps((3, 4)),
        Residuals((24, 32), per_clip=3),
        KeyFrames((24, 32)),
        LogMels(num_mels=8, num_steps=16),
    ],
)
def test_every_source_gives_its_inputs_and_their_clips(sample_video, source):
    video = Video(sample_video)
    clips = video.clips(num_frames=16)
    parts = list(source.read(video, clips))
    inputs, owner = torch.cat([x for x, _ in parts]), torch.cat([n for _, n in parts])
    assert inputs.dtype == torch.float32
    assert inputs.shape[:2] == (len(owner), source.channels)
    counts = owner.bincount(minlength=len(clips))
    assert len(counts) == len(clips)
    if source.kind in ("keyframe", "audio"):
        assert counts.tolist() == [1] * len(clips)
    if isinstance(source, Residuals):
        assert set(counts.tolist()) <= {2, 3}
    assert source_from_json(to_json(source)) == source


def test_no_residual_frame_is_none():
    with pytest.raises(UsageError, match="at least 1"):
        Residuals(per_clip=0)


@pytest.mark.parametrize("b_frames", [False, True])
def test_motion_of_p_frames_alone_is_read_alike_with_residuals(sample_video, b_frames):
    sources = (MotionMaps((3, 4), b_frames=b_frames), Residuals((24, 32)))
    video = Video(sample_video)
    clips = video.clips(num_frames=16)
    together = [x for n, x, _ in read_together(video, clips, sources) if n == 0]
    alone = [x for x, _ in sources[0].read(Video(sample_video), clips)]
    torch.testing.assert_close(torch.cat(together), torch.cat(alone))
    others = MotionMaps((3, 4), b_frames=not b_frames)
    count = sum(len(x) for x, _ in others.read(Video(sample_video), clips))
    assert (sum(map(len, alone)) > count) == b_frames
