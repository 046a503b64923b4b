"""The batches of training on whole videos: a stretch of each, or segments of it joined.

Every video's draw is a function of the seed, the step and its place in the batch alone. One crop,
mirror and change of color goes for all frames of a video.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidskim.clips.transform import Transform
from vidskim.data.cache.frames import Store
from vidskim.train.augment import Augmentation, random_clip
from vidskim.train.batches.order import rows_of_step
from vidskim.train.clip_network import prepared


@dataclass(frozen=True)
class WholeBatches:
    """The batch of a step: T frames of each of a few videos.

    Attributes:
        frames: of the rows that are drawn from.
        targets: class indices ``[R]``.
        num_videos: per step.
        num_frames: T.
        segments: stretches that they are of.
        stride: distance between them within a stretch.
        augmentation: what is varied.
        transform: whose scale and channel order the network takes.
        seed: decides everything.
    """

    frames: Store
    targets: np.ndarray
    num_videos: int
    num_frames: int
    segments: int
    stride: int
    augmentation: Augmentation
    transform: Transform
    seed: int

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return videos ``[B, 3, T, h, w]`` and their classes ``[B]``."""
        rows = rows_of_step(
            step, num_rows=len(self.frames), batch_size=self.num_videos, seed=self.seed
        )
        videos = torch.stack([self._video(step, int(row), b) for b, row in enumerate(rows)])
        x = prepared(videos, self.transform).contiguous(memory_format=torch.channels_last_3d)
        return x, torch.from_numpy(self.targets[rows])

    def _video(self, step: int, row: int, place: int) -> Tensor:
        generator = np.random.default_rng([self.seed, 1, step, place])
        frames = self.frames[row]
        chosen = frames[
            draw_frames(
                len(frames),
                num_frames=self.num_frames,
                segments=self.segments,
                stride=self.stride,
                generator=generator,
            )
        ]
        return random_clip(
            chosen,
            num_frames=self.num_frames,
            stride=1,
            augmentation=self.augmentation,
            generator=generator,
        )


def draw_frames(
    total: int, *, num_frames: int, segments: int, stride: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw which of a video's frames go in, ``[num_frames]``, in the order of time.

    The video is cut into equal parts, and a stretch of each is taken from anywhere in it. A video
    whose parts are shorter than their stretches gives one stretch, as it does in testing, where it
    has fewer segments than asked for; past its end the last frame is repeated.

    Args:
        total: frames of the video.
        num_frames: T, shared by the segments as evenly as possible.
        segments: number of parts.
        stride: distance between the frames of a stretch.
        generator: decides everything.
    """
    edges = np.linspace(0, total, segments + 1).astype(int)
    lengths = np.diff(np.linspace(0, num_frames, segments + 1).round().astype(int))
    rooms = np.diff(edges) - (lengths - 1) * stride - 1
    if rooms.min() < 0:
        edges, lengths = np.array([0, total]), np.array([num_frames])
        rooms = np.maximum(0, total - (lengths - 1) * stride - 1)
    parts = [
        first + int(generator.integers(0, room + 1)) + np.arange(length) * stride
        for first, room, length in zip(edges[:-1], rooms, lengths, strict=True)
    ]
    return np.asarray(np.minimum(np.concatenate(parts), total - 1))
