"""Figures of the studies: accuracies as points with intervals, and curves over what is varied.

Drawn on a canvas of its own: no window, no global state of matplotlib is touched.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from vidskim.errors import printable
from vidskim.evaluate.figure import COLORS, GRAY, GRID, INK
from vidskim.evaluate.studies.entry import Entry

OTHERS = (*COLORS[:3], "#6F4FA3", "#8A6D3B", "#A8325A")
"""Colors of all other methods."""
MARKERS = "osD^vPX<>hp"
REFERENCE = {
    "dense": (INK, "s"),
    "oracle": (GRAY, "*"),
    "uniform": ("#E69F00", "o"),
    "random": ("#CC79A7", "v"),
    "empirical": ("#56B4E9", "D"),
}
"""Methods that others are held against keep their look in every figure."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One method over what is varied."""

    name: str
    xs: tuple[float, ...]
    entries: tuple[Entry, ...]


def draw_points(entries: Sequence[Entry], path: Path, *, title: str) -> None:
    """Draw one line per entry: its accuracy with the interval, classifiers one below the other.

    Args:
        entries: at least one; dense, uniform and oracle among them are also drawn as lines down
            through their classifier's panel.
        path: ending in .png or .svg.
        title: above.
    """
    groups = list(dict.fromkeys(entry.classifier for entry in entries))
    parts = [[e for e in entries if e.classifier == group] for group in groups]
    heights = [len(part) + 0.6 for part in parts]
    height = 0.34 * sum(heights) + 0.45 * len(parts) + 1.1
    figure = _figure(8.6, height)
    names = max(len(e.method) for e in entries)
    left = min(0.5, 0.035 + 0.0098 * names)
    axes = figure.subplots(len(parts), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    figure.subplots_adjust(
        left=left,
        right=0.97,
        top=1 - 0.75 / height,
        bottom=0.62 / height,
        hspace=0.45 * len(parts) / (height - 1.37 - 0.45 * (len(parts) - 1)),
    )
    _title(figure, title, height=height)
    for part, group, axis in zip(parts, groups, axes):
        _style(axis, grid="x")
        axis.set_title(group, loc="left", fontsize=10.5, color=GRAY, pad=4, parse_math=False)
        names_drawn = [printable(e.method) for e in part]
        axis.set_yticks(range(len(part)), names_drawn, fontsize=10.5, color=INK, parse_math=False)
        axis.set_ylim(len(part) - 0.4, -0.6)
        for place, (entry, (color, marker)) in enumerate(zip(part, _looks(part))):
            a = entry.accuracy
            error = [[max(0.0, a.estimate - a.low)], [max(0.0, a.high - a.estimate)]]
            axis.errorbar(
                a.estimate,
                place,
                xerr=error,
                fmt=marker,
                color=color,
                markersize=12 if marker == "*" else 8,
                markeredgecolor="white",
                elinewidth=1.8,
                capsize=3,
                zorder=3,
            )
            if entry.method in ("dense", "uniform", "oracle"):
                axis.axvline(a.estimate, color=color, linewidth=0.9, linestyle=":", zorder=1)
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
    axes[-1].set_xlabel("accuracy in %, bars: 95 % bootstrap interval", fontsize=10.5, color=INK)
    _save(figure, path)


def draw_curves(
    curves: Sequence[Curve],
    path: Path,
    *,
    title: str,
    x_label: str,
    levels: Sequence[Entry] = (),
    points: Sequence[Curve] = (),
    whole: bool = True,
    log: bool = False,
) -> None:
    """Draw accuracy over what is varied, intervals as bands.

    Args:
        curves: at least one.
        path: ending in .png or .svg.
        title: above.
        x_label: what is varied.
        levels: methods that do not vary, drawn as lines across.
        points: single points with bars.
        whole: whether what is varied are whole numbers.
        log: whether they stand on a logarithmic axis.
    """
    figure = _figure(8.2, 5.0)
    axis = figure.subplots()
    figure.subplots_adjust(left=0.085, right=0.97, top=0.88, bottom=0.21)
    _title(figure, title, height=5.0)
    _style(axis, grid="y")
    fixed = {e.method for e in levels}
    names = [curve.name for curve in curves] + [p.name for p in points] + sorted(fixed)
    looks = dict(zip(names, _looks_of(names)))
    if log:
        axis.set_xscale("log")
    for curve in curves:
        color, marker = looks[curve.name]
        ys = [e.accuracy.estimate for e in curve.entries]
        axis.plot(curve.xs, ys, color=color, marker=marker, label=curve.name, markersize=6, lw=1.9)
        low, high = zip(*((e.accuracy.low, e.accuracy.high) for e in curve.entries))
        axis.fill_between(curve.xs, low, high, color=color, alpha=0.10, linewidth=0)
    for entry in levels:
        color, _ = looks[entry.method]
        axis.axhline(
            entry.accuracy.estimate, color=color, lw=1.5, linestyle="--", label=entry.method
        )
    for point in points:
        color, marker = looks[point.name]
        a = point.entries[0].accuracy
        error = [[a.estimate - a.low], [a.high - a.estimate]]
        axis.errorbar(
            point.xs, [a.estimate], yerr=error, fmt=marker, color=color, label=point.name, capsize=3
        )
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
    if log:
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.xaxis.set_major_locator(MaxNLocator(integer=whole, nbins=12))
    axis.set_xlabel(x_label, fontsize=10.5, color=INK)
    axis.set_ylabel("accuracy in %, bands: 95 % interval", fontsize=10.5, color=INK)
    legend(figure, axis)
    _save(figure, path)


def legend(figure: Figure, axis: Axes) -> None:
    """Name what is drawn, in a row below the axes."""
    handles, labels = axis.get_legend_handles_labels()
    named = figure.legend(
        handles,
        labels,
        loc="lower center",
        ncols=min(5, len(labels)),
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )
    for text in named.get_texts():
        text.set_parse_math(False)


def start(width: float, height: float, *, title: str) -> Figure:
    """Return an empty figure with a title, sizes in inches."""
    figure = _figure(width, height)
    _title(figure, title, height=height)
    return figure


def style(axis: Axes, *, grid: str) -> None:
    """Give axes the looks of all figures; ``grid`` is "x" or "y"."""
    _style(axis, grid=grid)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as its path's suffix says."""
    _save(figure, path)


def colors_of(names: Sequence[str]) -> list[str]:
    """Return a color for each method, the usual one for those that have one."""
    return [color for color, _ in _looks_of(names)]


def _looks(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    return _looks_of([entry.method for entry in entries])


def _looks_of(names: Sequence[str]) -> list[tuple[str, str]]:
    looks: list[tuple[str, str]] = []
    others = 0
    for name in names:
        if name in REFERENCE:
            looks.append(REFERENCE[name])
            continue
        looks.append((OTHERS[others % len(OTHERS)], MARKERS[others % len(MARKERS)]))
        others += 1
    return looks


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=125, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _title(figure: Figure, title: str, *, height: float) -> None:
    figure.text(
        0.02,
        1 - 0.14 / height,
        title,
        fontsize=12.5,
        fontweight="bold",
        color=INK,
        va="top",
        parse_math=False,
    )


def _style(axis: Axes, *, grid: str) -> None:
    axis.grid(axis="x" if grid == "x" else "y", color=GRID, linewidth=0.8, zorder=0)
    axis.set_axisbelow(True)
    axis.tick_params(which="both", colors=INK, labelsize=10, length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(GRAY)


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(path, format=path.suffix[1:], dpi="figure")
