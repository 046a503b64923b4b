"""Tables 2, 3, 4 and 6 of selective feature compression on a set of videos.

    python benchmarks/sfc_tables.py --recipe recipes/sfc/jhmdb_slow.yaml --data SET/trimmed.csv \
        --init BACKBONE.safetensors --name jhmdb8-slow

Each cell of SFC is one training of task "sfc" from the same frozen backbone; a killed run goes on
where it stopped. The views are those of PySlowFast: ten clips from the first to the last frame,
overlapping in short videos, through one or three crops, class probabilities averaged. MACs are the
mean over the test videos and include the attention's own products. With --k, so many clips of the
grid, uniform ones and SCSampler's, are compared, too, answered one by one and averaged, or joined
to one input of SFC, and all clips (table 7's dense); SCSampler's look is in the MACs, and told.
Trainings go to --work, tables and who was right about what to benchmarks/results/sfc/NAME.
Intervals are bootstrap percentiles of differences on the same videos; videos of one source (the
manifest's groups) are drawn together. `--cells` trains some cells and writes nothing.
"""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
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
from vidskim.account import count
from vidskim.backbones.files.checkpoint import load_backbone
from vidskim.backbones.network import Network
from vidskim.clips.views import crops
from vidskim.data.cache.frames import Store, frame_store
from vidskim.evaluate.bootstrap import Resamples
from vidskim.evaluate.run import evaluate_manifest
from vidskim.model.compressed import Compressed
from vidskim.model.file import load_model
from vidskim.train.examples import read_examples
from vidskim.train.recipe import read_recipe
from vidskim.train.tasks.compression import frames_of, train_sfc
from vidskim.train.tasks.compression_recipe import SfcRecipe

ROOT = Path(__file__).resolve().parent.parent

CELLS: dict[str, dict[str, Any]] = {
    "tau = 1": {"ratio": "1"},
    "tau = 4/3": {"ratio": "4/3"},
    "tau = 2": {},
    "tau = 4": {"ratio": "4"},
    "tau = 8": {"ratio": "8"},
    "stem": {"at": "stem"},
    "res2": {"at": "res2"},
    "res4": {"at": "res4"},
    "average": {"pooling": "average"},
    "max": {"pooling": "max"},
    "topk_places": {"pooling": "topk_places"},
    "head": {"abstraction": False},
    "abstracted": {"value": "abstracted"},
    "projected": {"abstraction": False, "value": "projected"},
    "1x1x1": {"kernel": "1x1x1"},
    "3x3x3": {"kernel": "3x3x3"},
    "no scale": {"scale": "none"},
    "scale by channels": {"scale": "channels"},
}
"""What each training changes in the recipe."""

SFC = "tau = 2"
VIEWS = "10 x 3 views"

TABLES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "Table 4 and 2": (
        "inference",
        (
            (VIEWS, "10 x 3 views"),
            ("10 x 1 views", "10 views"),
            ("1 view", "single view"),
            ("dense/alone", "all clips"),
            ("uniform/alone", "uniform clips"),
            ("scsampler/alone", "SCSampler's clips"),
            ("scsampler", "SCSampler's clips joined to one input of SFC, tau = 2"),
            ("uncompressed", "the input of SFC, not compressed"),
            (SFC, "SFC, tau = 2"),
        ),
    ),
    "Table 3": (
        "tau",
        tuple((f"tau = {tau}", tau) for tau in ("1", "4/3", "2", "4", "8")),
    ),
    "Table 6 (a)": (
        "cut after",
        (("res4", "res4"), (SFC, "res3"), ("res2", "res2"), ("stem", "stem")),
    ),
    "Table 6 (b)": (
        "pooling of the queries",
        (
            (SFC, "top-k over time"),
            ("topk_places", "top-k at every place"),
            ("average", "average"),
            ("max", "max"),
        ),
    ),
    "Table 6 (c)": (
        "keys, queries, values",
        (
            (SFC, "k = q = F_abs, v = F_head"),
            ("head", "k = q = v = F_head"),
            ("abstracted", "k = q = v = F_abs"),
            ("projected", "k = q = F_head, v projected"),
        ),
    ),
    "Table 6 (d)": (
        "kernel of query and key",
        (("3x3x3", "3x3x3"), (SFC, "3x1x1"), ("1x1x1", "1x1x1")),
    ),
    "Scale (ours)": (
        "divisor of the products",
        (
            ("no scale", "none, as printed"),
            ("scale by channels", "root of C"),
            (SFC, "root of C H' W'"),
        ),
    ),
}


@dataclass(frozen=True)
class Found:
    """What one way of answering gave."""

    right: Tensor
    """float64 ``[videos]``."""
    macs: float
    """Mean over the videos."""
    look_macs: float = 0.0
    """What choosing took of them."""


