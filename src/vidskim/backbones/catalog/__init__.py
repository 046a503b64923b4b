"""Every published weight file of our networks that we know of, one module per publisher.

A record says where a file is, what its publisher tells of it and on which page. Of several weights
of a backbone the first one is its default: the network's own authors before others.
"""

from vidskim.backbones.catalog import (
    i3d,
    mmaction2,
    pyslowfast,
    pytorchvideo,
    torchvision,
    tpn,
    vmz,
)
from vidskim.backbones.catalog.record import Weights

PUBLISHERS = (torchvision, vmz, pyslowfast, pytorchvideo, mmaction2, tpn, i3d)
"""In order of preference: who made a network, then who trained it again; what must be fetched by
hand comes last but for the networks that nobody else has."""


def _by_backbone() -> dict[str, tuple[Weights, ...]]:
    found: dict[str, tuple[Weights, ...]] = {}
    for publisher in PUBLISHERS:
        for weights in publisher.WEIGHTS:
            found[weights.backbone] = (*found.get(weights.backbone, ()), weights)
    return {name: _measured_first(records) for name, records in found.items()}


def _measured_first(records: tuple[Weights, ...]) -> tuple[Weights, ...]:
    """Put weights that were only pretrained, without a published accuracy, behind the others."""
    return tuple(sorted(records, key=lambda weights: weights.top1 is None))


CATALOG = _by_backbone()
"""Backbone's name to its published weights, the default first."""
