"""What a compressed answer attends to over time, as inline SVG: the map, and what steps receive."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vidskim.show.attended import AttendedStep, lay_steps
from vidskim.show.page.chart import LEFT, RIGHT, Banner, Mark, draw_chart
from vidskim.types import Prediction

ROW, LOWEST, HIGHEST = 9, 36, 220
"""Units of the drawing: of a kept step in the map; of the map, at least and at most."""
FINE = 2
"""Pixels per unit of the drawing."""
SCALE = "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725"
"""The colors (viridis) from zero to the largest weight, evenly spaced."""


def draw_attention(
    prediction: Prediction,
    moments: Sequence[AttendedStep],
    *,
    address_of: Callable[[NDArray[np.uint8]], str],
    clock: Callable[[float], str],
) -> str:
    """Return the drawing.

    Args:
        prediction: with an attention.
        moments: marked in it.
        address_of: from a picture ``[h, w, 3]`` to its data as an address.
        clock: from seconds to text.

    Raises:
        UsageError: see `vidskim.show.attended.lay_steps`.
    """
    steps = lay_steps(prediction)
    K = len(steps.weights)
    height = min(max(ROW * K, LOWEST), HIGHEST)
    weights = steps.image(columns=FINE * (RIGHT - LEFT), most_rows=FINE * height)
    rows = np.arange(FINE * height) * len(weights) // (FINE * height)
    picture = paint(weights / steps.brightest)[rows]
    edges, received = steps.over_time()
    marks = [
        Mark(m.start_seconds, m.end_seconds, f"{clock(m.start_seconds)}, received {m.share}")
        for m in moments
    ]
    return draw_chart(
        {"received": received},
        main="received",
        edges=edges,
        marks=marks,
        duration_seconds=steps.duration_seconds,
        banner=Banner(
            "kept step",
            address_of(picture),
            height,
            lowest=str(K) if K > 1 else "",
            highest="1",
            holes=steps.holes,
        ),
        label="what each kept step attends to over time, and how much each step receives",
    )


def paint(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return values in [0, 1] as colors, uint8 ``[h, w, 3]``; not-a-number as zero."""
    stops = np.array([list(bytes.fromhex(color)) for color in SCALE.split()], np.float64)
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(np.nan_to_num(values), places, stops[:, n]) for n in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
