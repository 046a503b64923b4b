"""Records to maps, against plain loops."""

import numpy as np
import pytest

from vidskim.io.vectors import RECORD, block_offsets, motion_maps, turn_vectors


def records(*rows: tuple[int, int, int, int, int, float, float], scale: int = 4) -> np.ndarray:
    """Records from (source, w, h, left, top, motion x, motion y in pixels)."""
    out = np.zeros(len(rows), RECORD)
    for record, (source, w, h, left, top, x, y) in zip(out, rows):
        record["source"], record["w"], record["h"] = source, w, h
        record["dst_x"], record["dst_y"] = left + w // 2, top + h // 2
        record["motion_x"], record["motion_y"] = round(x * scale), round(y * scale)
        record["motion_scale"] = scale
    return out


def motion_map(rows: np.ndarray, *, grid: tuple[int, int], past: int, future: int):
    """The map of a single frame."""
    vectors, intra = motion_maps(
        [rows], grid=grid, past=np.array([past]), future=np.array([future])
    )
    return vectors[0], intra[0]


def random_macroblocks(seed: int, *, rows: int, columns: int) -> np.ndarray:
    """What FFmpeg would export for random macroblocks, some of them intra."""
    rng = np.random.default_rng(seed)
    shapes = [(16, 16), (16, 8), (8, 16), (8, 8)]
    out = []
    for top in range(0, rows * 16, 16):
        for left in range(0, columns * 16, 16):
            w, h = shapes[rng.integers(4)]
            for source in rng.permutation([-1, 1])[: rng.integers(3)]:
                for y in range(0, 16, h):
                    for x in range(0, 16, w):
                        motion = rng.integers(-3, 4, 2)
                        out.append((int(source), w, h, left + x, top + y, *motion.tolist()))
    return records(*out)


def map_by_loops(rows: np.ndarray, *, grid: tuple[int, int], past: int, future: int):
    """The definition, pixel by pixel."""
    height, width = grid[0] * 16, grid[1] * 16
    found = {
        (
            int(r["source"]) > 0,
            int(r["dst_x"]) - int(r["w"]) // 2,
            int(r["dst_y"]) - int(r["h"]) // 2,
        ): r
        for r in rows
    }
    total, weight = np.zeros((2, height, width)), np.zeros((height, width))
    covered = np.zeros((height, width), bool)
    for (ahead, left, top), r in found.items():
        where = (slice(top, top + int(r["h"])), slice(left, left + int(r["w"])))
        covered[where] = True
        vector = np.array([int(r["motion_x"]), int(r["motion_y"])]) / int(r["motion_scale"])
        twin = found.get((not ahead, left, top))
        moving_twin = twin is not None and (twin["motion_x"] != 0 or twin["motion_y"] != 0)
        if moving_twin and not vector.any() and (r["w"] < 16 or r["h"] < 16):
            continue
        vector = vector / future if ahead else -vector / past
        total[:, *where] += vector[:, None, None]
        weight[where] += 1

    def cells(pixels):
        return pixels.reshape(*pixels.shape[:-2], grid[0], 16, grid[1], 16).sum((-3, -1))

    return cells(total) / np.maximum(cells(weight), 1), 1 - cells(covered) / 256


