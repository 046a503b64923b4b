"""The rows of a manifest that are trained on and measured, checked before anything is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidskim.data.folder import load_manifest
from vidskim.data.manifest import SPLITS, Row
from vidskim.errors import ManifestError, unknown_name


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows to train on and to measure on, one class each unless several were asked for."""

    train: tuple[Row, ...]
    test: tuple[Row, ...]
    classes: tuple[str, ...]
    """All classes that are trained, in the order of the network's outputs."""
    manifest_sha256: str

    @property
    def class_index(self) -> dict[str, int]:
        """Class to its place among the outputs."""
        return {label: index for index, label in enumerate(self.classes)}


def read_examples(
    path: str | Path,
    *,
    train_split: str,
    test_split: str,
    multilabel: bool = False,
    is_classified: bool = True,
) -> Examples:
    """Read the rows of two splits.

    Args:
        path: a manifest, or a folder with one folder per class.
        train_split: split to train on.
        test_split: split to measure on.
        multilabel: whether rows may have several labels.
        is_classified: whether the labels are what is learned, so that there must be two at least.

    Returns:
        The rows, and the classes of the split that is trained on, in the manifest's order: one
        that is in other splits alone would be an output that nothing has trained.

    Raises:
        ManifestError: unusable data: a split without rows, a row with several labels, a class that
            is measured but never trained, or a single class to tell apart.
        UsageError: a split's name is unknown.
    """
    for split in (train_split, test_split):
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
    manifest = load_manifest(path)
    rows: dict[str, tuple[Row, ...]] = {}
    for split in (train_split, test_split):
        rows[split] = tuple(row for row in manifest.rows if row.split == split)
        if not rows[split]:
            raise ManifestError(f"{path}: no row is in split {split!r}; name another split")
        for row in rows[split]:
            if len(row.labels) > 1 and not multilabel:
                raise ManifestError(
                    f"{path}: {manifest.name_of(row)} has the labels {'|'.join(row.labels)}; "
                    "training takes one label per row (task 'memory' with multilabel: several)"
                )
    trained = {label for row in rows[train_split] for label in row.labels}
    for row in rows[test_split]:
        for label in row.labels:
            if label in trained:
                continue
            raise ManifestError(
                f"{path}: class {label!r} is in split {test_split!r} but not in "
                f"{train_split!r}, so it cannot be learned; add videos of it or remove its rows"
            )
    if is_classified and len(trained) < 2:
        raise ManifestError(
            f"{path}: all rows of split {train_split!r} show {trained.pop()!r}, so nothing is "
            "there to tell it from; add rows of another class"
        )
    classes = tuple(label for label in manifest.classes if label in trained)
    return Examples(rows[train_split], rows[test_split], classes, manifest.sha256)


def check_trained(examples: Examples, rows: Sequence[Row], *, path: str | Path) -> None:
    """Refuse a class that none of the training rows that could be read is of.

    Args:
        examples: what was asked for.
        rows: the training rows that could be read.
        path: their manifest.

    Raises:
        ManifestError: with the first such class, and the first of its videos.
    """
    known = {label for row in rows for label in row.labels}
    for label in examples.classes:
        if label in known:
            continue
        lost = [row.path for row in examples.train if label in row.labels]
        raise ManifestError(
            f"{path}: no training video of class {label!r} can be read, the first: {lost[0]}; "
            "repair it, add videos of this class or take its rows out of the manifest"
        )


def targets_of(
    rows: Sequence[Row], class_index: Mapping[str, int], *, multilabel: bool
) -> np.ndarray:
    """Return the class of each row ``[R]``, or 0 and 1 for every class ``[R, K]``."""
    if not multilabel:
        return np.array([class_index[row.label] for row in rows])
    targets = np.zeros((len(rows), len(class_index)), np.float32)
    for n, row in enumerate(rows):
        targets[n, [class_index[label] for label in row.labels]] = 1
    return targets
