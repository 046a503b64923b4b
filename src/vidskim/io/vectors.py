"""Motion vectors of one frame to a map of motion: pure arithmetic on FFmpeg's records.

FFmpeg exports one record per block and direction. A record points from the block in the current
frame (``dst``) to where its pixels are taken from in another frame (``src``)::

    motion = src - dst      past reference (source < 0):   content moved by -motion
                            future reference (source > 0): content will move by +motion

so a displacement *per frame* needs the sign and the distance to the reference, which
`vidskim.io.references` estimates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELL = 16
"""Pixels a side of one cell of the map, the macroblock of H.264 and MPEG-4."""

BLOCK = 8
"""Pixels a side of the smallest block FFmpeg exports a vector for."""

RECORD = np.dtype(
    {
        "names": ["source", "w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale"],
        "formats": ["<i4", "u1", "u1", "<i2", "<i2", "<i4", "<i4", "<u2"],
        "offsets": [0, 4, 5, 10, 12, 24, 28, 32],
        "itemsize": 40,
    }
)
"""The fields of FFmpeg's ``AVMotionVector`` that are used. ``src_x``, ``src_y`` are truncated to
whole pixels, so motion / motion_scale (4 in H.264, 2 or 4 in MPEG-4) is read instead."""


def motion_maps(
    frames: Sequence[np.ndarray],
    *,
    grid: tuple[int, int],
    past: NDArray[np.int64],
    future: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Average the vectors of frames over cells of 16x16 pixels, weighted by block area.

    Many frames at once, because a frame has so few vectors that calling NumPy costs more than
    computing.

    Args:
        frames: structured `RECORD` ``[R]`` each, possibly empty; K frames.
        grid: (h, w), the cells of a map.
        past: ``[K]`` frames to the past reference, at least 1.
        future: ``[K]`` frames to the future reference; 0 is taken as 1.

    Returns:
        Displacement of content (dx, dy) in pixels per frame, ``[K, 2, h, w]``, zero where a cell
        has no vector; and the share of each cell's area without any vector, ``[K, h, w]``.
    """
    rows, columns = grid
    count, cells = len(frames), rows * columns
    blocks = _blocks(frames, grid=grid)
    cell = (np.arange(count) * cells).repeat(blocks.per_frame)
    cell += (blocks.y >> 4) * columns + (blocks.x >> 4)
    area = (blocks.width * blocks.height).astype(np.float64)

    def total(weights: NDArray[np.float64], cell: NDArray[np.intp]) -> NDArray[np.float64]:
        sums = np.bincount(cell, weights=weights, minlength=count * cells)
        return sums.astype(np.float64, copy=False)

    weight = area / blocks.scale
    if blocks.ahead.any():
        behind = np.flatnonzero(~blocks.ahead)
        used = total(area, cell)
        covered_behind = total(area[behind], cell[behind])
        # A macroblock exports all its blocks in each direction it uses, so the larger direction is
        # the union of both.
        covered = np.maximum(covered_behind, used - covered_behind)
        # Zeros add nothing to the sums of motion, so filler only counts in the sum of areas.
        filler = _filler(blocks, grid=grid)
        used -= total(area[filler], cell[filler])
        weight *= np.where(
            blocks.ahead,
            (1.0 / np.maximum(future, 1)).repeat(blocks.per_frame),
            (-1.0 / past).repeat(blocks.per_frame),
        )
    else:
        covered = used = total(area, cell)
        weight *= (-1.0 / past).repeat(blocks.per_frame)
    intra = np.maximum(1.0 - covered / (CELL * CELL), 0.0)
    used = np.maximum(used, 1.0)
    vectors = np.empty((count, 2, cells), np.float32)
    for axis, motion in enumerate((blocks.motion_x, blocks.motion_y)):
        mean = total(motion * weight, cell) / used
        vectors[:, axis] = mean.reshape(count, cells)
    return (
        vectors.reshape(count, 2, rows, columns),
        intra.astype(np.float32).reshape(count, rows, columns),
    )


