"""One video's saliency over time, the clips chosen for it, and what they look like, as a PNG.

Drawn on a canvas of its own: no window, no global state of matplotlib is touched.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MultipleLocator
from torch import Tensor

from vidskim.clips.grid import hits
from vidskim.errors import UsageError, printable
from vidskim.show.edges import infer_edges
from vidskim.show.filmstrip import draw_thumbnail, draw_tie, lay_out
from vidskim.show.tables import clock
from vidskim.show.turns import is_cheap, is_routed, shares, take_turns
from vidskim.types import ChosenClip, Clip, Prediction

INK, GRAY, GRID = "#222222", "#6b6b6b", "#e4e4e4"
CURVE, CHOSEN, MOMENT, CHEAP = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
"""Of Okabe and Ito's palette; ``CHEAP`` marks clips that the cheap of two encoders saw."""
WIDTH, LEFT, RIGHT, PANEL = 12.8, 0.62, 12.45, 1.7
"""Inches: of the picture, where the time line begins and ends, and how high it is."""
MOST = 16
"""Thumbnails drawn at most; more are thinned out evenly and the picture says so."""
TOP = 1.05
"""Upper end of the saliency axis."""
LONGEST = 76
"""Letters of a title; a longer one loses its middle."""
STEPS = 600
"""Steps the curve can show; of more, neighbors are drawn as one step at their maximum."""


def draw_timeline(
    prediction: Prediction,
    thumbnails: Tensor,
    path: str | Path,
    *,
    moments: Sequence[tuple[float, float]] | None = None,
    grid: Sequence[Clip] | None = None,
    title: str | None = None,
) -> None:
    """Draw one video's answer: where it was looked at and what was there.

    Args:
        prediction: the answer.
        thumbnails: ``[K, 3, h, w]`` uint8 RGB, one per clip of ``prediction.clips``, in that order.
        path: the PNG to write.
        moments: start and end in seconds of what was to be found, where known: shaded, and the
            thumbnails that show one are framed in its color.
        grid: the candidate clips the saliency belongs to. Without them their times are inferred
            from the chosen ones, exactly so for an even grid at a constant frame rate.
        title: by default the video's file name.

    Raises:
        UsageError: no chosen clip, or thumbnails that do not fit the clips.
    """
    clips = prediction.clips
    if not clips or thumbnails.ndim != 4 or tuple(thumbnails.shape[:2]) != (len(clips), 3):
        raise UsageError(
            f"a time line needs one thumbnail [3, h, w] per chosen clip: {len(clips)} clips, "
            f"thumbnails {list(thumbnails.shape)}"
        )
    shown = sorted({round(i) for i in np.linspace(0, len(clips) - 1, min(MOST, len(clips)))})
    duration = max(prediction.video.duration_seconds, clips[-1].clip.end_seconds)
    wanted = [LEFT + (RIGHT - LEFT) * _middle(clips[index]) / duration for index in shown]
    aspect = thumbnails.shape[3] / thumbnails.shape[2]
    slots = lay_out(wanted, left=LEFT, right=RIGHT, aspect=aspect)
    row_top = max(slot.top for slot in slots)
    panel = row_top + 0.55
    height = panel + PANEL + 1.2

    figure = Figure(figsize=(WIDTH, height), dpi=125, facecolor="white")
    FigureCanvasAgg(figure)
    box = (LEFT / WIDTH, panel / height, (RIGHT - LEFT) / WIDTH, PANEL / height)
    axes = figure.add_axes(box)
    write_head(figure, title or Path(prediction.video.path).name, _told(prediction))
    _add_legend(figure, prediction, moments=bool(moments))
    for start, end in moments or ():
        axes.axvspan(start, end, color=MOMENT, alpha=0.25, linewidth=0, zorder=1)
    _draw_saliency(axes, prediction, grid=grid)
    colors = [CHEAP if is_cheap(prediction, chosen) else CHOSEN for chosen in clips]
    for chosen, color in zip(clips, colors):
        _mark_clip(axes, chosen, duration=duration, color=color)
    _style(axes, looks=prediction.saliency is not None)
    add_clock(axes, duration=duration)
    found = _found(clips, moments)
    for index, slot, x in zip(shown, slots, wanted):
        color = MOMENT if found[index] else colors[index]
        draw_tie(figure, slot, start=(x, panel - 0.05), row_top=row_top, color=color)
        caption = clock(clips[index].clip.start_seconds, digits=1)
        if clips[index].saliency is not None:
            caption += f"  ({clips[index].saliency:.2f})"
        image = thumbnails[index].permute(1, 2, 0).cpu().numpy()  # [h, w, 3]
        draw_thumbnail(figure, image, slot=slot, caption=caption, color=color)
    if len(shown) < len(clips):
        text = f"{len(shown)} of {len(clips)} chosen clips are shown"
        figure.text(RIGHT / WIDTH, 0.04 / height, text, ha="right", fontsize=8.5, color=GRAY)
    save(figure, path)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as a PNG, whatever letters the names in it have."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(path, format="png", dpi="figure")


