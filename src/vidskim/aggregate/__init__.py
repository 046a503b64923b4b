"""The clips of a video to one answer: averages, maxima, concatenation, recurrent networks.

Every aggregator maps ``[B, N, C, T', H', W']`` to logits ``[B, K]`` at once, and takes the same
clips one after another (``start``, ``step``, ``read``) at constant memory; both give the same.
"""

from vidskim.aggregate.average import Average
from vidskim.aggregate.base import Learned
from vidskim.aggregate.concat import Concat
from vidskim.aggregate.create import AGGREGATORS, create_aggregator
from vidskim.aggregate.fast_gru import FastGru
from vidskim.aggregate.pooled import Gru, Lstm
from vidskim.aggregate.temporal_max import TemporalMax
from vidskim.aggregate.trained_average import TrainedAverage

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
