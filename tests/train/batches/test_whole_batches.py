"""Which frames of a video are trained on, and what is done to them."""

import numpy as np
import pytest
import torch

from vidskim.clips.transform import Transform
from vidskim.data.cache.frames import Store
from vidskim.data.manifest import Row
from vidskim.train.augment import Augmentation
from vidskim.train.batches.joined import WholeBatches, draw_frames


def drawn(total: int, *, num_frames: int, segments: int, stride: int = 1, seed: int = 0):
    return draw_frames(
        total,
        num_frames=num_frames,
        segments=segments,
        stride=stride,
        generator=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize(("num_frames", "segments"), [(1, 1), (8, 1), (8, 2), (12, 3), (10, 4)])
def test_frames_are_in_order_and_in_range(num_frames, segments, stride):
    """However long the video is; past its end its last frame is repeated."""
    for total in (1, 2, 7, 20, 33, 100):
        for seed in range(8):
            frames = drawn(
                total, num_frames=num_frames, segments=segments, stride=stride, seed=seed
            )
            assert frames.shape == (num_frames,)
            assert frames.min() >= 0
            assert frames.max() <= total - 1
            steps = np.diff(frames)
            assert (steps >= 0).all()
            assert not (steps[frames[1:] < total - 1] == 0).any()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("num_frames", "segments"), [(9, 3), (10, 4), (8, 8)])
def test_each_segment_is_a_stretch_of_its_part(num_frames, segments, stride):
    edges = np.linspace(0, 101, segments + 1)
    lengths = np.diff(np.linspace(0, num_frames, segments + 1).round().astype(int))
    assert lengths.sum() == num_frames
    assert lengths.max() - lengths.min() <= 1
    starts = set()
    for seed in range(30):
        frames = drawn(101, num_frames=num_frames, segments=segments, stride=stride, seed=seed)
        for n, part in enumerate(np.split(frames, np.cumsum(lengths)[:-1])):
            assert (np.diff(part) == stride).all()
            assert np.floor(edges[n]) <= part[0]
            assert part[-1] < edges[n + 1]
        starts.add(int(frames[0]))
    assert len(starts) > 5


def test_a_stretch_is_drawn_from_anywhere():
    """From the first frame to the last, and as often from either."""
    starts = [int(drawn(30, num_frames=4, segments=1, stride=3, seed=s)[0]) for s in range(400)]
    assert set(starts) == set(range(21))  # ten frames span it
    for total in (10, 9, 4):
        frames = drawn(total, num_frames=4, segments=1, stride=3, seed=total)
        assert frames.tolist() == np.minimum([0, 3, 6, 9], total - 1).tolist()


def test_too_short_for_segments():
    """As in testing: the video goes in once, not parts of it twice."""
    assert drawn(11, num_frames=12, segments=3).tolist() == [*range(11), 10]
    assert drawn(12, num_frames=12, segments=3).tolist() == list(range(12))
    starts = {tuple(drawn(7, num_frames=6, segments=4, seed=s)) for s in range(20)}
    assert starts == {tuple(range(6)), tuple(range(1, 7))}


def store_of(videos: list[np.ndarray]) -> Store:
    rows = tuple(Row(f"{n}.mp4", ("left",)) for n in range(len(videos)))
    sizes = [video.size for video in videos]
    return Store(
        rows,
        np.concatenate([video.ravel() for video in videos]),
        np.concatenate([[0], np.cumsum(sizes)[:-1]]),
        tuple(video.shape for video in videos),
    )


TRANSFORM = Transform(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))


def batches(videos, *, augmentation=None, transform=TRANSFORM, **changes) -> WholeBatches:
    values = {
        "frames": store_of(videos),
        "targets": np.arange(len(videos)),
        "num_videos": 2,
        "num_frames": 6,
        "segments": 1,
        "stride": 1,
        "augmentation": augmentation or Augmentation(crop=(8, 10)),
        "transform": transform,
        "seed": 3,
    }
    return WholeBatches(**(values | changes))


def counted(num: int, frames: int, *, still: bool = False) -> np.ndarray:
    """Frames 8x10 whose pixels are 40 x the video and the number of the frame."""
    numbers = np.zeros(frames, np.uint8) if still else np.arange(frames, dtype=np.uint8)
    return (40 * num + numbers)[:, None, None, None].repeat(3, 1).repeat(8, 2).repeat(10, 3)


def test_a_batch_is_what_it_says():
    videos = [counted(n, 20) for n in range(4)]
    for stride, segments in ((1, 1), (2, 1), (1, 3)):
        of_step = batches(videos, stride=stride, segments=segments)
        x, target = of_step(5)
        assert x.shape == (2, 3, 6, 8, 10)
        assert x.is_contiguous(memory_format=torch.channels_last_3d)
        gray = x[:, 2, :, 0, 0] * 255  # a channel whose mean is 0 and deviation 1
        for n in range(2):
            numbers = gray[n] - 40 * target[n]
            steps = numbers.diff().round()
            assert numbers.min() >= 0
            assert numbers.max() < 20
            if segments == 1:
                assert (steps == stride).all()
            else:
                assert (steps[::2] == 1).all()
                assert (steps > 0).all()
        torch.testing.assert_close(x[:, 0], (x[:, 2] - 0.5) / 0.5)
        torch.testing.assert_close(x[:, 1], (x[:, 2] - 0.25) / 0.25)
        again, same = of_step(5)
        assert torch.equal(x, again)
        assert torch.equal(target, same)
        assert not torch.equal(x, of_step(6)[0])
        assert not torch.equal(x, batches(videos, stride=stride, segments=segments, seed=4)(5)[0])
    order = [int(t) for step in range(2) for t in batches(videos)(step)[1]]
    assert sorted(order) == [0, 1, 2, 3]


def test_channels_are_in_the_networks_order():
    color = np.arange(3, dtype=np.uint8)[None, :, None, None] * np.ones((6, 1, 8, 10), np.uint8)
    x, _ = batches([color], transform=Transform(mean=(0, 0, 0), std=(1, 1, 1)), num_videos=1)(0)
    assert (255 * x[0, :, 0, 0, 0]).round().tolist() == [0, 1, 2]
    turned = Transform(mean=(0, 0, 0), std=(1, 1, 1), channel_order="bgr")
    x, _ = batches([color], transform=turned, num_videos=1)(0)
    assert (255 * x[0, :, 0, 0, 0]).round().tolist() == [2, 1, 0]


def test_one_crop_mirror_and_color_for_all_of_a_video():
    """A video in which nothing moves gives one picture again and again, each time another."""
    picture = np.random.default_rng(0).integers(0, 256, (1, 3, 16, 20), dtype=np.uint8)
    varied = Augmentation(crop=(8, 10), min_scale=0.6, flip=True, color=0.3)
    of_step = batches([picture.repeat(9, 0)] * 2, augmentation=varied)
    pictures = []
    for step in range(3):
        x, _ = of_step(step)
        torch.testing.assert_close(x, x[:, :, :1].expand_as(x), rtol=0, atol=1e-5)
        pictures += [x[0, :, 0], x[1, :, 0]]
    for n, one in enumerate(pictures):
        assert all((one - other).abs().max() > 0.01 for other in pictures[:n])
