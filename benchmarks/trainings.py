"""What the benchmarks of trainings share: their options, the cells' answers, what stands below."""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from vidskim.data.folder import load_manifest
from vidskim.data.manifest import Row
from vidskim.evaluate.protocol import gather_hardware, gather_versions

Recipe = TypeVar("Recipe")

HIDDEN = ("data", "out", "cache", "init")
"""Keys of a recipe that are one machine's affair."""


def cell_options(doc: str, *, work: str, init: str) -> argparse.ArgumentParser:
    """Return the options of a benchmark whose cells are trainings of one recipe.

    Args:
        doc: of the script.
        work: folder of the trainings by default.
        init: what the checkpoint is that all cells start from.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--init", type=Path, required=True, help=init)
    parser.add_argument("--name", required=True)
    parser.add_argument("--work", type=Path, default=Path(work))
    parser.add_argument("--cache", type=Path, help="of decoded frames")
    parser.add_argument("--cells", help="train these only, | between, and write nothing")
    parser.add_argument("--without", default="", help="cells to leave out, | between")
    parser.add_argument("--seeds", type=int, default=1, help="trainings per cell")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of the recipe")
    return parser


def base_recipe(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """Return the recipe that all cells change, its files and ``--set`` filled in."""
    placed = replace(  # type: ignore[type-var]
        recipe,
        data=str(options.data),
        init=str(options.init),
        cache=str(options.cache or options.work / "cache"),
        save_every=10**6,
    )
    return with_changes(placed, options.set)


def with_changes(recipe: Recipe, pairs: Iterable[str]) -> Recipe:
    """Return a recipe with ``KEY=VALUE`` changed, each value of the kind that stands there."""
    changes = dict(pair.split("=", 1) for pair in pairs)
    typed = {k: type(getattr(recipe, k) or "")(v) for k, v in changes.items()}
    return replace(recipe, **typed)  # type: ignore[type-var]


def cells_of(options: argparse.Namespace, known: Iterable[str]) -> list[str]:
    """Return the names of the cells that are asked for."""
    names = options.cells.split("|") if options.cells else [*known]
    return [name for name in names if name not in options.without.split("|")]


def read_answers(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a training's answers.csv."""
    with (folder / "answers.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def right_of(rows: Sequence[dict[str, str]], column: str = "right") -> Tensor:
    """Return whether each answer is right, float64 ``[videos]``."""
    return torch.tensor([float(row[column]) for row in rows]).double()


def groups_of(rows: Iterable[Row], answers: Iterable[Mapping[str, str]]) -> list[str]:
    """Return what each answered row was cut from: its group, or else its file."""
    known = {
        (str(row.path), "" if row.start_seconds is None else str(row.start_seconds)): row
        for row in rows
    }
    answered = [known[answer["path"], answer["start_seconds"]] for answer in answers]
    return [row.group or str(row.path) for row in answered]


def write_tables(
    out: Path,
    record: Mapping[str, Any],
    text: str,
    *,
    rights: Mapping[str, Tensor],
    groups: Sequence[str],
) -> None:
    """Write a folder's tables.json, tables.md and answers.csv, and print the text.

    Args:
        out: the folder.
        record: what tables.json holds.
        text: what tables.md holds.
        rights: how often each cell was right about each test video, ``[videos]``; a column each.
        groups: of each video, numbered in the column ``source``.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "tables.json").write_text(json.dumps(record, indent=1) + "\n")
    (out / "tables.md").write_text(text)
    numbers = {group: n for n, group in enumerate(dict.fromkeys(groups))}
    with (out / "answers.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["source", *rights])
        for n, group in enumerate(groups):
            table.writerow([numbers[group], *(f"{right[n]:.4g}" for right in rights.values())])
    print(text)


def measured_under(
    script: str, base: Any, options: argparse.Namespace, *, test_videos: int, **more: Any
) -> dict[str, Any]:
    """Return what a reader needs to measure again.

    Args:
        script: the benchmark's file name.
        base: the recipe that all cells change.
        options: of the command line.
        test_videos: how many were answered.
        more: what else the benchmark says of itself.
    """
    return {
        "manifest_sha256": load_manifest(options.data).sha256,
        "test_videos": test_videos,
        "trainings_per_cell": options.seeds,
        "recipe": {k: v for k, v in asdict(base).items() if k not in HIDDEN},
        **more,
        "command": " ".join(["python", f"benchmarks/{script}", *map(portable, sys.argv[1:])]),
        "hardware": asdict(gather_hardware("cpu")),
        "versions": gather_versions(),
    }


def portable(word: str) -> str:
    """Leave folders out of a word of the command."""
    key, equals, value = word.rpartition("=")
    files = ["/".join(Path(part).parts[-2:]) if "/" in part else part for part in value.split(",")]
    return key + equals + ",".join(files)


def interval(told: dict[str, float] | None, *, sign: str = "+") -> str:
    """Return an estimate and its bounds in points."""
    if told is None:
        return ""
    estimate, low, high = (100 * told[key] for key in ("estimate", "low", "high"))
    return f"{estimate:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"