def grid_edges(prediction: Prediction, *, grid: Sequence[Clip] | None, count: int) -> np.ndarray:
    """Return where each candidate clip begins and the last one ends: ``[count + 1]`` seconds.

    Args:
        prediction: whose chosen clips anchor the grid.
        grid: the candidate clips, if they are known.
        count: how many candidates there are.

    Raises:
        UsageError: ``grid`` has another length.
    """
    if grid is not None:
        if len(grid) != count:
            raise UsageError(f"{count} saliency scores for {len(grid)} candidate clips")
        return np.array([clip.start_seconds for clip in grid] + [grid[-1].end_seconds])
    return infer_edges(
        [c.clip for c in prediction.clips],
        count=count,
        duration_seconds=prediction.video.duration_seconds,
    )


def _middle(chosen: ChosenClip) -> float:
    return (chosen.clip.start_seconds + chosen.clip.end_seconds) / 2


def _found(
    clips: Sequence[ChosenClip], moments: Sequence[tuple[float, float]] | None
) -> list[bool]:
    """Tell which clips meet a true moment."""
    if not moments:
        return [False] * len(clips)
    spans = torch.tensor([(c.clip.start_seconds, c.clip.end_seconds) for c in clips])
    met: list[bool] = hits(spans, torch.tensor(moments)).any(1).tolist()
    return met


def write_head(figure: Figure, name: str, told: Sequence[str]) -> None:
    """Write the title in the picture's upper left corner, and a line of facts below it.

    Args:
        figure: of `WIDTH`.
        name: of the file, which need not be UTF-8.
        told: facts, which stand apart.
    """
    name = printable(os.fsencode(name).decode(errors="replace"))
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 20]}...{name[-17:]}"
    height = figure.get_size_inches()[1]
    x, y = LEFT / WIDTH, 1 - 0.40 / height
    figure.text(x, y, name, fontsize=14, fontweight="bold", color=INK, parse_math=False)
    line = "   ·   ".join(told)
    figure.text(x, y - 0.27 / height, line, fontsize=10.5, color=GRAY, parse_math=False)


def _told(prediction: Prediction) -> list[str]:
    """Return what the head tells of an answer."""
    best, cost, count = prediction.predictions[0], prediction.cost, len(prediction.clips)
    of = f" of {len(prediction.saliency)}" if prediction.saliency is not None else ""
    clips = f"{count}{of} clip{'s' if of or count > 1 else ''}"
    looked = f"{prediction.method} looked closely at {clips}"
    if is_routed(prediction):
        looked = f"{clips} seen closely: {prediction.method}"
    parts = [f"{best.label} ({best.score:.0%})", looked]
    if cost.macs and cost.dense_macs > cost.macs:
        ratio = cost.dense_macs / cost.macs
        parts.append(f"{ratio:.{0 if ratio >= 10 else 1}f}x fewer multiply-adds than for all")
    return parts


