"""Thumbnails below a time line, each as near to its place as its neighbors allow, tied to it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

GAP, CAPTION, ROW_GAP = 0.14, 0.26, 0.10
"""Inches between thumbnails, for a caption, and between rows."""
ONE_ROW = 8
"""More thumbnails than this stand in two rows, unless they are narrow."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a thumbnail stands, in inches from the figure's lower left corner."""

    center: float
    bottom: float
    width: float
    height: float

    @property
    def top(self) -> float:
        """Upper edge."""
        return self.bottom + self.height


def lay_out(
    wanted: Sequence[float], *, left: float, right: float, aspect: float, bottom: float = 0.40
) -> list[Slot]:
    """Find a place for each thumbnail.

    In one row, or in two if that keeps them too small, taking turns; the lower ones stand below the
    gaps of the upper ones, so that a tie can reach them::

        |---|   |---|   |---|
        | 0 | | | 2 | | | 4 |
        |---| | |---| | |---|
            |---|   |---|
            | 1 |   | 3 |
            |---|   |---|

    Args:
        wanted: where each center would best be, in inches, ascending.
        left: where the row may begin.
        right: where it must end.
        aspect: width over height of a thumbnail.
        bottom: lower edge of the lowest row.
    """
    count = len(wanted)
    largest = min(2.0, 1.5 * aspect)

    def widest(rows: int) -> float:
        return (right - left - (count - 1) * GAP / rows) / (1 + (count - 1) / rows)

    rows = 1 if count <= ONE_ROW or widest(1) >= largest else 2
    width = min(widest(rows), largest)
    height = width / aspect
    spacing = (width + GAP) / rows
    low, high = left + width / 2, right - width / 2
    centers = spread(wanted, spacing=spacing, low=low, high=high)
    raised = bottom + (rows - 1) * (height + CAPTION + ROW_GAP)
    return [
        Slot(center, raised if index % rows == 0 else bottom, width, height)
        for index, center in enumerate(centers)
    ]


def spread(wanted: Sequence[float], *, spacing: float, low: float, high: float) -> list[float]:
    """Move positions as little as possible (least squares) until they are ``spacing`` apart.

    Shifted by ``index * spacing`` the problem is isotonic regression, solved by pooling adjacent
    violators; clamping to the bounds afterwards keeps it optimal.

    Args:
        wanted: ascending.
        spacing: smallest distance of neighbors.
        low: least position.
        high: greatest position; ``high - low`` must hold all of them.
    """
    pools: list[tuple[float, int]] = []  # mean, count
    for index, place in enumerate(wanted):
        mean, count = place - index * spacing, 1
        while pools and pools[-1][0] >= mean:
            other, others = pools.pop()
            mean, count = (mean * count + other * others) / (count + others), count + others
        pools.append((mean, count))
    flat = [mean for mean, count in pools for _ in range(count)]
    limit = high - (len(wanted) - 1) * spacing
    return [
        min(max(place, low), max(limit, low)) + index * spacing for index, place in enumerate(flat)
    ]


def draw_tie(
    figure: Figure, slot: Slot, *, start: tuple[float, float], row_top: float, color: str
) -> None:
    """Draw the line from a place on the time line to a thumbnail.

    Args:
        figure: to draw on.
        slot: the thumbnail's place.
        start: the line's upper end, in inches.
        row_top: upper edge of the upper row; below it the line runs straight down.
        color: of the line.
    """
    xs = (start[0], slot.center, slot.center)
    ys = (start[1], row_top + 0.05, slot.top)
    width, height = figure.get_size_inches()
    line = Line2D(
        [x / width for x in xs],
        [y / height for y in ys],
        transform=figure.transFigure,
        color=color,
        linewidth=1.1,
        alpha=0.75,
        solid_joinstyle="round",
    )
    figure.add_artist(line)


def draw_thumbnail(
    figure: Figure,
    image: np.ndarray,
    *,
    slot: Slot,
    caption: str,
    color: str,
    line_width: float = 2.4,
) -> None:
    """Draw one picture with a frame and a line of text below.

    Args:
        figure: to draw on.
        image: uint8 ``[h, w, 3]``.
        slot: its place.
        caption: below it.
        color: of the frame.
        line_width: of the frame, in points.
    """
    width, height = figure.get_size_inches()
    left, bottom = (slot.center - slot.width / 2) / width, slot.bottom / height
    box = (left, bottom, slot.width / width, slot.height / height)
    axes = figure.add_axes(box)
    axes.imshow(image, aspect="auto", interpolation="bilinear")
    axes.set_axis_off()
    frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=color)
    frame.set(linewidth=line_width, clip_on=False)
    axes.add_patch(frame)
    x, y = slot.center / width, (slot.bottom - 0.06) / height
    figure.text(x, y, caption, ha="center", va="top", fontsize=9, color="#222222")
