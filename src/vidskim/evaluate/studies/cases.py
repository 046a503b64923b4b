"""A case: one video as one classifier answers it, with its label, grid and moments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidskim.clips.grid import hits
from vidskim.data.cache.answers import Answers
from vidskim.data.cache.scores import Grid
from vidskim.data.manifest import Row

Moments = Mapping[str, Sequence[tuple[float, float]]]
"""Absolute file path to the (start, end) seconds in which its class shows."""


@dataclass(frozen=True)
class Case:
    """One video and one classifier."""

    row: Row
    targets: tuple[int, ...]
    """Places of the row's labels among the classes."""
    file: Path
    """Of the answers."""
    grid: Grid
    moments: Tensor | None
    """``[M, 2]`` start and end in seconds, None where they are not known."""

    def __len__(self) -> int:
        """N, clips of the grid."""
        return len(self.grid.spans)

    @property
    def target(self) -> int:
        """Place of the first label, the oracle's."""
        return self.targets[0]

    @property
    def answers(self) -> Tensor:
        """Class probabilities ``[N, K]``, NaN for clips that cannot be read."""
        return _load(self.file)

    @cached_property
    def meets(self) -> Tensor | None:
        """Which clip meets which true moment, bool ``[N, M]``; see `vidskim.evaluate.metrics`."""
        return None if self.moments is None else hits(self.grid.spans, self.moments)


def cases_of(
    answers: Answers, grids: Mapping[Path, Grid], *, moments: Moments | None
) -> list[Case]:
    """Put answers, grids and moments together, for videos that have a grid.

    Args:
        answers: of one classifier.
        grids: by path.
        moments: where known.
    """
    place = {name: n for n, name in enumerate(answers.classes)}
    cases: list[Case] = []
    for row, file in zip(answers.rows, answers.files, strict=True):
        if row.path not in grids:
            continue
        true = None if moments is None else moments.get(str(row.path.resolve()))
        cases.append(
            Case(
                row=row,
                targets=tuple(place[label] for label in row.labels),
                file=file,
                grid=grids[row.path],
                moments=None
                if true is None
                else torch.tensor(true, dtype=torch.float64).reshape(-1, 2),
            )
        )
    return cases


@lru_cache(maxsize=1024)
def _load(file: Path) -> Tensor:
    return torch.from_numpy(np.load(file, allow_pickle=False))
