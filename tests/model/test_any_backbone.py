"""A memory at the last map of every registered clip classifier, and what it adds to its cost."""

import pytest
import torch

from vidskim.account import count
from vidskim.backbones.registry import CLIP_BACKBONES, shapes_of
from vidskim.cost.model import OneClip
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.presets import memory, memory_channels

DEEP = ("101", "152", "_34", "16x", "32x", "4x16_nl")
"""Parts of the names of networks that differ from another one in depth or length alone."""
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if any(part in name for part in DEEP) else name
    for name in CLIP_BACKBONES
]


@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_takes_a_memory(name):
    """Its cost is the backbone's and, for a whole number of places P, P (3CD + 2DD) + DC."""
    backbone = shapes_of(name, num_classes=5)
    C = memory_channels(backbone)
    D = C // 4
    with torch.device("meta"):
        model = memory(backbone, CollaborativeMemory(C))
    shape = model.clip.input_shape
    added = count(OneClip(model), shape).macs - count(backbone, shape).macs
    places, rest = divmod(added - D * C, 3 * C * D + 2 * D * D)
    assert rest == 0
    assert places >= 1


def test_of_slowfast_it_is_the_slow_pathway():
    backbone = shapes_of("slowfast_r50_8x8")
    assert memory_channels(backbone) == 2048
    assert backbone.num_features == 2048 + 256
