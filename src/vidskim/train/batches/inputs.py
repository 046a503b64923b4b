"""The batches of saliency training: inputs of any video, or clips of the same video together."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidskim.data.cache.inputs import FeatureStore
from vidskim.errors import ManifestError
from vidskim.train.augment_inputs import InputAugmentation
from vidskim.train.loop import Batch


@dataclass(frozen=True)
class InputBatches:
    """Inputs of a video drawn anew each time, long and short ones alike, with its label (AC)."""

    features: FeatureStore
    labels: np.ndarray
    """Class index of each row."""
    batch_size: int
    seed: int
    augment: InputAugmentation

    def __call__(self, step: int) -> Batch:
        """Return inputs ``[N, C, h, w]`` and class indices ``[N]``."""
        generator = np.random.default_rng([self.seed, step])
        lengths = np.array([self.features.num_inputs(n) for n in range(len(self.features))])
        rows = generator.integers(0, len(lengths), self.batch_size)
        places = (generator.random(self.batch_size) * lengths[rows]).astype(int)
        x = torch.cat(
            [self.features.inputs(row, np.array([n])) for row, n in zip(rows.tolist(), places)]
        )
        x = self.augment(x, kind=self.features.source.kind, generator=generator)
        return x, torch.from_numpy(self.labels[rows])


@dataclass(frozen=True)
class Group:
    """The clips of one video that may be drawn, and what each should be scored."""

    row: int
    clips: np.ndarray
    """Places in the grid, int64 ``[n]``."""
    truth: np.ndarray
    """``[n]``: f_y, or 1 for the oracle's choice, or the class of the video."""
    is_chosen: np.ndarray | None = None
    """bool ``[n]`` where as many chosen clips as others are drawn, else None."""

    def draw(self, number: int, generator: np.random.Generator) -> np.ndarray:
        """Return that many places in `clips`, different ones as far as there are."""
        if self.is_chosen is None:
            return draw(np.arange(len(self.clips)), number, generator)
        chosen, others = np.flatnonzero(self.is_chosen), np.flatnonzero(~self.is_chosen)
        half = number // 2
        parts = [draw(chosen, number - half, generator), draw(others, half, generator)]
        return np.concatenate(parts)


@dataclass(frozen=True)
class ClipBatches:
    """Clips of a few videos, several of each; the inputs of one or several sources."""

    features: tuple[FeatureStore, ...]
    """One per network, of the same rows."""
    groups: tuple[Group, ...]
    num_videos: int
    num_clips: int
    num_inputs: tuple[int, ...]
    """Inputs that are drawn per clip, of each source."""
    seed: int
    augment: InputAugmentation

    def __call__(self, step: int) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return inputs ``[V * M * n, C, h, w]`` per source and the truth ``[V * M]``."""
        generator = np.random.default_rng([self.seed, step])
        parts: list[list[Tensor]] = [[] for _ in self.features]
        truth: list[np.ndarray] = []
        for n in generator.integers(0, len(self.groups), self.num_videos).tolist():
            group = self.groups[n]
            places = group.draw(self.num_clips, generator)
            truth.append(group.truth[places])
            for features, part, number in zip(self.features, parts, self.num_inputs):
                counts = features.counts(group.row)
                starts = np.cumsum(counts) - counts
                chosen = [
                    starts[clip] + draw(np.arange(counts[clip]), number, generator)
                    for clip in group.clips[places]
                ]
                part.append(features.inputs(group.row, np.concatenate(chosen)))
        inputs = tuple(
            self.augment(torch.cat(part), kind=features.source.kind, generator=generator)
            for features, part in zip(self.features, parts)
        )
        return inputs, torch.from_numpy(np.concatenate(truth))


def max_inputs(features: FeatureStore) -> int:
    """Return the largest number of inputs of any clip: more need not be drawn of one."""
    return max(int(features.counts(n).max()) for n in range(len(features)))


def draw(places: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Return that many of some places in random order; again from the start where they are few."""
    return np.resize(generator.permutation(places), number)


def groups_of(
    features: Sequence[FeatureStore],
    truth: Callable[[int], np.ndarray],
    *,
    usable: Callable[[np.ndarray], bool],
    reason: str,
    choice: bool = False,
) -> tuple[Group, ...]:
    """Return the clips of each row that every source has an input of.

    Args:
        features: of the same rows.
        truth: row to what each clip of its grid should be scored, NaN where that is not known.
        usable: whether the truth of a row's clips has anything to teach.
        reason: what the rows lack for which it has not, for the warning.
        choice: whether as many clips of truth 1 as others are drawn.

    Raises:
        ManifestError: no row is left.
    """
    groups: list[Group] = []
    idle: list[int] = []
    for row in range(len(features[0])):
        wanted = truth(row)
        has_inputs = np.all([f.counts(row) > 0 for f in features], axis=0)
        clips = np.flatnonzero(has_inputs & ~np.isnan(wanted.astype(np.float64)))
        mine = wanted[clips]
        if len(clips) == 0 or not usable(mine):
            idle.append(row)
            continue
        groups.append(Group(row, clips, mine, mine > 0.5 if choice else None))
    rows = features[0].rows
    if not groups:
        raise ManifestError(f"none of {len(rows)} videos has {reason}; nothing can be learned")
    if idle:
        warnings.warn(
            f"{len(idle)} of {len(rows)} videos have not {reason} and were left out, the first: "
            f"{rows[idle[0]].path}",
            stacklevel=2,
        )
    return tuple(groups)
