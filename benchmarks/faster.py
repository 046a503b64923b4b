"""FASTER's Tables 3 and 4 on a set of whole videos: aggregator x N, and pattern x L x N.

    python benchmarks/faster.py --data SET/videos.csv --name jhmdb8-0 --max-frames 512 \
        --nets 8=EXPENSIVE8,CHEAP8 --nets 16=EXPENSIVE16,CHEAP16 --nets 32=EXPENSIVE32,CHEAP32

Each cell is one training of task "faster" on the same cached maps; a killed run goes on where it
stopped. Trainings and caches go to --work, tables and figures to benchmarks/results/faster/NAME.
Intervals are bootstrap percentiles over the test videos, of differences on the same videos. N x L
is 256 frames in Table 4; `--max-clips` is in frames too: what is cached and drawn from per video.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from trainings import interval, portable, read_answers, right_of, with_changes
from vidskim.data.folder import load_manifest
from vidskim.evaluate.bootstrap import Resamples
from vidskim.evaluate.protocol import gather_hardware, gather_versions
from vidskim.train.tasks.aggregator import train_faster
from vidskim.train.tasks.aggregator_recipe import FasterRecipe

ROOT = Path(__file__).resolve().parent.parent
NUM_FRAMES = 256
NUMBERS = (2, 4, 8, 16, 32)
AGGREGATORS = ("trained_average", "concat", "lstm", "gru", "fast_gru")
PATTERNS = ("all", "1:1", "1:3", "1:7", "1:15", "1:31")
NAMES = {
    "average": "average, same clips",
    "average_expensive": "average, all expensive",
    "average_cheap": "average, all cheap",
    "trained_average": "average, head trained too",
    "concat": "Concat",
    "lstm": "LSTM",
    "gru": "GRU",
    "fast_gru": "FAST-GRU",
}


@dataclass(frozen=True)
class Cell:
    """One training: its clips, pattern and aggregator."""

    num_frames: int
    num_clips: int
    pattern: str
    aggregator: str
    seed: int
    route: str | None = None

    @property
    def name(self) -> str:
        """Return a folder's name."""
        pattern = self.pattern.replace(":", "-")
        route = "" if self.route is None else f"-{self.route}"
        name = f"L{self.num_frames}-N{self.num_clips}-{pattern}-{self.aggregator}"
        return f"{name}-s{self.seed}{route}"


@dataclass(frozen=True)
class Measured:
    """What one method reached in a cell."""

    cell: Cell
    method: str
    right: Tensor
    """float64 ``[videos]``, the mean over seeds."""
    macs: float


def main() -> None:
    """Train the cells and write the tables."""
    options = read_options()
    base = FasterRecipe(
        data=str(options.data),
        out="",
        cache=str(options.cache or options.work / "cache"),
        dropout=0.5,
        label_smoothing=0.1,
        weight_decay=0.05,
        steps=400,
        warmup_steps=40,
        save_every=10**6,
    )
    base = with_changes(base, options.set)
    runner = Runner(base, dict(map(read_nets, options.nets)), options)
    out = ROOT / "benchmarks" / "results" / "faster" / options.name
    out.mkdir(parents=True, exist_ok=True)
    for number, name, title, make in (
        (3, "table3", "Table 3's form: aggregators over the number of clips", table_3),
        (4, "table4", "Table 4's form: pattern, clip length and number of clips", table_4),
        (5, "routes", "The expensive encoder sent by saliency, or by a pattern", table_routes),
    ):
        if str(number) in options.tables:
            write(make(runner), runner, out / name, title=title)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--nets", action="append", required=True, help="L=EXPENSIVE,CHEAP")
    parser.add_argument("--work", type=Path, default=Path("runs/faster"))
    parser.add_argument("--cache", type=Path, help="of feature maps")
    parser.add_argument("--max-frames", type=int, default=512, help="kept of a video")
    parser.add_argument("--tables", default="34", help="3, 4, and 5 for the routes")
    parser.add_argument("--sampler", help="of route scsampler")
    parser.add_argument("--numbers", default=",".join(map(str, NUMBERS)), help="N of table 3")
    parser.add_argument("--pattern", default="first", help="of table 3")
    parser.add_argument("--length", type=int, default=8, help="L of table 3")
    parser.add_argument("--seeds", type=int, default=1, help="trainings per cell")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of the recipe")
    return parser.parse_args()


def read_nets(text: str) -> tuple[int, tuple[str, str]]:
    """Read the checkpoints of a clip length."""
    length, _, files = text.partition("=")
    expensive, cheap = files.split(",")
    return int(length), (expensive, cheap)


