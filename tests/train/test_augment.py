"""Random clips: inside the video, decided by the generator, untouched where nothing is varied."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidskim.clips.transform import Transform
from vidskim.train.augment import Augmentation, mixup, normalize, random_clip

PLAIN = Augmentation(crop=(6, 8))


def numbered(F, H=6, W=8):
    """Frames ``[F, 3, H, W]`` whose red tells the frame, green the row, blue the column."""
    frames = np.zeros((F, 3, H, W), dtype=np.uint8)
    frames[:, 0] = np.arange(F)[:, None, None]
    frames[:, 1] = np.arange(H)[:, None]
    frames[:, 2] = np.arange(W)
    return frames


def clip_of(frames, *, augmentation=PLAIN, num_frames=4, stride=1, seed=0):
    return random_clip(
        frames,
        num_frames=num_frames,
        stride=stride,
        augmentation=augmentation,
        generator=np.random.default_rng(seed),
    )


@given(
    F=st.integers(1, 30),
    num_frames=st.integers(1, 6),
    stride=st.integers(1, 4),
    seed=st.integers(0, 10**6),
)
def test_frames_are_neighbors_at_the_stride_and_the_last_is_repeated(F, num_frames, stride, seed):
    clip = clip_of(numbered(F), num_frames=num_frames, stride=stride, seed=seed)
    assert clip.shape == (3, num_frames, 6, 8)
    index = clip[0, :, 0, 0].int().tolist()
    start = index[0]
    assert index == [min(start + t * stride, F - 1) for t in range(num_frames)]
    span = (num_frames - 1) * stride + 1
    assert start == 0 if span >= F else start + span <= F


def test_every_start_is_drawn():
    starts = {int(clip_of(numbered(8), seed=seed)[0, 0, 0, 0]) for seed in range(100)}
    assert starts == {0, 1, 2, 3, 4}


@given(
    H=st.integers(6, 30),
    W=st.integers(8, 30),
    min_scale=st.sampled_from([0.3, 0.75, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_crops_lie_inside_and_keep_their_shape(H, W, min_scale, seed):
    augmentation = Augmentation(crop=(6, 8), min_scale=min_scale)
    clip = clip_of(numbered(4, H, W), augmentation=augmentation, seed=seed)
    assert clip.shape == (3, 4, 6, 8)
    rows, columns = clip[1, 0, :, 0], clip[2, 0, 0, :]
    assert 0 <= rows.min() <= rows.max() <= H - 1
    assert 0 <= columns.min() <= columns.max() <= W - 1
    # A pixel of the crop is as wide as it is high, but for the rounding of the window's sides.
    dy, dx = (rows[-1] - rows[0]) / 5, (columns[-1] - columns[0]) / 7
    largest = min(H / 6, W / 8)
    assert dy <= largest + 0.2
    assert dx <= largest + 0.2
    assert dy >= min_scale * largest - 0.4
    assert abs(dy - dx) < 0.4


@given(
    H=st.integers(10, 40),
    W=st.integers(10, 40),
    low=st.integers(9, 12),
    span=st.integers(0, 6),
    seed=st.integers(0, 10**6),
)
def test_the_crop_is_cut_from_frames_of_a_short_side_between_two(H, W, low, span, seed):
    augmentation = Augmentation(crop=(9, 7), min_scale=0.01, short_sides=(low, low + span))
    clip = clip_of(numbered(1, H, W), augmentation=augmentation, num_frames=1, seed=seed)
    rows, columns = clip[1, 0, :, 0], clip[2, 0, 0, :]
    # as wide as the crop is in a frame that was resized, but for the rounding of the window
    side = min(H, W)
    for shown, size in ((float(rows[-1] - rows[0]), 9), (float(columns[-1] - columns[0]), 7)):
        step = shown / (size - 1)
        assert step >= (side / (low + span) * size - 1) / size - 1e-4
        assert step <= (side / low * size + 1) / size + 1e-4


def test_every_short_side_is_drawn():
    augmentation = Augmentation(crop=(4, 4), short_sides=(4, 8))
    shown = []
    for seed in range(200):
        clip = clip_of(numbered(1, 80, 90), augmentation=augmentation, num_frames=1, seed=seed)
        shown.append(float(clip[1, 0, -1, 0] - clip[1, 0, 0, 0]) / 3)
    assert 10 <= min(shown) < 10.6  # 80 pixels at a short side of 8: every tenth
    assert 19.4 < max(shown) <= 20


def test_a_window_of_the_crop_s_size_is_copied():
    clip = clip_of(numbered(4, 6, 20), seed=3)
    left = int(clip[2, 0, 0, 0])
    assert torch.equal(clip, torch.from_numpy(numbered(4, 6, 20)[..., left : left + 8])
                       .float().transpose(0, 1))  # fmt: skip


def test_the_generator_decides_everything():
    augmentation = Augmentation(crop=(4, 4), min_scale=0.5, flip=True, color=0.3)
    frames = np.random.default_rng(0).integers(0, 256, (30, 3, 12, 16), dtype=np.uint8)
    first, same, other = (
        clip_of(frames, augmentation=augmentation, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_half_of_the_clips_are_mirrored():
    flips = 0
    for seed in range(200):
        columns = clip_of(numbered(4), augmentation=Augmentation((6, 8), flip=True), seed=seed)
        row = columns[2, 0, 0]
        assert torch.equal(row, torch.arange(8.0)) or torch.equal(row, torch.arange(7.0, -1, -1))
        flips += int(row[0] == 7)
    assert 70 < flips < 130


def test_color_changes_all_frames_alike_within_bounds():
    frames = np.full((6, 3, 6, 8), 127, dtype=np.uint8)
    seen = []
    for seed in range(50):
        clip = clip_of(frames, augmentation=Augmentation((6, 8), color=0.2), seed=seed)
        assert torch.equal(clip, clip[:, :1, :1, :1].expand_as(clip))
        seen.append(clip[:, 0, 0, 0])
    values = torch.stack(seen)
    assert values.min() >= (127 - 0.1 - 25.5 - 0.5) * 0.8
    assert values.max() <= (127 + 0.1 + 25.5 + 0.5) * 1.2
    assert values.std() > 5


def test_normalize_equals_the_transform():
    frames = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 8), dtype=np.uint8)
    transform = Transform()
    clip = clip_of(frames)[None]
    expected = transform(torch.from_numpy(frames)[None])
    assert normalize(clip, mean=transform.mean, std=transform.std).sub(expected).abs().max() < 1e-6


def test_mixup_against_a_loop():
    x = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 2, 1, 1, 0])
    mixed, probabilities = mixup(
        x, target, num_classes=3, alpha=0.4, generator=np.random.default_rng(7)
    )
    generator = np.random.default_rng(7)
    weight, partner = generator.beta(0.4, 0.4), generator.permutation(5)
    assert 0 < weight < 1
    for n in range(5):
        assert mixed[n].numpy() == pytest.approx(
            (weight * x[n] + (1 - weight) * x[partner[n]]).numpy(), abs=1e-6
        )
        expected = np.zeros(3)
        expected[target[n]] += weight
        expected[target[partner[n]]] += 1 - weight
        assert probabilities[n].numpy() == pytest.approx(expected, abs=1e-6)
