"""Motion vectors of one frame to a map of motion: pure arithmetic on FFmpeg's records.

FFmpeg exports one record per block and direction. A record points from the block in the current
frame (``dst``) to where its pixels are taken from in another frame (``src``)::

    motion = src - dst      past reference (source < 0):   content moved by -motion
                            future reference (source > 0): content will move by +motion

so a displacement *per frame* needs the sign and the distance to the reference, which
`vidskim.io.references` estimates.
"""

import numpy as np

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


def motion_map(
    records: np.ndarray, *, grid: tuple[int, int], past: int, future: int
) -> tuple[np.ndarray, np.ndarray]:
    """Average the vectors of one frame over cells of 16x16 pixels, weighted by block area.

    Args:
        records: structured `RECORD` ``[R]``, possibly empty.
        grid: (h, w), the cells of the map.
        past: frames to the past reference, at least 1.
        future: frames to the future reference; 0 is taken as 1.

    Returns:
        Displacement of content (dx, dy) in pixels per frame, float32 ``[2, h, w]``, zero where a
        cell has no vector; and the share of each cell's area without any vector, float32
        ``[h, w]``.
    """
    rows, columns = grid
    cells = rows * columns
    records = _split_large(records)
    x, y = records["dst_x"].astype(np.int32), records["dst_y"].astype(np.int32)
    inside = (x >= 0) & (y >= 0) & (x < columns * CELL) & (y < rows * CELL)
    if not inside.all():
        records, x, y = records[inside], x[inside], y[inside]
    if len(records) == 0:
        return np.zeros((2, rows, columns), np.float32), np.ones((rows, columns), np.float32)
    cell = (y >> 4) * columns + (x >> 4)
    area = records["w"].astype(np.int32) * records["h"]
    ahead = records["source"] > 0
    motion_x, motion_y = records["motion_x"], records["motion_y"]
    # A macroblock exports all its blocks in each direction it uses, so the larger direction is the
    # union of both.
    covered = np.bincount(cell, weights=area * ~ahead, minlength=cells)
    if ahead.any():
        covered = np.maximum(covered, np.bincount(cell, weights=area * ahead, minlength=cells))
        area = area * ~_is_filler(records, columns=columns)
    sign_per_frame = np.where(ahead, 1.0 / max(future, 1), -1.0 / past)
    weight = area * sign_per_frame / records["motion_scale"]
    total = np.maximum(np.bincount(cell, weights=area, minlength=cells), 1.0)
    vectors = np.empty((2, cells), dtype=np.float32)
    vectors[0] = np.bincount(cell, weights=motion_x * weight, minlength=cells) / total
    vectors[1] = np.bincount(cell, weights=motion_y * weight, minlength=cells) / total
    intra = 1.0 - np.minimum(covered / (CELL * CELL), 1.0)
    return vectors.reshape(2, rows, columns), intra.astype(np.float32).reshape(rows, columns)


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
    records = _split_large(records)
    if len(records) and (records["source"] > 0).any():
        records = records[~_is_filler(records, columns=columns)]
    ahead = records["source"] > 0
    for chosen, stretch in ((ahead, -past / max(future, 1)), (~ahead, 1.0)):
        part = records[chosen]
        width, height = part["w"].astype(np.int32), part["h"].astype(np.int32)
        left, top = (part["dst_x"] - width // 2) >> 3, (part["dst_y"] - height // 2) >> 3
        x = part["motion_x"] * (stretch / part["motion_scale"])
        y = part["motion_y"] * (stretch / part["motion_scale"])
        for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
            at_x, at_y = left + right, top + down
            covers = (right * BLOCK < width) & (down * BLOCK < height)
            covers &= (at_x >= 0) & (at_y >= 0) & (at_x < columns) & (at_y < rows)
            offsets[0, at_y[covers], at_x[covers]] = x[covers]
            offsets[1, at_y[covers], at_x[covers]] = y[covers]
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


def _is_filler(records: np.ndarray, *, columns: int) -> np.ndarray:
    """Mark zero vectors that stand for "this block does not use this direction", bool ``[R]``.

    FFmpeg notes the directions of a macroblock as a whole: where one of its blocks uses only the
    past and another only the future, both are exported in both directions, filled up with zeros.
    On a pan up to half the past vectors of a B-frame are such. A zero of a divided macroblock is
    filler if the same block moves in the other direction.
    """
    ahead = records["source"] > 0
    moves = (records["motion_x"] != 0) | (records["motion_y"] != 0)
    divided = (records["w"] < CELL) | (records["h"] < CELL)
    block = (records["dst_y"].astype(np.int32) >> 2) * (columns * 4) + (records["dst_x"] >> 2)
    count = int(block.max()) + 1
    moving = np.zeros(2 * count, dtype=bool)
    moving[block[moves] + ahead[moves] * count] = True
    filler: np.ndarray = divided & ~moves & moving[block + ~ahead * count]
    return filler


def _split_large(records: np.ndarray) -> np.ndarray:
    """Cut blocks larger than a cell into cell-sized ones, so that each lies in one cell."""
    large = (records["w"] > CELL) | (records["h"] > CELL)
    if not large.any():
        return records
    parts = [records[~large]]
    for record in records[large]:
        width, height = int(record["w"]), int(record["h"])
        left, top = int(record["dst_x"]) - width // 2, int(record["dst_y"]) - height // 2
        for oy in range(0, height, CELL):
            for ox in range(0, width, CELL):
                part = np.array([record])
                part["w"], part["h"] = min(CELL, width - ox), min(CELL, height - oy)
                part["dst_x"] = left + ox + min(CELL, width - ox) // 2
                part["dst_y"] = top + oy + min(CELL, height - oy) // 2
                parts.append(part)
    return np.concatenate(parts)
