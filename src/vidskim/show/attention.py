"""What a compressed answer attends to, as a PNG: the map over time, and the frames it rests on.

The form is that of figure 6 of Liu et al., "Selective Feature Compression", ICCV 2021: the temporal
attention map M with yellow where much is attended to, and the video's frames, those that matter in
yellow boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from vidskim.errors import UsageError, printable
from vidskim.show.attended import AttendedStep, Steps, attention_of, lay_steps, most_attended
from vidskim.show.filmstrip import CAPTION, GAP, Slot, draw_thumbnail, draw_tie, spread
from vidskim.show.storyboard import check_png, frames_at, write_whole
from vidskim.show.tables import clock
from vidskim.show.timeline import (
    CURVE,
    GRAY,
    GRID,
    INK,
    LEFT,
    RIGHT,
    STEPS,
    WIDTH,
    add_clock,
    save,
    write_head,
)
from vidskim.types import Prediction
from vidskim.video import Video

YELLOW, HOLE = "#F5C211", "#efefef"
"""Of what is attended to most, and where no frame was seen."""
DOTS = 125
"""Per inch."""
ROW, LOWEST, HIGHEST = 0.12, 0.6, 2.4
"""Inches: of a kept step in the map; of the map, at least and at most."""
RECEIVED, BETWEEN, BELOW = 0.75, 0.36, 0.32
"""Inches: of the curve, between it and the map, and from there to the thumbnails."""
THUMBNAIL = (2.0, 0.85)
"""Inches: width and height of a thumbnail at most."""
FEWEST, MOST_SHOWN = 7, 15
"""Thumbnails of a video that has as many frames."""
MOST_DOTTED = 60
"""Kept steps up to which each is marked in the map."""
MOST_LETTERS = 50
"""Of a class's name."""
APART = 0.74
"""Inches from the middle of a thumbnail to that of the next, at least: its time stands below."""


@dataclass(frozen=True, slots=True)
class StripFrame:
    """A frame in the strip."""

    frame: int
    seconds: float
    """When it is shown."""
    place_seconds: float
    """Where the strip ties it to the time line."""
    moment: AttendedStep | None = None
    """The step it begins, if that is among the most attended."""


def save_attention(prediction: Prediction, path: str | Path) -> None:
    """Draw what an answer attends to over time, with the video's frames; these are read again.

    Args:
        prediction: of method ``sfc``.
        path: the PNG to write; it appears under its name only when it is complete.

    Raises:
        UsageError: no attention, or ``path`` is no PNG or cannot be written.
        VideoError: the video is gone.
    """
    check_png(path, what="an attention over time")
    attention_of(prediction)
    video = Video(prediction.video.path)
    times = video.timestamps_seconds
    info = video.info
    shown = choose_frames(prediction, times, aspect=info.width / info.height)
    frames = frames_at(video.path, [shot.frame for shot in shown])
    images = frames.permute(0, 2, 3, 1).numpy()  # [n, h, w, 3]
    write_whole(path, lambda part: draw_attention(prediction, shown, images, part))


def choose_frames(
    prediction: Prediction, times: NDArray[np.float64], *, aspect: float
) -> list[StripFrame]:
    """Choose the frames of the strip: evenly over time, but the most attended ones for sure.

    Each of these takes the place of the even one that is nearest to it.

    Args:
        prediction: the answer.
        times: of all frames of the video, in seconds.
        aspect: width over height of a frame; narrow frames are more.

    Returns:
        In time order, no frame twice.
    """
    steps, moments = lay_steps(prediction), most_attended(prediction)
    width, height = THUMBNAIL
    fitting = (RIGHT - LEFT + GAP) / (min(width, height * aspect) + GAP)
    count = min(max(int(fitting), FEWEST), MOST_SHOWN)
    middles = (np.arange(count) + 0.5) / count * steps.duration_seconds
    places: dict[int, list[float]] = {}  # of each even frame; one that lasts has several
    for middle in middles:
        frame = max(int(np.searchsorted(times, middle, side="right")) - 1, 0)
        places.setdefault(frame, []).append(float(middle))
    even = {frame: float(np.mean(place)) for frame, place in places.items()}
    for moment in moments:
        even.pop(moment.frame, None)
    for moment in moments:
        if even and len(even) + len(moments) > count:
            even.pop(min(even, key=lambda frame: abs(even[frame] - moment.middle_seconds)))
    strip = [StripFrame(frame, float(times[frame]), place) for frame, place in even.items()]
    for moment in moments:
        seconds = float(times[min(moment.frame, len(times) - 1)])
        strip.append(StripFrame(moment.frame, seconds, moment.middle_seconds, moment))
    return sorted(strip, key=lambda shot: (shot.place_seconds, shot.frame))


