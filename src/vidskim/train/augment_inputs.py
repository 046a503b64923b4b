"""Random variants of what saliency networks see and hear: mirror, crop, shift, silent bands."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


@dataclass(frozen=True, slots=True)
class InputAugmentation:
    """What is varied between two looks at the same input; nothing by default."""

    flip: bool = False
    """Mirror half of the visual inputs; of motion the horizontal part changes its sign."""
    min_scale: float = 1.0
    """Sides of a random crop of visual inputs, as a share of the whole: drawn from here to 1."""
    time_shift: float = 0.0
    """Audio windows are shifted by up to this share of their length, silence moving in."""
    frequency_mask: float = 0.0
    """Up to this share of the mel bands, neighbors, is silenced (SpecAugment)."""

    def __call__(self, x: Tensor, *, kind: str, generator: np.random.Generator) -> Tensor:
        """Vary inputs ``[P, C, h, w]`` of a kind of source, each by itself.

        Args:
            x: network inputs.
            kind: "motion", "residual", "keyframe" or "audio".
            generator: decides everything.
        """
        if kind == "audio":
            return mask(shift(x, self.time_shift, generator), self.frequency_mask, generator)
        x = crop(x, self.min_scale, generator, is_motion=kind == "motion")
        return mirror(x, generator, is_motion=kind == "motion") if self.flip else x


def mirror(x: Tensor, generator: np.random.Generator, *, is_motion: bool) -> Tensor:
    """Mirror about half of the inputs ``[P, C, h, w]`` left to right."""
    chosen = torch.from_numpy(generator.random(len(x)) < 0.5)
    turned = x[chosen].flip(-1)
    if is_motion:
        turned[:, 0] = -turned[:, 0]
    x = x.clone()
    x[chosen] = turned
    return x


def crop(x: Tensor, min_scale: float, generator: np.random.Generator, *, is_motion: bool) -> Tensor:
    """Cut random crops out of inputs ``[P, C, h, w]`` and bring them back to the whole size.

    What is enlarged moves faster: motion is multiplied by the same factor.
    """
    if min_scale >= 1:
        return x
    scale = torch.from_numpy(generator.uniform(min_scale, 1, len(x))).float()
    place = torch.from_numpy(generator.uniform(-1, 1, (len(x), 2))).float()
    theta = torch.zeros(len(x), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = place * (1 - scale)[:, None]
    grid = affine_grid(theta, list(x.shape), align_corners=False)
    cut = grid_sample(x, grid, padding_mode="border", align_corners=False)
    return cut / scale[:, None, None, None] if is_motion else cut


def shift(x: Tensor, share: float, generator: np.random.Generator) -> Tensor:
    """Shift windows ``[P, 1, M, S]`` in time by up to a share of S; silence (0) moves in."""
    steps = math.floor(share * x.shape[-1])
    if steps == 0:
        return x
    shifted = torch.zeros_like(x)
    for n, by in enumerate(generator.integers(-steps, steps + 1, len(x)).tolist()):
        if by >= 0:
            shifted[n, ..., by:] = x[n, ..., : x.shape[-1] - by]
        else:
            shifted[n, ..., :by] = x[n, ..., -by:]
    return shifted


def mask(x: Tensor, share: float, generator: np.random.Generator) -> Tensor:
    """Silence up to a share of neighboring mel bands of windows ``[P, 1, M, S]``."""
    bands = math.floor(share * x.shape[-2])
    if bands == 0:
        return x
    x = x.clone()
    sizes = generator.integers(0, bands + 1, len(x))
    starts = (generator.random(len(x)) * (x.shape[-2] - sizes + 1)).astype(int)
    for n, (start, size) in enumerate(zip(starts.tolist(), sizes.tolist())):
        x[n, :, start : start + size] = 0
    return x