def _add_legend(figure: Figure, prediction: Prediction, *, moments: bool) -> None:
    entries: list[Line2D | Patch] = []
    if prediction.saliency is not None:
        entries.append(Line2D([], [], color=CURVE, linewidth=1.6, label="saliency"))
    if take_turns(prediction):
        for share, color in zip(shares(prediction), (CHOSEN, CHEAP)):
            many = f"{share.num_clips} clip{'' if share.num_clips == 1 else 's'}"
            label = f"{many} by {printable(share.encoder)}".replace("$", r"\$")
            entries.append(Patch(facecolor=color, label=label))
    else:
        entries.append(Patch(facecolor=CHOSEN, label="chosen clip"))
    if moments:
        entries.append(Patch(facecolor=MOMENT, alpha=0.45, label="true moment"))
    height = figure.get_size_inches()[1]
    top = 0.22 if take_turns(prediction) else 0.47  # beside the title where the names are long
    figure.legend(
        handles=entries,
        loc="upper right",
        bbox_to_anchor=(RIGHT / WIDTH, 1 - top / height),
        borderaxespad=0,
        borderpad=0,
        ncols=len(entries),
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
        handlelength=1.4,
        columnspacing=1.6,
    )


def _draw_saliency(axes: Axes, prediction: Prediction, *, grid: Sequence[Clip] | None) -> None:
    if prediction.saliency is None:
        text = f"{prediction.method} chooses without looking"
        if prediction.schedule is not None:
            text += f", pattern {prediction.schedule}"
        note = axes.text(0.5, 0.5, text, transform=axes.transAxes, color=INK, zorder=6)
        note.set(ha="center", va="center", backgroundcolor="white", parse_math=False)
        return
    scores = np.asarray(prediction.saliency)  # [N]
    edges = grid_edges(prediction, grid=grid, count=len(scores))
    starts = np.arange(0, len(scores), -(-len(scores) // STEPS))
    scores, edges = np.maximum.reduceat(scores, starts), np.append(edges[starts], edges[-1])
    axes.stairs(scores, edges, fill=True, color=CURVE, alpha=0.12, zorder=1.5)
    axes.stairs(scores, edges, baseline=None, color=CURVE, linewidth=1.4, zorder=3)


def _mark_clip(axes: Axes, chosen: ChosenClip, *, duration: float, color: str) -> None:
    """Fill a clip's step and put a bar on the time line, wide enough to be seen in any video."""
    start, end = chosen.clip.start_seconds, chosen.clip.end_seconds
    wider = max(0.0, 0.003 * duration - (end - start)) / 2
    start, end = start - wider, end + wider
    height = 1.0 if chosen.saliency is None else chosen.saliency / TOP
    for low, high, alpha in ((0.0, height, 0.45), (-0.025, 0.025, 1.0)):
        bar = Rectangle((start, low), end - start, high - low, facecolor=color, alpha=alpha)
        bar.set(transform=axes.get_xaxis_transform(), clip_on=False, zorder=2 if alpha < 1 else 5)
        axes.add_patch(bar)


def _style(axes: Axes, *, looks: bool) -> None:
    """Limit and name the saliency axis."""
    axes.set_ylim(0, TOP)
    axes.set_yticks([0, 0.5, 1] if looks else [])
    if looks:
        axes.set_ylabel("saliency", fontsize=10, color=INK)
    axes.grid(color=GRID, linewidth=0.8)


def add_clock(axes: Axes, *, duration: float) -> None:
    """Put the clock above a panel, as video editors do: below it stand the thumbnails."""
    axes.set_xlim(0, duration)
    axes.xaxis.tick_top()
    digits = 1 if duration < 2 else 0
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
    usable = (0.1, 0.2, *steps) if digits else steps
    step = next((s for s in usable if duration / s <= 14), duration / 10)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock(value, digits=digits)))
    axes.tick_params(which="both", colors=GRAY, labelsize=9.5, length=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRAY)
