"""Accuracy against cost: one point per method, cheaper to the left, better above.

Drawn on a canvas of its own: no window, no global state of matplotlib is touched.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from vidskim.evaluate.table import TableRow

INK, GRAY, GRID = "#222222", "#6b6b6b", "#e4e4e4"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, told apart with any kind of color vision."""
MARKERS = "osD^vPX<>hp"
REFERENCE = {"dense": (INK, "s"), "oracle": (GRAY, "*")}
"""Methods that others are held against keep their look in every figure."""

APART = 11.0
"""Pixels between points of one cost."""


@dataclass(frozen=True, slots=True)
class Point:
    """One method in one panel."""

    name: str
    x: float
    y: float
    low: float
    high: float
    color: str
    marker: str


def draw_accuracy_cost(
    rows: Sequence[TableRow], path: str | Path, *, title: str | None = None
) -> None:
    """Draw accuracy over GMACs and over seconds per video, with 95 % intervals, as a PNG.

    Where several classes may be true of a video it is the mean average precision.

    Args:
        rows: the table, at least one row.
        path: the PNG to write.
        title: above both panels.
    """
    of_several = any(row.mean_average_precision is not None for row in rows)
    measure = "mean average precision" if of_several else "accuracy"
    figure = Figure(figsize=(12.0, 5.2), dpi=125, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.065, right=0.985, top=0.875, bottom=0.125, wspace=0.06)
    figure.text(
        0.065,
        0.935,
        title or f"{measure.capitalize()} against cost, {rows[0].num_videos} videos",
        fontsize=14,
        fontweight="bold",
        color=INK,
        parse_math=False,
    )
    note = "bars: 95 % bootstrap interval; nearly equal costs are set side by side"
    figure.text(0.985, 0.935, note, ha="right", fontsize=9.5, color=GRAY)
    left.set_ylabel(measure, fontsize=11, color=INK)
    panels = (
        (left, [row.gmacs for row in rows], "GMACs per video"),
        (right, [row.seconds for row in rows], "seconds per video, decoding included"),
    )
    for axes, costs, label in panels:
        points = _points(rows, costs)
        _limit(axes, points)
        _style(axes, label=label)
        points = _side_by_side(axes, points)
        _draw(axes, points)
        _name(axes, points, canvas=canvas)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # exotic letters in a title
        figure.savefig(path, format="png", dpi="figure")


def _points(rows: Sequence[TableRow], costs: Sequence[float]) -> list[Point]:
    several = len({row.model for row in rows}) > 1
    points: list[Point] = []
    for index, (row, cost) in enumerate(zip(rows, costs)):
        color, marker = REFERENCE.get(
            row.method, (COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)])
        )
        name = f"{row.method} ({row.model})" if several else row.method
        a = row.measure
        points.append(Point(name, cost, a.estimate, a.low, a.high, color, marker))
    return points


def _side_by_side(axes: Axes, points: Sequence[Point]) -> list[Point]:
    """Move points of nearly one cost apart, so that every bar can be seen."""
    places = {p: axes.transData.transform((p.x, p.y))[0] for p in points}
    clusters: list[list[Point]] = []
    for point in sorted(points, key=lambda p: (places[p], p.name)):
        if clusters and places[point] - places[clusters[-1][-1]] < APART:
            clusters[-1].append(point)
        else:
            clusters.append([point])
    moved: list[Point] = []
    for cluster in clusters:
        middle = sum(places[p] for p in cluster) / len(cluster)
        for index, p in enumerate(sorted(cluster, key=lambda p: (round(places[p]), -p.y))):
            x = middle + APART * (index - (len(cluster) - 1) / 2)
            x = places[p] if len(cluster) == 1 else x
            moved.append(replace(p, x=float(axes.transData.inverted().transform((x, 0))[0])))
    return moved


def _draw(axes: Axes, points: Sequence[Point]) -> None:
    for point in points:
        axes.errorbar(
            point.x,
            point.y,
            yerr=[[max(0.0, point.y - point.low)], [max(0.0, point.high - point.y)]],
            fmt=point.marker,
            color=point.color,
            markersize=13 if point.marker == "*" else 9,
            markeredgecolor="white",
            markeredgewidth=0.9,
            elinewidth=1.5,
            capsize=3.0,
            zorder=3,
        )


