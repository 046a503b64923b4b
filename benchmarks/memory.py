"""Figure 4 and Table 2 (a) to (f) of collaborative memory on a set of whole videos.

    python benchmarks/memory.py --recipe recipes/memory/synthetic_slow.yaml --data SET/videos.csv \
        --init BACKBONE.safetensors --name synthetic-slow

Each cell is one training of task "memory", all at as many clips per step, as many steps and the
same learning rate, from the same backbone trained on single clips; a killed run goes on where it
stopped. Trainings go to --work, tables and the figure to benchmarks/results/memory/NAME. All are
tested on the same ten clips of every video. Intervals are bootstrap percentiles of differences on
the same videos; those of one source (the manifest's groups) are drawn together. `--cells` trains
some cells and writes nothing, so that several processes can share the work.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from trainings import (
    base_recipe,
    cell_options,
    cells_of,
    groups_of,
    interval,
    measured_under,
    read_answers,
    right_of,
    write_tables,
)
from vidskim.evaluate.bootstrap import Resamples
from vidskim.train.examples import read_examples
from vidskim.train.recipe import read_recipe
from vidskim.train.tasks.memory import train_memory
from vidskim.train.tasks.memory_recipe import MemoryRecipe

ROOT = Path(__file__).resolve().parent.parent
SINGLE = {"num_clips": 1, "interaction": None}
NUMBERS = (1, 3, 5, 9)
"""N of figure 4."""

CELLS: dict[str, dict[str, Any]] = {
    "single": SINGLE,
    "memory": {},
    **{f"memory, N = {n}": {"num_clips": n} for n in NUMBERS if n != 5},
    "multi-clip": {"interaction": None},
    "frozen": {"freeze_backbone": True},
    "average": {"interaction": "average"},
    "residual": {"infusion": "residual"},
    "r = 1": {"reduction": 1},
    "r = 2": {"reduction": 2},
    "r = 8": {"reduction": 8},
    "scratch": {"init": None},
    "multi-iteration": {"strategy": "multi_iteration"},
    "multi-iteration, own term": {"strategy": "multi_iteration", "gradient": "own"},
    **{f"single, stride {s}": {**SINGLE, "stride": s} for s in (4, 8, 16)},
    "single, equal clips": SINGLE,
    "multi-clip, equal epochs": {"interaction": None},
    "frozen, equal epochs": {"freeze_backbone": True},
    "memory, equal epochs": {},
    **{f"memory, N = {n}, equal epochs": {"num_clips": n} for n in NUMBERS if n not in (1, 5)},
}
"""What each training changes in the recipe; see `lengthened` for those of equal length."""

TABLES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "Figure 4": (
        "clips in training (tested on ten)",
        (
            ("single", "1, without memory"),
            ("memory, N = 1", "1"),
            ("memory, N = 3", "3"),
            ("memory", "5"),
            ("memory, N = 9", "9"),
        ),
    ),
    "Equal epochs": (
        "each video drawn as often, the learning rate scaled to the videos of a step",
        (
            ("single", "single clips"),
            (
                "single, equal clips",
                "single clips, as many clips as five of each: five times the epochs",
            ),
            ("multi-clip, equal epochs", "five clips, no memory"),
            ("frozen, equal epochs", "five clips and memory, backbone frozen"),
            ("memory, N = 3, equal epochs", "three clips and memory"),
            ("memory, equal epochs", "five clips and memory"),
            ("memory, N = 9, equal epochs", "nine clips and memory"),
        ),
    ),
    "Table 2 (a)": (
        "parts of the framework",
        (
            ("single", "single clips, end to end"),
            ("multi-clip", "several clips, no memory, end to end"),
            ("frozen", "several clips and memory, backbone frozen"),
            ("memory", "several clips and memory, end to end"),
        ),
    ),
    "Table 2 (b)": (
        "design",
        (
            ("multi-clip", "no memory"),
            ("average", "average pooling, gating"),
            ("residual", "associative, residual"),
            ("memory", "associative, gating"),
        ),
    ),
    "Table 2 (c)": (
        "reduction r",
        (("r = 1", "1"), ("r = 2", "2"), ("memory", "4"), ("r = 8", "8")),
    ),
    "Table 2 (d)": ("training", (("scratch", "from scratch"), ("memory", "stage-wise"))),
    "Table 2 (e)": (
        "strategy",
        (
            ("memory", "batch reduction"),
            ("multi-iteration", "multi-iteration, whole gradient"),
            ("multi-iteration, own term", "multi-iteration, own term only"),
        ),
    ),
    "Table 2 (f)": (
        "temporal stride",
        (
            ("single", "2, single clips"),
            ("single, stride 4", "4, single clips"),
            ("single, stride 8", "8, single clips"),
            ("single, stride 16", "16, single clips"),
            ("memory", "2, memory"),
        ),
    ),
}


@dataclass(frozen=True)
class Trained:
    """What one cell answered, the mean over its trainings."""

    right: Tensor
    """float64 ``[videos]``."""
    clips: Tensor
    """float64 ``[videos, 10]``, in the order of time."""


def main() -> None:
    """Train the cells and write the tables."""
    options = read_options()
    base: MemoryRecipe = read_recipe(options.recipe)[0]
    base = base_recipe(base, options)
    found = {name: train(name, base, options) for name in cells_of(options, CELLS)}
    if not options.cells:
        rows = read_examples(
            base.data,
            train_split=base.train_split,
            test_split=base.test_split,
            multilabel=base.multilabel,
        ).test
        groups = groups_of(rows, read_answers(folder_of("single", 0, options)))
        write(found, groups, base, options)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = cell_options(__doc__, work="runs/memory", init="backbone of the first stage")
    parser.add_argument("--equal-clips", type=int, default=80, help="of a step at equal epochs")
    parser.add_argument("--again", default="", help="cells with one training more, | between")
    parser.add_argument("--scratch-steps", type=int, help="of the cell without a first stage")
    return parser.parse_args()


def folder_of(name: str, seed: int, options: argparse.Namespace) -> Path:
    """Return where a training lies."""
    cell = name.replace(", ", "-").replace(" = ", "").replace(" ", "_")
    return Path(options.work / options.name / f"{cell}-s{seed}")


def train(name: str, base: MemoryRecipe, options: argparse.Namespace) -> Trained:
    """Train a cell with every seed."""
    rights, clips = [], []
    for seed in range(options.seeds + (name in options.again.split("|"))):
        changed = replace(base, **CELLS[name])
        if changed.strategy == "multi_iteration":
            changed = replace(changed, batch_size=base.videos_per_step)  # as many videos per step
        changed = lengthened(name, changed, base, clips=options.equal_clips)
        if name == "scratch":
            changed = replace(changed, steps=options.scratch_steps or base.steps)
        out = folder_of(name, seed, options)
        metrics = train_memory(replace(changed, out=str(out), seed=seed))
        print(name, seed, round(metrics["test_accuracy"], 3), flush=True)
        rows = read_answers(out)
        rights.append(right_of(rows))
        clips.append(torch.tensor([[float(c) for c in row["clips"]] for row in rows]).double())
    return Trained(torch.stack(rights).mean(0), torch.stack(clips).mean(0))


def lengthened(name: str, changed: MemoryRecipe, base: MemoryRecipe, *, clips: int) -> MemoryRecipe:
    """Let a cell draw every video as often as single clips do, or as many clips as that takes.

    The paper compares at equal epochs: N clips of each video, with the learning rate of fewer
    videos per step, and so N times the clips.
    """
    if not name.endswith((", equal epochs", ", equal clips")):
        return changed
    assert base.steps is not None
    is_single = name.endswith(", equal clips")
    videos = clips // (base if is_single else changed).num_clips
    steps = round(base.steps * base.batch_size / videos)
    if is_single:
        steps = round(steps * clips / base.batch_size)
        return replace(changed, steps=steps, warmup_steps=base.warmup_steps * steps // base.steps)
    return replace(
        changed,
        batch_size=clips,
        steps=steps,
        warmup_steps=base.warmup_steps * steps // base.steps,
        reference_videos=base.batch_size,
    )


def write(
    found: Mapping[str, Trained],
    groups: Sequence[str],
    base: MemoryRecipe,
    options: argparse.Namespace,
) -> None:
    """Write tables.json, tables.md, answers.csv and figure4.png."""
    draws = Resamples(len(groups), groups=groups)
    tables = {}
    for title, (column, all_rows) in TABLES.items():
        rows = [row for row in all_rows if row[0] in found]
        if len(rows) < 2:  # nothing to compare
            continue
        reference = rows[0][0]
        tables[title] = {
            "column": column,
            "rows": [
                {
                    "cell": cell,
                    "told": told,
                    "accuracy": asdict(draws.interval(found[cell].right)),
                    "clip_accuracy": float(found[cell].clips.mean()),
                    "vs_first": None
                    if cell == reference
                    else asdict(draws.difference(found[cell].right, found[reference].right)),
                    "vs_single": None
                    if cell == "single"
                    else asdict(draws.difference(found[cell].right, found["single"].right)),
                }
                for cell, told in rows
            ],
        }
    places = {
        cell: [round(x, 4) for x in one.clips.mean(0).tolist()] for cell, one in found.items()
    }
    protocol = measured_under(
        "memory.py",
        base,
        options,
        test_videos=len(groups),
        test_sources=len(set(groups)),
        one_training_more=options.again,
        scratch_steps=options.scratch_steps or base.steps,
    )
    out = ROOT / "benchmarks" / "results" / "memory" / options.name
    write_tables(
        out,
        {**protocol, "tables": tables, "clip_accuracy_by_place": places},
        markdown(tables, protocol),
        rights={cell: one.right for cell, one in found.items()},
        groups=groups,
    )
    draw(found, draws, out / "figure4.png", title=options.name)


def markdown(tables: Mapping[str, Any], protocol: Mapping[str, Any]) -> str:
    """Return all tables."""
    lines = [
        "# Collaborative memory: the form of figure 4 and table 2",
        "",
        f"{protocol['test_videos']} test videos of {protocol['test_sources']} sources, ten clips "
        "each through the center crop; intervals are 95 % bootstrap over the sources, of "
        "differences on the same videos, in points; "
        f"{protocol['trainings_per_cell']} training(s) per cell (how trainings differ is not in "
        'the intervals). "Clips" is the mean accuracy of single clips, each with what the memory '
        "tells it.",
    ]
    for title, table in tables.items():
        lines += [
            "",
            f"## {title}",
            "",
            f"| {table['column']} | accuracy | - first row | - single clips | clips |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['told']} | {interval(row['accuracy'], sign='')} | "
            f"{interval(row['vs_first'])} | {interval(row['vs_single'])} | "
            f"{100 * row['clip_accuracy']:.1f} |"
            for row in table["rows"]
        ]
    told = [f"- {key}: {value}" for key, value in protocol.items()]
    return "\n".join([*lines, "", *told, ""])


def draw(found: Mapping[str, Trained], draws: Resamples, path: Path, *, title: str) -> None:
    """Draw video accuracy over N, and clip accuracy over its place in time."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for end, shift in (("", 0.0), (", equal epochs", 0.1)):
        curve = [(n, ("memory" if n == 5 else f"memory, N = {n}") + end) for n in NUMBERS]
        curve = [(n, cell) for n, cell in curve if cell in found]
        if not curve:
            continue
        points = [draws.interval(found[cell].right) for _, cell in curve]
        y = [100 * p.estimate for p in points]
        bounds = [
            [100 * (p.estimate - p.low) for p in points],
            [100 * (p.high - p.estimate) for p in points],
        ]
        x = [n + shift for n, _ in curve]
        left.errorbar(x, y, yerr=bounds, marker="o", capsize=3, label=f"memory{end}")
    single = 100 * float(found["single"].right.mean())
    left.axhline(single, color="gray", ls="--", label="single clips, no memory")
    left.set_xticks(NUMBERS)
    left.set_xlabel("clips of a video in training, N")
    left.set_ylabel("video accuracy, %")
    known = ("single", "multi-clip", "memory", "memory, equal epochs")
    cells: Sequence[str] = [c for c in known if c in found]
    for cell, marker in zip(cells, "s^oD"):
        of_place = 100 * found[cell].clips.mean(0)
        right.plot(range(1, len(of_place) + 1), of_place, marker=marker, label=cell)
    right.set_xlabel("clip of the video, in order of time")
    right.set_ylabel("clip accuracy, %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    figure.suptitle(f"{title}: form of figure 4", fontsize=11)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
