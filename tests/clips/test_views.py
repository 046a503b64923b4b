"""Views: where crops lie, and that folding undoes them."""

import pytest
import torch

from vidskim.clips import views
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError


def _numbered(N: int, H: int, W: int) -> torch.Tensor:
    """Clips whose every pixel tells its place: n * 10000 + y * 100 + x, ``[N, 1, 2, H, W]``."""
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    clip = (y * 100 + x).expand(1, 2, H, W)
    return torch.stack([clip + n * 10000 for n in range(N)])


@pytest.mark.parametrize(
    ("H", "W", "corners"),
    [
        (6, 11, [(0, 0), (0, 2), (0, 5)]),  # round(2.5) is 2, as in the transform
        (11, 6, [(0, 0), (2, 0), (5, 0)]),
        (8, 8, [(1, 0), (1, 1), (1, 2)]),
    ],
)
def test_three_crops_run_along_the_longer_side(H, W, corners):
    out = views.crops(_numbered(2, H, W), num_crops=3, size=6)
    assert out.shape == (6, 1, 2, 6, 6)
    expected = [n * 10000 + y * 100 + x for n in range(2) for y, x in corners]
    assert out[:, 0, 0, 0, 0].tolist() == expected
    assert torch.equal(out[:, :, :, -1, -1] - out[:, :, :, 0, 0], torch.full((6, 1, 2), 505))


def test_one_crop_is_the_center():
    out = views.crops(_numbered(2, 9, 7), num_crops=1, size=(5, 3))
    assert torch.equal(out, _numbered(2, 9, 7)[..., 2:7, 2:5])


def test_fold_averages_the_crops_of_each_clip():
    scores = torch.arange(12.0).reshape(6, 2)
    folded = views.fold(scores, num_crops=3)
    assert torch.equal(folded, torch.tensor([[2.0, 3.0], [8.0, 9.0]]))
    assert torch.equal(views.fold(scores, num_crops=1), scores)


def test_the_center_view_is_the_transforms_own():
    frames = torch.randint(0, 256, (4, 3, 20, 31), dtype=torch.uint8)
    transform = Transform(short_side=16, crop=(12, 12))
    three = views.views_of(frames, transform=transform, num_crops=3)
    one = views.views_of(frames, transform=transform, num_crops=1)
    assert (three.shape, one.shape) == ((3, 3, 4, 12, 12), (1, 3, 4, 12, 12))
    assert torch.equal(three[1], transform(frames))
    assert torch.equal(one[0], transform(frames))
    assert torch.equal(three[0, ..., 6:], three[1, ..., :6])  # 24 wide: at 0, 6 and 12
    assert torch.equal(three[1, ..., 6:], three[2, ..., :6])


def test_frames_too_small_for_the_crop_are_enlarged_for_every_view():
    frames = torch.randint(0, 256, (2, 3, 40, 20), dtype=torch.uint8)
    transform = Transform(short_side=16, crop=(8, 24))  # a wide crop from a tall frame
    three = views.views_of(frames, transform=transform, num_crops=3)
    assert torch.equal(three[1], transform(frames))


def test_refuses_what_does_not_fit():
    frames = _numbered(1, 6, 8)
    with pytest.raises(UsageError, match="num_crops is 1 or 3, got 2"):
        views.crops(frames, num_crops=2, size=4)
    with pytest.raises(UsageError, match="crop of 7x7 does not fit in frames of 6x8"):
        views.crops(frames, num_crops=3, size=7)
    with pytest.raises(UsageError, match="3 crops need a transform that crops"):
        views.views_of(frames, transform=Transform(short_side=6), num_crops=3)
    with pytest.raises(UsageError, match="7 scores"):
        views.fold(torch.zeros(7, 2), num_crops=3)