def draw_attention(
    prediction: Prediction,
    shown: Sequence[StripFrame],
    images: NDArray[np.uint8],
    path: str | Path,
) -> None:
    """Draw the map, what each step receives of it, and frames.

    Args:
        prediction: the answer.
        shown: the frames of the strip, in time order.
        images: ``[n, h, w, 3]`` RGB, one per frame.
        path: the PNG to write.

    Raises:
        UsageError: no attention, or pictures that do not fit the frames.
    """
    if not shown or images.ndim != 4 or images.shape[::3] != (len(shown), 3):
        raise UsageError(
            f"a strip needs one picture [h, w, 3] per frame: {len(shown)} frames, pictures "
            f"{list(images.shape)}"
        )
    steps = lay_steps(prediction)
    duration = steps.duration_seconds
    wanted = [LEFT + (RIGHT - LEFT) * min(s.place_seconds / duration, 1.0) for s in shown]
    slots = _lay_out(wanted, aspect=images.shape[2] / images.shape[1])
    map_height = min(max(ROW * len(steps.weights), LOWEST), HIGHEST)
    curve_bottom = slots[0].top + BELOW
    map_bottom = curve_bottom + RECEIVED + BETWEEN
    height = map_bottom + map_height + 1.2
    figure = Figure(figsize=(WIDTH, height), dpi=DOTS, facecolor="white")
    FigureCanvasAgg(figure)
    best, (K, T) = prediction.predictions[0], steps.weights.shape
    kept = f"{printable(prediction.method)} kept {K} of {T} step{'' if T == 1 else 's'}"
    label = f"{printable(best.label)[:MOST_LETTERS]} ({best.score:.0%})"
    write_head(figure, Path(prediction.video.path).name, [label, kept])

    across = (LEFT / WIDTH, (RIGHT - LEFT) / WIDTH)
    box = (across[0], map_bottom / height, across[1], map_height / height)
    axes = figure.add_axes(box)
    norm = _draw_map(axes, steps, kept=attention_of(prediction).kept, height=map_height)
    add_clock(axes, duration=duration)
    dotted = attention_of(prediction).kept is not None and K <= MOST_DOTTED
    _add_scale(figure, norm, dotted=dotted)
    box = (across[0], curve_bottom / height, across[1], RECEIVED / height)
    moments = [shot.moment for shot in shown if shot.moment is not None]
    _draw_received(figure.add_axes(box), steps, moments)

    for shot, slot, image, x in zip(shown, slots, images, wanted):
        color, wide, caption = GRAY, 0.8, clock(shot.seconds, digits=1)
        if shot.moment is not None:
            color, wide = YELLOW, 4.0
            caption += f"\n{shot.moment.share}"
        tie = GRID if shot.moment is None else color
        draw_tie(figure, slot, start=(x, curve_bottom - 0.04), row_top=slot.top, color=tie)
        draw_thumbnail(figure, image, slot=slot, caption=caption, color=color, line_width=wide)
    save(figure, path)


def _lay_out(wanted: Sequence[float], *, aspect: float) -> list[Slot]:
    """Find a place for each thumbnail in one row, as near to its time as its neighbors allow."""
    count = len(wanted)
    width = min((RIGHT - LEFT - (count - 1) * GAP) / count, THUMBNAIL[0], 1.5 * aspect)
    low, high = LEFT + width / 2, RIGHT - width / 2
    spacing = min(max(width + GAP, APART), (high - low) / max(count - 1, 1))
    centers = spread(wanted, spacing=spacing, low=low, high=high)
    return [Slot(center, 2 * CAPTION, width, width / aspect) for center in centers]


