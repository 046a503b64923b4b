"""What is checked before anything is trained: the rows of a manifest, the numbers of a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidskim.data.folder import load_manifest
from vidskim.data.manifest import SPLITS, Row
from vidskim.errors import ManifestError, UsageError, unknown_name
from vidskim.train.keys import PLACES, check_recipe

RANGES: Mapping[str, tuple[float, float]] = {
    "alpha": (0, 1),
    "batch_size": (1, 2**20),
    "body_rate": (0, 1e3),
    "channels": (1, 2**16),
    "clips_per_video": (2, 2**12),
    "color": (0, 1),
    "crop_height": (1, 2**12),
    "crop_width": (1, 2**12),
    "drop_every": (1, 2**62),
    "drop_factor": (0, 1),
    "devices": (1, 2**10),
    "dropout": (0, 0.99),
    "epochs": (1e-6, 1e6),
    "frequency_mask": (0, 1),
    "inputs_per_clip": (1, 2**12),
    "label_smoothing": (0, 1),
    "learning_rate": (1e-12, 1e6),
    "map_height": (1, 2**12),
    "map_width": (1, 2**12),
    "margin": (1e-6, 1),
    "max_clips": (1, 2**20),
    "max_short_side": (1, 2**12),
    "min_scale": (0.01, 1),
    "mixup": (0, 1e3),
    "num_blocks": (1, 64),
    "num_clips": (1, 2**12),
    "num_frames": (1, 2**12),
    "oracle_k": (1, 2**20),
    "reduction": (1, 2**16),
    "reference_videos": (1, 2**20),
    "residuals_per_clip": (1, 10**6),
    "save_every": (1, 2**62),
    "seed": (0, 2**62),
    "segments": (1, 2**12),
    "short_side": (1, 2**12),
    "steps": (1, 2**62),
    "stride": (1, 2**12),
    "test_clips": (1, 2**12),
    "test_height": (1, 2**12),
    "test_width": (1, 2**12),
    "test_k": (1, 2**20),
    "time_shift": (0, 1),
    "warmup_epochs": (0, 1e6),
    "warmup_steps": (0, 2**62),
    "weight_decay": (0, 1e6),
    "width": (1, 2**12),
    "window_clips": (0.1, 100),
}
"""Smallest and largest value of every number in a recipe."""


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


def check_numbers(recipe: Any) -> None:
    """Refuse a recipe whose values cannot be meant each by itself, whatever its task.

    Args:
        recipe: a recipe's dataclass.

    Raises:
        UsageError: a value outside its range, a warm-up as long as the training, an empty name of
            `vidskim.train.keys.PLACES`, or see `check_recipe` there.
    """
    check_recipe(recipe)
    values = asdict(recipe)
    for name, wanted in PLACES.items():
        if not str(values[name]).strip():
            raise UsageError(f"{name} is empty; give {wanted}")
    for name, (low, high) in RANGES.items():
        value = values.get(name)
        if value is not None and not low <= value <= high:
            wanted = f"a value between {low:g} and {high:g}"
            if high > 1:
                bound = f"at most {high:g}" if value > high else f"at least {low:g}"
                wanted = f"a value of {bound}"
            raise UsageError(f"{name} is {value}; give {wanted}")
    if values["steps"] is not None and values["warmup_steps"] >= values["steps"]:
        raise UsageError(
            f"warmup_steps is {values['warmup_steps']} of {values['steps']} steps; give fewer"
        )


FILES = (
    "data",
    "init",
    "classifier",
    "moments",
    "visual",
    "audio",
    "expensive",
    "cheap",
    "sampler",
)
"""Keys of recipes whose values are names of files."""

SEVERAL = ("visual", "sampler")
"""Those that name several, commas between them."""


def portable(recipe: Any) -> dict[str, Any]:
    """Return a recipe's values for a checkpoint that travels: file names without their folders."""
    values = asdict(recipe)
    for name in ("out", "cache"):
        values.pop(name)
    for name in FILES:
        if values.get(name):
            files = str(values[name]).split(",") if name in SEVERAL else [values[name]]
            values[name] = ",".join(Path(file).name for file in files)
    return values