class Runner:
    """Trains cells and reads what they answered."""

    def __init__(
        self,
        base: FasterRecipe,
        nets: dict[int, tuple[str, str]],
        options: argparse.Namespace,
    ) -> None:
        self.base = base
        self.nets = nets
        self.options = options
        self.numbers = tuple(int(n) for n in options.numbers.split(","))
        self.seconds: list[float] = []
        self.metrics: dict[str, Any] = {}

    def run(
        self,
        num_frames: int,
        num_clips: int,
        pattern: str,
        aggregator: str,
        route: str | None = None,
    ) -> list[Measured]:
        """Train a cell with every seed; return all its methods."""
        found: dict[str, list[Tensor]] = {}
        macs: dict[str, float] = {}
        for seed in range(self.options.seeds):
            cell = Cell(num_frames, num_clips, pattern, aggregator, seed, route)
            expensive, cheap = self.nets[num_frames]
            recipe = replace(
                self.base,
                out=str(self.options.work / self.options.name / cell.name),
                expensive=expensive,
                cheap=cheap,
                pattern=pattern,
                aggregator=aggregator,  # type: ignore[arg-type]
                route=route,  # type: ignore[arg-type]
                sampler=self.options.sampler if route == "scsampler" else None,
                num_clips=num_clips,
                max_clips=self.options.max_frames // num_frames,
                seed=seed,
            )
            self.metrics = train_faster(recipe)
            for method, told in self.metrics["methods"].items():
                macs[method] = told["macs_per_video"]
                right = right_of(read_answers(Path(recipe.out)), method)
                found.setdefault(method, []).append(right)
            print(cell.name, {m: round(t["accuracy"], 3) for m, t in
                              self.metrics["methods"].items()}, flush=True)  # fmt: skip
        cell = replace(cell, seed=-1)
        return [
            Measured(cell, method, torch.stack(rights).mean(0), macs[method])
            for method, rights in found.items()
        ]


def table_3(runner: Runner) -> Iterator[dict[str, Any]]:
    """Aggregators over N, in the paper with only the first clip expensive."""
    length, pattern = runner.options.length, runner.options.pattern
    before: dict[str, Measured] = {}
    for num_clips in runner.numbers:
        found: dict[str, Measured] = {}
        for aggregator in AGGREGATORS:
            found |= {m.method: m for m in runner.run(length, num_clips, pattern, aggregator)}
        yield from compare(
            found.values(),
            found["average"],
            found["average_expensive"],
            trained=found["trained_average"],
            before=before,
        )
        before = found


def table_4(runner: Runner) -> Iterator[dict[str, Any]]:
    """Patterns over L x N, by FAST-GRU, against averages of the same clips and all expensive."""
    for length in sorted(runner.nets):
        num_clips = NUM_FRAMES // length
        trained: Measured | None = None
        for pattern in PATTERNS:
            if pattern != "all" and int(pattern[2:]) >= num_clips:
                continue
            found = {m.method: m for m in runner.run(length, num_clips, pattern, "fast_gru")}
            shown = [found["fast_gru"], found["average"]]
            if pattern == "all":
                shown = [found["fast_gru"], found["average_expensive"], found["average_cheap"]]
            own = runner.run(length, num_clips, pattern, "trained_average")
            shown += [m for m in own if m.method == "trained_average"]
            trained = shown[-1] if pattern == "all" else trained
            yield from compare(shown, found["average"], found["average_expensive"], trained=trained)


def table_routes(runner: Runner) -> Iterator[dict[str, Any]]:
    """Send the expensive encoder by a pattern or by saliency, as often and at the same cost."""
    length = runner.options.length
    num_clips, pattern = NUM_FRAMES // length, "1:7"
    fixed = {m.method: m for m in runner.run(length, num_clips, pattern, "fast_gru")}
    routes = [None, "packets", "motion"] + ["scsampler"] * bool(runner.options.sampler)
    for route in routes:
        found = fixed
        if route is not None:
            ran = runner.run(length, num_clips, pattern, "fast_gru", route)
            found = {m.method: m for m in ran}
        for method in ("fast_gru", "average"):
            yield from compare(
                [found[method]], fixed[method], fixed["average_expensive"], is_route=True
            )


