"""The clips of a video to one answer: averages, maxima, concatenation, recurrent networks.

Every aggregator maps ``[B, N, C, T', H', W']`` to logits ``[B, K]`` at once, and takes the same
clips one after another (``start``, ``step``, ``read``) at constant memory; both give the same.
"""

from vidskim.model.aggregate.average import Average
from vidskim.model.aggregate.base import Learned
from vidskim.model.aggregate.concat import Concat
from vidskim.model.aggregate.create import AGGREGATORS, create_aggregator
from vidskim.model.aggregate.fast_gru import FastGru
from vidskim.model.aggregate.pooled import Gru, Lstm
from vidskim.model.aggregate.temporal_max import TemporalMax
from vidskim.model.aggregate.trained_average import TrainedAverage

__all__ = [
    "AGGREGATORS",
    "Average",
    "Concat",
    "FastGru",
    "Gru",
    "Learned",
    "Lstm",
    "TemporalMax",
    "TrainedAverage",
    "create_aggregator",
]