def _draw_map(
    axes: Axes, steps: Steps, *, kept: tuple[int, ...] | None, height: float
) -> Normalize:
    """Draw M: kept steps from top to bottom, time from left to right; return its color scale."""
    K = len(steps.weights)
    norm = Normalize(0.0, steps.brightest)
    axes.set_facecolor(HOLE)
    axes.imshow(
        steps.image(columns=int((RIGHT - LEFT) * DOTS), most_rows=int(HIGHEST * DOTS)),
        cmap="viridis",
        norm=norm,
        extent=(0.0, steps.duration_seconds, K + 0.5, 0.5),
        aspect="auto",
        interpolation="nearest",
    )
    if kept is not None and K <= MOST_DOTTED:
        places = list(kept)
        middles = (steps.starts[places] + steps.ends[places]) / 2
        axes.scatter(middles, np.arange(K) + 1, s=9, color="white", edgecolor=INK, linewidth=0.6)
    ticks = np.linspace(1, K, min(K, 2 if height < 1 else 5))
    axes.set_yticks(sorted({round(float(tick)) for tick in ticks}))
    axes.set_ylabel("kept step", fontsize=10, color=INK)
    axes.yaxis.set_label_coords(-0.4 / (RIGHT - LEFT), 0.5)
    return norm


def _add_scale(figure: Figure, norm: Normalize, *, dotted: bool) -> None:
    """Say in the upper right corner what the colors of the map are, and its dots."""
    height = figure.get_size_inches()[1]
    box = ((RIGHT - 1.75) / WIDTH, 1 - 0.67 / height, 1.3 / WIDTH, 0.12 / height)
    axes = figure.add_axes(box)
    axes.imshow(np.linspace(0, 1, 128)[None], cmap="viridis", aspect="auto")
    axes.set_axis_off()
    y = 1 - 0.615 / height
    ends = (("weight  0", RIGHT - 1.82, "right"), (f"{norm.vmax:.2g}", RIGHT - 0.38, "left"))
    for text, x, side in ends:
        figure.text(x / WIDTH, y, text, ha=side, va="center", fontsize=9.5, color=INK)
    if dotted:
        dot = Line2D([], [], marker="o", color="none", markerfacecolor="white", markersize=3.6)
        dot.set(markeredgecolor=INK, markeredgewidth=0.6, label="the kept step itself")
        figure.legend(
            handles=[dot],
            loc="upper right",
            bbox_to_anchor=((RIGHT - 2.6) / WIDTH, 1 - 0.54 / height),
            borderaxespad=0,
            borderpad=0,
            frameon=False,
            fontsize=9.5,
            labelcolor=INK,
            handletextpad=0.2,
        )


def _draw_received(axes: Axes, steps: Steps, moments: Sequence[AttendedStep]) -> None:
    """Draw how much of what was kept comes from each step, and mark the most attended."""
    edges, values = steps.over_time()
    received = np.array([np.nan if value is None else value for value in values])
    groups = np.arange(0, len(received), -(-len(received) // STEPS))
    received, edges = np.fmax.reduceat(received, groups), np.append(edges[groups], edges[-1])
    top = 1.15 * float(steps.received.max())
    axes.stairs(received, edges, fill=True, color=CURVE, alpha=0.12, zorder=1.5)
    axes.stairs(received, edges, baseline=None, color=CURVE, linewidth=1.4, zorder=3)
    even = 1 / len(steps.received)
    axes.axhline(even, color=GRAY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=2)
    for moment in moments:
        x = moment.middle_seconds
        axes.plot([x, x], [0, moment.received], color=YELLOW, linewidth=1.4, zorder=2.5)
        (mark,) = axes.plot([x], [moment.received], "o", color=YELLOW, markersize=7, zorder=5)
        mark.set(markeredgecolor=INK, markeredgewidth=0.8, clip_on=False)
    axes.set_xlim(0, steps.duration_seconds)
    axes.set_ylim(0, top)
    axes.set_xticks([])
    axes.yaxis.set_major_locator(MaxNLocator(2))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    axes.tick_params(which="both", colors=GRAY, labelsize=9.5, length=0)
    told = "received: share of what was kept that comes from each step (dashed: an even share"
    told += "; gray: not seen)" if steps.holes else ")"
    axes.text(0, 1.04, told, transform=axes.transAxes, fontsize=9.5, color=GRAY, va="bottom")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRAY)
