"""The batches of FASTER's second stage: clips of videos drawn from cached feature maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidskim.data.cache.maps import Maps
from vidskim.errors import ManifestError, UsageError, VideoError
from vidskim.look.selection import uniform
from vidskim.model.schedule import Schedule
from vidskim.train.batches.order import rows_of_step

Lanes = dict[int, tuple[Tensor, Tensor]]
"""For each encoder's place its maps ``[B, n, C, T', H', W']`` and their positions ``[B, n]``."""


@dataclass(frozen=True)
class Turns:
    """Which encoder sees which clips of a video, by a pattern or by the clips' saliency."""

    schedule: Schedule
    scores: tuple[Tensor, ...] | None = None
    """Saliency of the kept clips of each row ``[M]``, where the schedule follows it."""

    def __call__(self, row: int, places: Sequence[int]) -> list[int]:
        """Return the encoder's place for each of a row's clips in time order."""
        scores = None if self.scores is None else self.scores[row][list(places)]
        return self.schedule(len(places), scores)


@dataclass(frozen=True)
class MapBatches:
    """The batch of a step: rows in an order shuffled every epoch, N clips of each at random."""

    maps: tuple[Maps, ...]
    """One per encoder, of the same rows and clips."""
    labels: np.ndarray
    """Class index of each row."""
    turns: Turns
    num_clips: int
    batch_size: int
    seed: int

    def __call__(self, step: int) -> tuple[Lanes, Tensor]:
        """Return maps by encoder, and class indices ``[B]``."""
        rows = rows_of_step(
            step, num_rows=len(self.labels), batch_size=self.batch_size, seed=self.seed
        )
        generator = np.random.default_rng([self.seed, 1, step])
        drawn = [draw_in_order(len(self.maps[0][row]), self.num_clips, generator) for row in rows]
        lanes = gather(self.maps, rows.tolist(), drawn, turns=self.turns)
        return lanes, torch.from_numpy(self.labels[rows])


def draw_in_order(num_clips: int, number: int, generator: np.random.Generator) -> list[int]:
    """Return that many clips of a video in time order, different ones if there are enough.

    Of a video with fewer clips some are taken twice: drawn with replacement.
    """
    drawn = generator.choice(num_clips, number, replace=number > num_clips)
    return sorted(int(n) for n in drawn)


def placed(num_clips: int, number: int) -> list[int]:
    """Return clips placed uniformly over a video, as FASTER is tested; all if there are fewer."""
    return uniform(num_clips, k=number)


def gather(
    maps: Sequence[Maps],
    rows: Sequence[int],
    places: Sequence[Sequence[int]],
    *,
    turns: Turns,
) -> Lanes:
    """Return the maps of clips as `vidskim.model.model.Model` takes them.

    Args:
        maps: one per encoder, of the same rows.
        rows: of the batch.
        places: of each row the clips in time order, of all rows as many.
        turns: which encoder's maps are taken of which clip; as many clips of each row by each.
    """
    seen = np.array([turns(row, clips) for row, clips in zip(rows, places, strict=True)])  # [B, N]
    lanes: Lanes = {}
    for encoder in np.unique(seen).tolist():
        positions = [np.flatnonzero(mine == encoder).tolist() for mine in seen]
        taken = [
            maps[encoder][row].maps([clips[n] for n in mine])
            for row, clips, mine in zip(rows, places, positions, strict=True)
        ]
        lanes[encoder] = (torch.stack(taken), torch.tensor(positions))
    return lanes


def same_clips(maps: Sequence[Maps]) -> tuple[Maps, ...]:
    """Return maps of the rows that every encoder has.

    Raises:
        ManifestError: there are none.
        VideoError: a video whose clips are not the same for all encoders.
        UsageError: an encoder's maps are not all of one size.
    """
    for one in maps:
        if len(one.shapes) != 1:
            raise UsageError(
                f"an encoder gives maps of {len(one.shapes)} sizes, as its transform keeps whole "
                "frames: give one that crops"
            )
    known = [set(one.rows) for one in maps]
    rows = [row for row in maps[0].rows if all(row in others for others in known)]
    if not rows:
        raise ManifestError("no video can be read by all encoders")
    aligned = tuple(one.of_rows(rows) for one in maps)
    for n, row in enumerate(rows):
        if len({one[n].clips for one in aligned}) != 1:
            raise VideoError(
                row.path,
                "the encoders' maps are of different clips: the file reads differently each time, "
                "leave it out",
            )
    return aligned
