"""Every network leaves Python by `torch.export` with a dynamic batch, and comes back equal."""

import io
from inspect import signature

import pytest
import torch
from torch.export import Dim

from vidskim.backbones import create_backbone, list_networks
from vidskim.backbones.registry import CLIP_BACKBONES, IMAGE_BACKBONES

BUILDERS = {**CLIP_BACKBONES, **IMAGE_BACKBONES}
FIRST_OF_FAMILY = {BUILDERS[name].__module__: name for name in reversed(list_networks())}
"""One network of each file runs by default, all of them in the slow run."""

NETWORKS = [
    pytest.param(name, marks=() if name in FIRST_OF_FAMILY.values() else pytest.mark.slow)
    for name in list_networks()
]


def small(name: str):
    """Build a network with few channels where it can have few."""
    options = {"width": 8} if "width" in signature(BUILDERS[name]).parameters else {}
    torch.manual_seed(0)
    return create_backbone(name, num_classes=6, **options).eval()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_network_answers_batches_of_any_size_alike(name):
    network = small(name)
    if network.clip is None:
        shape = (network.options.get("in_channels", 1), 64, 64)
    else:
        shape = (3, 16, 36, 44)
    example = torch.randn(2, *shape)
    with torch.no_grad():
        program = torch.export.export(
            network, (example,), dynamic_shapes=({0: Dim("batch", min=1)},)
        )
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    exported = torch.export.load(file).module()
    with torch.no_grad():
        for batch in (1, 2, 3):
            x = torch.randn(batch, *shape)
            expected = network(x)
            assert expected.shape == (batch, 6)
            assert expected.std() > 0
            torch.testing.assert_close(exported(x), expected, rtol=1e-5, atol=1e-5)