def block_offsets(
    records: np.ndarray, *, grid: tuple[int, int], past: int, future: int
) -> np.ndarray:
    """Return where each block of 8x8 pixels is taken from in the past reference.

    Blocks predicted from the future alone get their vector turned about and stretched to the past
    reference; blocks without any vector get 0.

    Args:
        records: structured `RECORD` ``[R]``, possibly empty.
        grid: (h, w), cells of 16x16 pixels.
        past: frames to the past reference, at least 1.
        future: frames to the future reference; 0 is taken as 1.

    Returns:
        (x, y) of the source minus that of the block in pixels, float32 ``[2, 2h, 2w]``.
    """
    rows, columns = grid[0] * 2, grid[1] * 2
    offsets = np.zeros((2, rows, columns), np.float32)
    blocks = _blocks([records], grid=grid)
    used = np.ones(len(blocks.x), dtype=bool)
    used[_filler(blocks, grid=grid)] = False
    left, top = (blocks.x - blocks.width // 2) >> 3, (blocks.y - blocks.height // 2) >> 3
    stretch = np.where(blocks.ahead, -past / max(future, 1), 1.0) / blocks.scale
    motion_x, motion_y = blocks.motion_x * stretch, blocks.motion_y * stretch
    for direction in (blocks.ahead, ~blocks.ahead):  # past vectors overwrite future ones
        for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
            x, y = left + right, top + down
            covers = used & direction
            covers &= (right * BLOCK < blocks.width) & (down * BLOCK < blocks.height)
            covers &= (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
            offsets[0, y[covers], x[covers]] = motion_x[covers]
            offsets[1, y[covers], x[covers]] = motion_y[covers]
    return offsets


def turn_vectors(vectors: np.ndarray, *, rotation: int) -> np.ndarray:
    """Turn a map clockwise as its frames are turned for display, grid and vectors both.

    Args:
        vectors: ``[2, h, w]``.
        rotation: clockwise degrees, a multiple of 90.

    Returns:
        ``[2, h, w]``, or ``[2, w, h]`` for 90 and 270 degrees.
    """
    for _ in range(rotation // 90 % 4):
        dx, dy = np.rot90(vectors, k=-1, axes=(1, 2))
        vectors = np.stack([-dy, dx])
    return vectors


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The records of some frames as columns ``[R]``, many times faster to compute with."""

    per_frame: NDArray[np.intp]
    """``[K]`` records of each frame, which stand together."""
    ahead: NDArray[np.bool_]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    motion_x: NDArray[np.int32]
    motion_y: NDArray[np.int32]
    scale: NDArray[np.int32]


def _blocks(frames: Sequence[np.ndarray], *, grid: tuple[int, int]) -> _Blocks:
    """Take records apart; no block is larger than a cell, none is centered outside the map."""
    # joined as bytes: NumPy copies records field by field
    records = np.frombuffer(b"".join(frames), RECORD)  # type: ignore[arg-type]
    per_frame = np.array([len(records) for records in frames])
    if max(records["w"].max(initial=0), records["h"].max(initial=0)) > CELL:
        records, source = _split_large(records)
        per_frame = _count(source, per_frame)
    x, y = records["dst_x"].astype(np.int32), records["dst_y"].astype(np.int32)
    bottom, right = grid[0] * CELL, grid[1] * CELL
    least, right_most, lowest = (x | y).min(initial=0), x.max(initial=0), y.max(initial=0)
    if least < 0 or right_most >= right or lowest >= bottom:
        inside = np.flatnonzero((x >= 0) & (y >= 0) & (x < right) & (y < bottom))
        per_frame = _count(inside, per_frame)
        records, x, y = records[inside], x[inside], y[inside]
    return _Blocks(
        per_frame=per_frame,
        ahead=records["source"] > 0,
        width=records["w"].astype(np.int32),
        height=records["h"].astype(np.int32),
        x=x,
        y=y,
        motion_x=records["motion_x"].astype(np.int32),
        motion_y=records["motion_y"].astype(np.int32),
        scale=records["motion_scale"].astype(np.int32),
    )


def _count(chosen: NDArray[np.intp], per_frame: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return ``[K]``, how many of the records chosen (their positions) belong to each frame."""
    frame = np.arange(len(per_frame)).repeat(per_frame)
    return np.bincount(frame[chosen], minlength=len(per_frame))


def _filler(blocks: _Blocks, *, grid: tuple[int, int]) -> NDArray[np.intp]:
    """Return the positions of zero vectors that stand for "this direction is not used".

    FFmpeg notes the directions of a macroblock as a whole: where one of its blocks uses only the
    past and another only the future, both are exported in both directions, filled up with zeros.
    On a pan up to half the past vectors of a B-frame are such. A zero of a divided macroblock is
    filler if the same block moves in the other direction.
    """
    divided = np.flatnonzero(blocks.width + blocks.height < 2 * CELL)
    still = (blocks.motion_x[divided] | blocks.motion_y[divided]) == 0
    x, y = blocks.x[divided] >> 2, blocks.y[divided] >> 2
    frame = np.arange(len(blocks.per_frame)).repeat(blocks.per_frame)[divided]
    block = (frame * (grid[0] * 4) + y) * (grid[1] * 4) + x
    block = block * 2 + blocks.ahead[divided]
    moving = np.zeros(int(block.max(initial=0)) // 2 * 2 + 2, dtype=bool)
    moving[block[~still]] = True
    filler: NDArray[np.intp] = divided[still & moving[block ^ 1]]
    return filler


def _split_large(records: np.ndarray) -> tuple[np.ndarray, NDArray[np.intp]]:
    """Cut blocks larger than a cell into cell-sized ones, so that each lies in one cell.

    Returns:
        The records, and for each the position of the one it was cut from.
    """
    parts, source = [], []
    for position, record in enumerate(records):
        width, height = int(record["w"]), int(record["h"])
        left, top = int(record["dst_x"]) - width // 2, int(record["dst_y"]) - height // 2
        for oy in range(0, height, CELL):
            for ox in range(0, width, CELL):
                part = np.array([record], RECORD)
                part["w"], part["h"] = min(CELL, width - ox), min(CELL, height - oy)
                part["dst_x"] = left + ox + min(CELL, width - ox) // 2
                part["dst_y"] = top + oy + min(CELL, height - oy) // 2
                parts.append(part)
                source.append(position)
    return np.concatenate(parts).astype(RECORD), np.array(source)
