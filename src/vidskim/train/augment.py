"""Random clips for training: place in time, place and scale in space, mirror, color."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is varied between two looks at the same video."""

    crop: tuple[int, int]
    """(height, width) of the network's input."""
    min_scale: float = 1.0
    """The crop's side before it is resized, as a share of the largest that fits: drawn from here
    to 1."""
    short_sides: tuple[int, int] | None = None
    """The crop is cut, as it is, from frames whose short side is drawn between these two: takes the
    place of ``min_scale`` (FASTER, section 4)."""
    flip: bool = False
    """Mirror half of the clips; wrong wherever left and right tell classes apart."""
    color: float = 0.0
    """Brightness, contrast and each channel's gain vary by up to this share."""


def random_clip(
    frames: np.ndarray,
    *,
    num_frames: int,
    stride: int,
    augmentation: Augmentation,
    generator: np.random.Generator,
) -> Tensor:
    """Draw one clip from the frames of a video.

    A video shorter than the clip's span is taken from its first frame, the last one repeated.

    Args:
        frames: uint8 ``[F, 3, H, W]``.
        num_frames: T.
        stride: distance between the clip's frames.
        augmentation: what is varied.
        generator: decides everything.

    Returns:
        float32 ``[3, T, h, w]`` in [0, 255], not normalized.
    """
    F, _, H, W = frames.shape
    room = max(0, F - (num_frames - 1) * stride - 1)
    start = int(generator.integers(0, room + 1))
    index = np.minimum(start + np.arange(num_frames) * stride, F - 1)
    h, w = augmentation.crop
    if augmentation.short_sides is None:
        scale = min(H / h, W / w) * generator.uniform(augmentation.min_scale, 1.0)
    else:
        scale = min(H, W) / generator.uniform(*augmentation.short_sides)
    height, width = max(1, min(H, round(h * scale))), max(1, min(W, round(w * scale)))
    top = int(generator.integers(0, H - height + 1))
    left = int(generator.integers(0, W - width + 1))
    clip = torch.from_numpy(frames[index, :, top : top + height, left : left + width]).float()
    if (height, width) != (h, w):
        clip = interpolate(clip, size=(h, w), mode="bilinear", align_corners=False)
    clip = clip.transpose(0, 1)  # [3, T, h, w]
    if augmentation.flip and generator.random() < 0.5:
        clip = clip.flip(-1)
    if augmentation.color > 0:
        c = augmentation.color
        gain = torch.from_numpy(generator.uniform(1 - c, 1 + c, 3)).float()
        contrast, brightness = generator.uniform(1 - c, 1 + c), 255 * generator.uniform(-c, c) / 2
        clip = (clip - 127.5) * contrast + 127.5 + brightness
        clip = (clip * gain.view(3, 1, 1, 1)).clamp(0, 255)
    return clip


def normalize(clips: Tensor, *, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Scale clips ``[N, 3, T, h, w]`` in [0, 255] like `Transform` does."""
    middle = torch.tensor(mean).view(3, 1, 1, 1)
    spread = torch.tensor(std).view(3, 1, 1, 1)
    return (clips / 255 - middle) / spread


def mixup(
    x: Tensor, target: Tensor, *, num_classes: int, alpha: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Blend every clip with another of the batch (Zhang et al. 2018, mixup).

    Args:
        x: ``[N, ...]``.
        target: class indices ``[N]``.
        num_classes: K.
        alpha: of the Beta distribution the weight is drawn from.
        generator: decides weight and partners.

    Returns:
        Blended input and class probabilities ``[N, K]``.
    """
    weight = float(generator.beta(alpha, alpha))
    partner = torch.from_numpy(generator.permutation(len(x)))
    one_hot = torch.nn.functional.one_hot(target, num_classes).float()
    return (
        weight * x + (1 - weight) * x[partner],
        weight * one_hot + (1 - weight) * one_hot[partner],
    )
