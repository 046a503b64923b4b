"""Which videos a step holds: all of them different, each once in an epoch."""

import numpy as np
import pytest

from vidskim.train.batches.order import rows_of_step

SIZES = [
    (1, 1),
    (2, 1),
    (5, 3),
    (5, 4),
    (7, 3),
    (7, 5),
    (8, 8),
    (9, 6),
    (20, 19),
    (23, 6),
    (64, 27),
]
"""(rows, videos per step), with and without rows for two steps."""


def drawn(num_rows: int, batch_size: int, *, seed: int = 0) -> np.ndarray:
    """The rows of many steps ``[steps, batch_size]``: all ways in which an epoch can begin."""
    steps = 3 * (num_rows + batch_size)
    return np.stack(
        [rows_of_step(s, num_rows=num_rows, batch_size=batch_size, seed=seed) for s in range(steps)]
    )


@pytest.mark.parametrize(("num_rows", "batch_size"), SIZES)
@pytest.mark.parametrize("seed", [0, 5])
def test_the_videos_of_a_step_differ(num_rows, batch_size, seed):
    for rows in drawn(num_rows, batch_size, seed=seed).tolist():
        assert len(set(rows)) == batch_size


@pytest.mark.parametrize(("num_rows", "batch_size"), [*SIZES, (3, 8), (1, 2)])
def test_an_epoch_holds_every_video_once(num_rows, batch_size):
    """Each step is asked for by itself, as a run does that goes on: an order holds all the same."""
    flat = drawn(num_rows, batch_size).ravel()
    epochs = flat[: len(flat) // num_rows * num_rows].reshape(-1, num_rows)
    assert (np.sort(epochs, axis=1) == np.arange(num_rows)).all()


def test_an_epoch_is_shuffled_anew_and_by_the_seed():
    epochs = drawn(23, 6).ravel()[: 23 * 4].reshape(4, 23)
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 4
    assert not np.array_equal(drawn(23, 6), drawn(23, 6, seed=1))
    firsts = [int(drawn(23, 6, seed=seed)[4, 0]) for seed in range(60)]
    assert len(set(firsts)) > 15  # of the step that ends one epoch and begins the next


def test_a_late_step_does_not_take_long():
    """Epochs before are not gone through: a million of them would take minutes."""
    rows = rows_of_step(10**9, num_rows=5000, batch_size=64, seed=0)
    assert len(set(rows.tolist())) == 64
    assert len(set(rows_of_step(10**9, num_rows=101, batch_size=100, seed=0).tolist())) == 100