def main() -> None:
    """Train the cells, answer by views, and write the tables."""
    options = read_options()
    base: SfcRecipe = read_recipe(options.recipe)[0]
    base = base_recipe(base, options)
    test = read_examples(base.data, train_split=base.train_split, test_split=base.test_split).test
    if options.k is not None and any(row.end_seconds is not None for row in test):
        sys.exit(f"{base.data}: has parts of files; samplers choose clips of whole ones: no --k")
    found = {name: train(name, base, options) for name in cells_of(options, CELLS)}
    if options.cells:
        return
    found |= baselines(base)
    if options.k is not None:
        found |= of_samplers(base, options)
    groups = groups_of(test, read_answers(folder_of(SFC, 0, options)))
    write(found, groups, base, options)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = cell_options(__doc__, work="runs/sfc", init="the trained backbone")
    parser.add_argument("--k", type=int, help="clips that samplers choose")
    parser.add_argument("--sampler", help="saliency network of SCSampler, by default the demo's")
    return parser.parse_args()


def folder_of(name: str, seed: int, options: argparse.Namespace) -> Path:
    """Return where a training lies."""
    cell = name.replace(" = ", "").replace("/", "_").replace(" ", "_")
    return Path(options.work / options.name / f"{cell}-s{seed}")


def train(name: str, base: SfcRecipe, options: argparse.Namespace) -> Found:
    """Train a cell with every seed."""
    rights, macs = [], 0.0
    for seed in range(options.seeds):
        out = folder_of(name, seed, options)
        metrics = train_sfc(replace(base, **CELLS[name], out=str(out), seed=seed))
        print(name, seed, round(metrics["test_accuracy"], 3), flush=True)
        rows = read_answers(out)
        rights.append(right_of(rows))
        if not options.cells:
            model = load_model(out / "model.safetensors").networks[0]
            macs = mean_macs(model, test_store(base, model))
    return Found(torch.stack(rights).mean(0), macs)


def test_store(base: SfcRecipe, model: Compressed | Network) -> Store:
    """Return the frames of the test rows as a model takes them, uncropped."""
    examples = read_examples(base.data, train_split=base.train_split, test_split=base.test_split)
    assert model.transform is not None
    return frame_store(examples.test, transform=model.transform, folder=Path(base.cache))


def mean_macs(model: Compressed, store: Store) -> float:
    """Return the mean multiply-adds of a pass over each test video."""

    @lru_cache(None)
    def cost(*shape: int) -> int:
        return count(model, (1, 3, *shape)).macs

    total = 0
    for n in range(len(store)):
        parts = [part.shape[2:] for part in frames_of(model, store[n])]
        number = model.frames_taken(sum(part[0] for part in parts))
        total += cost(number, *parts[0][1:])
    return total / len(store)


@torch.inference_mode()
def baselines(base: SfcRecipe) -> dict[str, Found]:
    """Answer by views of the backbone, and by one uncompressed pass over what SFC sees."""
    backbone = load_backbone(base.model, checkpoint=base.init)
    clip, transform = backbone.clip, backbone.transform
    assert clip is not None
    assert transform is not None
    assert transform.crop is not None
    store = test_store(base, backbone)
    classes = backbone.classes
    assert classes is not None
    normalize = replace(transform, short_side=None, resize_to=None, crop=None)
    one = count(backbone, clip.input_shape).macs
    rights: dict[str, list[float]] = {VIEWS: [], "10 x 1 views": [], "1 view": []}
    span = (clip.num_frames - 1) * clip.stride
    for n, row in enumerate(store.rows):
        frames, true = store[n], classes.index(row.label)
        room = max(0, len(frames) - span - 1)
        starts = np.linspace(0, room, 10).round().astype(int)
        index = starts[:, None] + np.arange(clip.num_frames) * clip.stride
        x = normalize(torch.from_numpy(frames[np.minimum(index, len(frames) - 1)]))
        scores = backbone(crops(x, num_crops=3, size=transform.crop)).softmax(1)
        views = scores.reshape(10, 3, -1)
        middle = np.minimum(room // 2 + np.arange(clip.num_frames) * clip.stride, len(frames) - 1)
        whole = normalize(torch.from_numpy(frames[middle]))[None]
        single = crops(whole, num_crops=1, size=transform.crop)
        for name, of_video in (
            (VIEWS, views.mean((0, 1))),
            ("10 x 1 views", views[:, 1].mean(0)),
            ("1 view", backbone(single).softmax(1)[0]),
        ):
            rights[name].append(float(int(of_video.argmax()) == true))
    macs = {VIEWS: 30 * one, "10 x 1 views": 10 * one, "1 view": one}
    found = {name: Found(torch.tensor(r).double(), macs[name]) for name, r in rights.items()}
    return found | {"uncompressed": uncompressed(base, backbone)}


def uncompressed(base: SfcRecipe, backbone: Network) -> Found:
    """Answer by one pass of the backbone over the frames that SFC sees."""
    from vidskim.train.tasks.compression import build

    classes = backbone.classes
    assert classes is not None
    model = build(base, classes)
    store = test_store(base, model)

    @lru_cache(None)
    def cost(*shape: int) -> int:
        return count(model.backbone, shape).macs

    right, macs = [], 0
    for n, row in enumerate(store.rows):
        x = torch.cat(list(frames_of(model, store[n])), dim=2)
        right.append(float(int(model.backbone(x).argmax()) == classes.index(row.label)))
        macs += cost(*x.shape)
    return Found(torch.tensor(right).double(), macs / len(store))


def of_samplers(base: SfcRecipe, options: argparse.Namespace) -> dict[str, Found]:
    """Answer by clips of the grid: all, uniform ones, and SCSampler's, one by one and joined."""
    methods = ("dense/alone", "uniform/alone", "scsampler/alone", "scsampler")
    out = options.work / options.name / "samplers"
    evaluate_manifest(
        base.data,
        methods=methods,
        model=str(folder_of(SFC, 0, options) / "model.safetensors"),
        k=options.k,
        sampler=options.sampler,
        split=base.test_split,
        out=out,
    )
    with (out / "videos.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        method: Found(
            torch.tensor([float(r["correct"] == "True") for r in of_method]).double(),
            sum(int(r["macs"]) for r in of_method) / len(of_method),
            sum(int(r["look_macs"]) for r in of_method) / len(of_method),
        )
        for method in methods
        if (of_method := [r for r in rows if r["method"] == method])
    }


