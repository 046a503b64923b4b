"""Which rows a step of training takes: a function of its number and the seed alone.

So a run goes on in the middle of an epoch, and several processes share a step, without a word
between them.
"""

import math

import numpy as np


def rows_of_step(step: int, *, num_rows: int, batch_size: int, seed: int) -> np.ndarray:
    """Return the rows of a step, ``[batch_size]``: one shuffled pass after another, no gaps.

    The rows of a step all differ, also where it ends one pass and begins the next: what is in the
    step already comes later in the pass that begins. A step of more rows than there are takes them
    as they come.

    Args:
        step: counted from 0.
        num_rows: of an epoch.
        batch_size: of all processes.
        seed: decides the order.
    """
    first = step * batch_size
    epochs = range(first // num_rows, (first + batch_size - 1) // num_rows + 1)
    if batch_size > num_rows:
        order = [_shuffled(epoch, num_rows=num_rows, seed=seed) for epoch in epochs]
    else:
        order = _orders(epochs, num_rows=num_rows, batch_size=batch_size, seed=seed)
    offset = first - epochs[0] * num_rows
    return np.asarray(np.concatenate(order)[offset : offset + batch_size])


def _shuffled(epoch: int, *, num_rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 0, epoch]).permutation(num_rows)


def _orders(epochs: range, *, num_rows: int, batch_size: int, seed: int) -> list[np.ndarray]:
    """Return the order ``[num_rows]`` of each epoch, its first rows not in the step they end.

    With rows for two steps or more an epoch's last rows, those of the step that it shares with the
    next one, are never moved: they are known without the epochs before. With fewer they may be
    moved, and all epochs are gone through since the last one that began together with a step.
    """
    is_fixed = num_rows >= 2 * batch_size
    begin = max(0, epochs[0] - 1)
    if not is_fixed:
        begin = epochs[0] - epochs[0] % (batch_size // math.gcd(num_rows, batch_size))
    orders: list[np.ndarray] = []
    for epoch in range(begin, epochs[-1] + 1):
        order = _shuffled(epoch, num_rows=num_rows, seed=seed)
        shared = epoch * num_rows % batch_size  # rows of the epoch before in this one's first step
        if shared and orders:
            stays = (epoch + 1) * num_rows % batch_size if is_fixed else 0
            order = _later(order, orders[-1][-shared:], room=batch_size - shared, stays=stays)
        orders.append(order)
    return orders[epochs[0] - begin :]


def _later(order: np.ndarray, rows: np.ndarray, *, room: int, stays: int) -> np.ndarray:
    """Keep some rows out of the first ``room`` places, and leave the last ``stays`` as they are."""
    end = len(order) - stays
    first = np.flatnonzero(~np.isin(order[:end], rows))[:room]
    return np.concatenate([order[first], np.delete(order, first)])
