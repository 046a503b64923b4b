"""Trained aggregators by name, as recipes and checkpoints call them."""

from typing import Any

from vidskim.errors import UsageError, unknown_name
from vidskim.model.aggregate.base import Learned
from vidskim.model.aggregate.concat import Concat
from vidskim.model.aggregate.fast_gru import FastGru
from vidskim.model.aggregate.pooled import Gru, Lstm
from vidskim.model.aggregate.trained_average import TrainedAverage

AGGREGATORS: dict[str, type[Learned]] = {
    "fast_gru": FastGru,
    "gru": Gru,
    "lstm": Lstm,
    "concat": Concat,
    "trained_average": TrainedAverage,
}
"""Aggregators that are trained, by the names that recipes and checkpoints use."""


def create_aggregator(name: str, *, channels: int, num_classes: int, **options: Any) -> Learned:
    """Build an aggregator.

    Args:
        name: of `AGGREGATORS`.
        channels: C of the maps it takes.
        num_classes: K.
        options: its own, such as ``reduction`` and ``dropout``.

    Raises:
        UsageError: an unknown name or option, or sizes that are none.
    """
    if name not in AGGREGATORS:
        raise unknown_name("aggregator", name, AGGREGATORS)
    try:
        return AGGREGATORS[name](channels, num_classes, **options)
    except TypeError:
        raise UsageError(f"aggregator {name} does not take all of {', '.join(options)}") from None