def write(
    found: Mapping[str, Found],
    groups: Sequence[str],
    base: SfcRecipe,
    options: argparse.Namespace,
) -> None:
    """Write tables.json, tables.md and answers.csv."""
    draws = Resamples(len(groups), groups=groups)
    views = found[VIEWS]
    tables = {}
    for title, (column, all_rows) in TABLES.items():
        rows = [row for row in all_rows if row[0] in found]
        if len(rows) < 2:  # nothing to compare
            continue
        tables[title] = {
            "column": column,
            "rows": [
                {
                    "cell": cell,
                    "told": told,
                    "accuracy": asdict(draws.interval(found[cell].right)),
                    "macs": found[cell].macs,
                    "look_macs": found[cell].look_macs,
                    "share_of_views": found[cell].macs / views.macs,
                    "vs_views": None
                    if cell == VIEWS
                    else asdict(draws.difference(found[cell].right, views.right)),
                    "vs_sfc": None
                    if cell == SFC
                    else asdict(draws.difference(found[cell].right, found[SFC].right)),
                }
                for cell, told in rows
            ],
        }
    protocol = measured_under(
        "sfc_tables.py",
        base,
        options,
        test_videos=len(groups),
        test_sources=len(set(groups)),
        clips_of_samplers=options.k,
    )
    out = ROOT / "benchmarks" / "results" / "sfc" / options.name
    write_tables(
        out,
        {**protocol, "tables": tables},
        markdown(tables, protocol),
        rights={cell: one.right for cell, one in found.items()},
        groups=groups,
    )


def markdown(tables: Mapping[str, Any], protocol: Mapping[str, Any]) -> str:
    """Return all tables."""
    lines = [
        "# Selective feature compression: the form of tables 2, 3, 4 and 6",
        "",
        f"{protocol['test_videos']} test videos of {protocol['test_sources']} sources; intervals "
        "are 95 % bootstrap over the sources, of differences on the same videos, in points; "
        f"{protocol['trainings_per_cell']} training(s) per cell (how trainings differ is not in "
        "the intervals). MACs are per video, the mean over the test videos; the share is of 10 x 3 "
        "views.",
    ]
    if protocol["clips_of_samplers"] is not None:
        lines[2] += (
            f" Samplers choose {protocol['clips_of_samplers']} clips of the grid, for the model of "
            "the first training; what SCSampler's look takes of the GMACs stands in brackets."
        )
    for title, table in tables.items():
        lines += [
            "",
            f"## {title}",
            "",
            f"| {table['column']} | accuracy | - 10 x 3 views | - SFC, tau = 2 | GMACs | share |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['told']} | {interval(row['accuracy'], sign='')} | "
            f"{interval(row['vs_views'])} | {interval(row['vs_sfc'])} | "
            f"{gmacs(row)} | {100 * row['share_of_views']:.1f} % |"
            for row in table["rows"]
        ]
    told = [f"- {key}: {value}" for key, value in protocol.items()]
    return "\n".join([*lines, "", *told, ""])


def gmacs(row: Mapping[str, Any]) -> str:
    """Return what a row's videos take, and the look's share of it."""
    look = f" ({row['look_macs'] / 1e9:.3f})" if row["look_macs"] else ""
    return f"{row['macs'] / 1e9:.3f}{look}"


if __name__ == "__main__":
    main()