@pytest.mark.parametrize("seed", range(5))
def test_map_equals_plain_loops(seed: int) -> None:
    rows = random_macroblocks(seed, rows=5, columns=7)
    vectors, intra = motion_map(rows, grid=(5, 7), past=3, future=2)
    expected, expected_intra = map_by_loops(rows, grid=(5, 7), past=3, future=2)
    np.testing.assert_allclose(vectors, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(intra, expected_intra, atol=1e-7)


def test_many_frames_at_once_equal_one_by_one() -> None:
    frames = [random_macroblocks(seed, rows=4, columns=3) for seed in range(4)]
    frames.insert(2, np.zeros(0, RECORD))
    past, future = np.array([1, 2, 3, 1, 4]), np.array([0, 1, 2, 3, 1])
    vectors, intra = motion_maps(frames, grid=(4, 3), past=past, future=future)
    assert vectors.shape == (5, 2, 4, 3)
    for n, rows in enumerate(frames):
        one = motion_map(rows, grid=(4, 3), past=int(past[n]), future=int(future[n]))
        np.testing.assert_array_equal(vectors[n], one[0])
        np.testing.assert_array_equal(intra[n], one[1])


def test_no_vectors_is_all_intra_and_zero_vectors_are_no_motion() -> None:
    vectors, intra = motion_map(np.zeros(0, RECORD), grid=(2, 3), past=1, future=0)
    assert vectors.shape == (2, 2, 3)
    assert not vectors.any()
    assert (intra == 1).all()
    still = records(*[(-1, 16, 16, x, y, 0, 0) for x in (0, 16, 32) for y in (0, 16)])
    vectors, intra = motion_map(still, grid=(2, 3), past=1, future=0)
    assert not vectors.any()
    assert (intra == 0).all()


def test_signs_and_distances() -> None:
    past = records((-1, 16, 16, 0, 0, -8, 4))  # taken from 8 pixels to the left: it moved right
    future = records(
        (1, 16, 16, 0, 0, 8, -4)
    )  # found again 8 pixels to the right: it will move right
    assert motion_map(past, grid=(1, 1), past=4, future=0)[0].ravel().tolist() == [2, -1]
    assert motion_map(future, grid=(1, 1), past=1, future=4)[0].ravel().tolist() == [2, -1]


def test_halves_count_by_area_and_blocks_outside_do_not_count() -> None:
    rows = records(
        (-1, 16, 8, 0, 0, -4, 0), (-1, 8, 8, 0, 8, 0, -8), (-1, 16, 16, 16, 0, 5, 5), scale=2
    )
    vectors, intra = motion_map(rows, grid=(1, 1), past=1, future=0)
    np.testing.assert_allclose(vectors.ravel(), [4 * 128 / 192, 8 * 64 / 192], rtol=1e-6)
    assert intra.item() == 0.25


def test_large_blocks_reach_every_cell_they_cover() -> None:
    vectors, intra = motion_map(records((-1, 64, 32, 0, 16, -2, 1)), grid=(4, 4), past=1, future=0)
    assert vectors[0].tolist() == [[0] * 4, [2] * 4, [2] * 4, [0] * 4]
    assert intra.tolist() == [[1] * 4, [0] * 4, [0] * 4, [1] * 4]


def test_offsets_lead_to_the_past_reference() -> None:
    rows = records(
        (-1, 16, 8, 0, 0, -4.25, 2),
        (1, 8, 8, 16, 0, 3, 0),
        (1, 8, 8, 24, 0, 3, 0),
        (-1, 8, 8, 24, 0, -5, 1),  # both directions: the past one counts
        (-1, 8, 8, 16, 0, 0, 0),  # filler
    )
    offsets = block_offsets(rows, grid=(1, 2), past=2, future=1)
    assert offsets[0].tolist() == [[-4.25, -4.25, -6, -5], [0, 0, 0, 0]]
    assert offsets[1].tolist() == [[2, 2, 0, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_turned_maps_turn_grid_and_vectors(rotation: int) -> None:
    # one cell in the upper left moves right; turned clockwise it moves down, left, up
    vectors = np.zeros((2, 2, 3), np.float32)
    vectors[0, 0, 0] = 1
    turned = turn_vectors(vectors, rotation=rotation)
    corner, direction = {
        0: ((0, 0), (1, 0)),
        90: ((0, 1), (0, 1)),
        180: ((1, 2), (-1, 0)),
        270: ((2, 0), (0, -1)),
    }[rotation]
    assert turned.shape == ((2, 2, 3) if rotation % 180 == 0 else (2, 3, 2))
    assert turned[:, *corner].tolist() == list(direction)
    assert np.count_nonzero(turned) == 1