def _style(axes: Axes, *, label: str) -> None:
    axes.set_xlabel(label, fontsize=11, color=INK, labelpad=6)
    axes.grid(color=GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=INK, labelsize=10, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRAY)


def _limit(axes: Axes, points: Sequence[Point]) -> None:
    """Leave room for names; costs stand on a logarithmic axis unless one is zero."""
    xs = [point.x for point in points]
    if min(xs) > 0:
        axes.set_xscale("log")
        low, high = math.log10(min(xs)), math.log10(max(xs))
        room = max(0.17 * (high - low), 0.15)
        axes.set_xlim(10 ** (low - 1.3 * room), 10 ** (high + room))
        few = high - low + 2.3 * room < 2.5
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = max(0.12 * (max(xs) - min(xs)), 0.1)
        axes.set_xlim(min(xs) - room, max(xs) + room)
    low, high = min(p.low for p in points), max(p.high for p in points)
    room = max(0.1 * (high - low), 0.02)
    axes.set_ylim(low - room, high + room)


def _name(axes: Axes, points: Sequence[Point], *, canvas: FigureCanvasAgg) -> None:
    """Name each point beside it, where no other name, point or bar is in the way.

    Points are named from the most crowded to the loneliest. Each name tries places around its
    point, near ones first, and takes the one that covers least; a distant name gets a thin line.
    """
    renderer: Any = canvas.get_renderer()  # type: ignore[no-untyped-call]
    inside = axes.get_window_extent(renderer)
    center = {p: axes.transData.transform((p.x, p.y)) for p in points}
    blocked = [Bbox.from_extents(x - 9, y - 9, x + 9, y + 9) for x, y in center.values()]
    for p in points:
        (x, low), (_, high) = (axes.transData.transform((p.x, end)) for end in (p.low, p.high))
        blocked.append(Bbox.from_extents(x - 4, low - 2, x + 4, high + 2))

    def crowd(p: Point) -> float:
        return min(
            (float(np.hypot(*(center[p] - center[q]))) for q in points if q is not p), default=0.0
        )

    for point in sorted(points, key=crowd):
        text = axes.text(0, 0, point.name, transform=None, va="bottom", parse_math=False, zorder=5)
        text.set(fontsize=10.5, fontweight="bold", color=_darker(point.color))
        extent = text.get_window_extent(renderer)
        x, y = center[point]
        best, best_cost = (0.0, 0.0), math.inf
        for place, (dx, dy) in enumerate(_places(extent.width, extent.height)):
            box = Bbox.from_bounds(x + dx, y + dy, extent.width, extent.height).padded(2)
            outside = _area(box) - _overlap(box, inside)
            cost = sum(_overlap(box, other) for other in blocked) + 4 * outside + 6.0 * place
            if cost < best_cost:
                best, best_cost = (dx, dy), cost
        dx, dy = best
        text.set_position((x + dx, y + dy))
        box = Bbox.from_bounds(x + dx, y + dy, extent.width, extent.height)
        blocked.append(box.padded(2))
        near = (min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1))
        if math.dist(near, (x, y)) > 26:
            ends = axes.transData.inverted().transform([(x, y), near])
            axes.plot(*ends.T, color=point.color, linewidth=0.8, alpha=0.7, zorder=2)


def _places(width: float, height: float) -> list[tuple[float, float]]:
    """Return offsets of a name's lower left corner from its point, in pixels, best first."""
    places: list[tuple[float, float]] = []
    for gap in (13.0, 24.0, 38.0, 56.0, 80.0):
        middle = -height / 2
        places += [
            (gap, middle),
            (-gap - width, middle),
            (gap, gap * 0.6),
            (gap, -gap * 0.6 - height),
            (-gap - width, gap * 0.6),
            (-gap - width, -gap * 0.6 - height),
            (-width / 2, gap),
            (-width / 2, -gap - height),
        ]
    return places


def _darker(color: str) -> tuple[float, ...]:
    """Return a color that can be read as text on white."""
    rgb = to_rgb(color)
    light = sum(share * part**2.2 for share, part in zip((0.2126, 0.7152, 0.0722), rgb))
    return tuple(part * min(1.0, (0.18 / light) ** (1 / 2.2)) for part in rgb)


def _area(box: Bbox) -> float:
    return float(box.width * box.height)


def _overlap(a: Bbox, b: Bbox) -> float:
    shared = Bbox.intersection(a, b)
    return 0.0 if shared is None else _area(shared)
