"""The batches of training on several clips of each video.

Clips are drawn anywhere in a video, independently of each other (collaborative memory, section 3.1,
"multi-clip sampling"), and varied independently, as if they were of different videos; they may
overlap, and do where a video is shorter than N clips. One shorter than a clip repeats its last
frame.

Every clip's draw is a function of the seed, the step and its place in the batch alone. Several
processes therefore share a step by each making its own videos of the same batch. The videos of a
step all differ, which statistics over a group of clips rest on (`vidskim.train.sub_batch`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidskim.clips.transform import Transform
from vidskim.data.cache.frames import Store
from vidskim.errors import UsageError
from vidskim.train.augment import Augmentation, random_clip
from vidskim.train.batches.order import rows_of_step
from vidskim.train.clip_network import prepared
from vidskim.train.multi_iteration import ClipByClip


@dataclass(frozen=True)
class VideoBatches:
    """The batch of a step: N clips of each of a few videos.

    Attributes:
        frames: of the rows that are drawn from.
        targets: one per row: class indices ``[R]``, or 0 and 1 for every class ``[R, K]``.
        num_clips: N.
        num_videos: per step, of all processes.
        num_frames: of a clip.
        stride: distance between them.
        augmentation: what is varied.
        transform: whose scale and channel order the network takes.
        seed: decides everything.
        share: (place of this process, number of processes).
    """

    frames: Store
    targets: np.ndarray
    num_clips: int
    num_videos: int
    num_frames: int
    stride: int
    augmentation: Augmentation
    transform: Transform
    seed: int
    share: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        check_share(self.num_videos, processes=self.share[1])

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return this process's clips ``[B, N, 3, T, h, w]`` and their targets."""
        drawn, target = self.one_by_one(step)
        return torch.cat([drawn.draw(n) for n in range(self.num_clips)], dim=1), target

    def one_by_one(self, step: int) -> tuple[ClipByClip, Tensor]:
        """Return the same clips, each drawn when it is its turn, and their targets."""
        rows = rows_of_step(
            step, num_rows=len(self.frames), batch_size=self.num_videos, seed=self.seed
        )
        place, processes = self.share
        count = self.num_videos // processes
        mine = range(place * count, (place + 1) * count)

        def draw(n: int) -> Tensor:
            clips = torch.stack([self._clip(step, int(rows[b]), b, n) for b in mine])
            return prepared(clips, self.transform)[:, None]  # [B, 1, 3, T, h, w]

        return ClipByClip(self.num_clips, draw), torch.from_numpy(self.targets[rows[list(mine)]])

    def _clip(self, step: int, row: int, video: int, n: int) -> Tensor:
        """Draw clip n of the video at a place of the batch."""
        return random_clip(
            self.frames[row],
            num_frames=self.num_frames,
            stride=self.stride,
            augmentation=self.augmentation,
            generator=np.random.default_rng([self.seed, 1, step, video, n]),
        )


def check_share(num_videos: int, *, processes: int) -> None:
    """Refuse a number of videos per step that processes cannot share.

    Raises:
        UsageError: it does not divide.
    """
    if num_videos % processes:
        raise UsageError(
            f"{num_videos} videos per step cannot be shared evenly by {processes} processes: give "
            "another batch_size"
        )
