"""Which frames each frame is predicted from, read off the order of decoding.

Nothing that FFmpeg exports names the reference of a motion vector, and without its distance a
vector is no velocity: P-frames of x264's B-pyramid mostly look four frames back.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidskim.io.packets import PacketIndex

MAX_REFERENCE_DISTANCE = 32
"""Frames searched for a reference; H.264 keeps at most 16 reference frames."""


@dataclass(frozen=True, slots=True)
class References:
    """The likely references of every frame, in presentation order."""

    past: NDArray[np.int64]
    """``[F]`` frames to the past reference, at least 1."""
    future: NDArray[np.int64]
    """``[F]`` frames to the future reference; 0 where no later frame is decoded earlier."""
    is_b: NDArray[np.bool_]
    """``[F]`` frames with two references."""
    is_intra: NDArray[np.bool_]
    """``[F]`` frames with none."""


def find_references(index: PacketIndex) -> References:
    """Estimate the references of all frames of a file.

    Args:
        index: its packet index. Where it does not tell the order of display (``timed`` is False),
            the order follows from the picture types, as a decoder finds it.
    """
    disposable = index.demuxed.is_disposable[index.decode_order]
    order, types = index.decode_order, index.picture_types
    if not index.timed:
        shown = display_order(types, is_disposable=disposable)
        order, types, disposable = order[shown], types[shown], disposable[shown]
    past, future = reference_distances(order, is_disposable=disposable)
    return References(
        past=past, future=future, is_b=(types == "B") | (future > 0), is_intra=types == "I"
    )


def reference_distances(
    decode_order: NDArray[np.int64], *, is_disposable: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Estimate from the order of decoding which frames each frame is predicted from.

    A frame with a future reference is decoded after that reference, though shown before it: it is a
    B-frame. A B-frame that some earlier-shown frame waits for is itself a reference, all other
    B-frames are leaves, and everything else (I, P) is a reference::

        shown     I0  b1  B2  b3  P4        b1: past 1 (I0), future 1 (B2)
        decoded    0   3   2   4   1        B2: past 2 (I0), future 2 (P4)     P4: past 4 (I0)

    The nearest reference shown before is taken as the past one, the nearest shown after as the
    future one; encoders may choose farther ones for single blocks, which nothing exported tells.
    Where the packets say themselves that nothing refers to them, they are believed.

    Args:
        decode_order: int ``[F]`` rank in decoding order of each frame in presentation order.
        is_disposable: bool ``[F]``, frames that no other frame refers to; not used if it marks
            none, for many files do not tell.

    Returns:
        Frames to the past reference, at least 1, and to the future one, 0 where there is none;
        int64 ``[F]`` each.
    """
    order = np.asarray(decode_order, dtype=np.int64)
    total = len(order)
    past = np.zeros(total, dtype=np.int64)
    future = np.zeros(total, dtype=np.int64)
    if total == 0:
        return past, future
    if is_disposable is not None and is_disposable.any():
        is_reference = ~is_disposable
    else:
        is_b, awaited = np.zeros(total, dtype=bool), np.zeros(total, dtype=bool)
        is_b[:-1] = np.minimum.accumulate(order[::-1])[::-1][1:] < order[:-1]
        awaited[1:] = np.maximum.accumulate(order)[:-1] > order[1:]
        is_reference = ~is_b | awaited
    for distance in range(1, min(MAX_REFERENCE_DISTANCE, total - 1) + 1):
        usable = is_reference[:-distance] & (order[:-distance] < order[distance:])
        past[distance:][usable & (past[distance:] == 0)] = distance
        ahead = is_reference[distance:] & (order[distance:] < order[:-distance])
        future[:-distance][ahead & (future[:-distance] == 0)] = distance
    return np.maximum(past, 1), future


def display_order(
    types: NDArray[np.str_], *, is_disposable: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return packets in the order their frames are shown, from their types in decoding order.

    A reference is held back until the B-frames decoded after it are shown. Of B-frames in a row, a
    first one that others refer to belongs to their middle (x264's pyramid)::

        decoded   I0  P4  B2  b1  b3  P5        shown   I0  b1  B2  b3  P4  P5

    Args:
        types: ``[F]`` of ``"I"``, ``"P"``, ``"B"`` or ``"?"``.
        is_disposable: bool ``[F]``, frames that no other frame refers to.

    Returns:
        int64 ``[F]``, a permutation.
    """
    shown: list[int] = []
    held: list[int] = []
    row: list[int] = []
    for packet, kind in enumerate([*types.tolist(), "end"]):
        if kind == "B":
            row.append(packet)
            continue
        if len(row) > 2 and not is_disposable[row[0]]:
            middle = (len(row) - 1) // 2
            row = [*row[1 : middle + 1], row[0], *row[middle + 1 :]]
        shown += row + held
        held, row = [packet], []
    return np.array(shown, np.int64)