def compare(
    found: Iterable[Measured],
    average: Measured,
    expensive: Measured,
    *,
    trained: Measured | None = None,
    before: Mapping[str, Measured] | None = None,
    is_route: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield one record per method with its intervals.

    Args:
        found: what to compare.
        average: with what: the average of the same clips or, of routes, the fixed pattern.
        expensive: and with what else.
        trained: and with the average whose head was trained on the same videos, if it was: of the
            same clips in table 3, all expensive in table 4.
        before: and with the same method at the next smaller number of clips.
        is_route: says which of the two ``average`` is.
    """
    draws = Resamples(len(average.right))
    beside = "vs_fixed" if is_route else "vs_average"
    for one in found:
        yield {
            "frames_per_clip": one.cell.num_frames,
            "clips": one.cell.num_clips,
            "pattern": one.cell.pattern,
            "route": one.cell.route,
            "method": one.method,
            "accuracy": asdict(draws.interval(one.right)),
            beside: None if one is average else asdict(draws.difference(one.right, average.right)),
            "vs_average_expensive": None
            if one is expensive
            else asdict(draws.difference(one.right, expensive.right)),
            "vs_trained_average": None
            if trained is None or one is trained
            else asdict(draws.difference(one.right, trained.right)),
            "vs_fewer_clips": None
            if before is None or one.method not in before
            else asdict(draws.difference(one.right, before[one.method].right)),
            "gmacs": one.macs / 1e9,
            "share_of_all_expensive": one.macs / expensive.macs,
        }


def write(records: Iterator[dict[str, Any]], runner: Runner, out: Path, *, title: str) -> None:
    """Write JSON, a table in Markdown and a figure."""
    rows = list(records)
    manifest = load_manifest(runner.options.data)
    metrics = runner.metrics
    protocol = {
        "title": title,
        "manifest_sha256": manifest.sha256,
        "train_videos": metrics["train_videos"],
        "test_videos": metrics["test_videos"],
        "seeds": runner.options.seeds,
        "recipe": {
            key: value
            for key, value in asdict(runner.base).items()
            if key not in ("data", "out", "cache", "expensive", "cheap", "init")
        },
        "max_frames": runner.options.max_frames,
        "command": " ".join(["python", "benchmarks/faster.py", *map(portable, sys.argv[1:])]),
        "hardware": asdict(gather_hardware("cpu")),
        "versions": gather_versions(),
    }
    out.with_suffix(".json").write_text(json.dumps({**protocol, "rows": rows}, indent=1) + "\n")
    out.with_suffix(".md").write_text(markdown(rows, protocol))
    if "vs_fixed" not in rows[0]:
        draw(rows, out.with_suffix(".png"), title=title)
    print(out.with_suffix(".md").read_text())


def markdown(rows: Sequence[dict[str, Any]], protocol: dict[str, Any]) -> str:
    """Return the table."""
    is_route = "vs_fixed" in rows[0]
    columns = {
        "vs_fixed": "fixed pattern",
        "vs_average": "average of the same clips",
        "vs_average_expensive": "average, all expensive",
        "vs_trained_average": "average, head trained too"
        + (", all expensive" if len({row["pattern"] for row in rows}) > 1 else ""),
        "vs_fewer_clips": "itself at fewer clips",
    }
    shown = {key: name for key, name in columns.items() if any(row.get(key) for row in rows)}
    lines = [
        f"# {protocol['title']}",
        "",
        f"{protocol['test_videos']} test videos, {protocol['train_videos']} to train on; intervals "
        "are 95 % bootstrap over the videos, of differences on the same videos, in points; "
        f"{protocol['seeds']} training(s) per cell, whose answers are averaged (how trainings "
        "differ is not in the intervals)."
        + " GMACs leave out the networks of route scsampler that score the clips."
        * is_route,
        "",
        "| L x N | pattern | method | accuracy | "
        + " | ".join(f"- {name}" for name in shown.values())
        + " | GMACs | of all expensive |",
        "|---" * (6 + len(shown)) + "|",
    ]
    lines += [
        f"| {row['frames_per_clip']} x {row['clips']} | {turns(row)} | {NAMES[row['method']]} | "
        f"{interval(row['accuracy'], sign='')} | "
        + " | ".join(interval(row[key]) for key in shown)
        + f" | {row['gmacs']:.3f} | {100 * row['share_of_all_expensive']:.1f} % |"
        for row in rows
    ]
    told = [f"{key}: {value}" for key, value in protocol.items() if key not in ("title",)]
    return "\n".join([*lines, "", *(f"- {text}" for text in told), ""])


def turns(row: dict[str, Any]) -> str:
    """Return the pattern, and by what it is routed."""
    return row["pattern"] + (f" by {row['route']}" if row["route"] else "")


def draw(rows: Sequence[dict[str, Any]], path: Path, *, title: str) -> None:
    """Draw accuracy over N (Table 3's form) or over cost (Table 4's)."""
    over_clips = len({row["pattern"] for row in rows}) == 1
    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    curves: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        name = NAMES[row["method"]]
        if not over_clips:
            name = f"{name}, {row['frames_per_clip']} frames a clip"
        curves.setdefault(name, []).append(row)
    for (name, mine), marker in zip(curves.items(), "osD^vPX<>hp*"):
        x = [row["clips"] if over_clips else row["gmacs"] for row in mine]
        order = sorted(range(len(mine)), key=x.__getitem__)
        y = [100 * mine[n]["accuracy"]["estimate"] for n in order]
        bounds = [
            [y[i] - 100 * mine[n]["accuracy"]["low"] for i, n in enumerate(order)],
            [100 * mine[n]["accuracy"]["high"] - y[i] for i, n in enumerate(order)],
        ]
        axes.errorbar(
            [x[n] for n in order], y, yerr=bounds, marker=marker, label=name, capsize=2, lw=1.4
        )
    axes.set_xscale("log", base=2)
    if over_clips:
        ticks = sorted({row["clips"] for row in rows})
        axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_xlabel("clips of a video" if over_clips else "1e9 multiply-adds per video")
    axes.set_ylabel("accuracy, %")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
