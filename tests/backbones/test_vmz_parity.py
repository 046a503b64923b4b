"""R(2+1)D-34, -152 and channel-separated networks beside VMZ's, made of torchvision's classes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vidskim.backbones import create_backbone, load_backbone
from vidskim.backbones.bottleneck3d import BottleneckNetwork
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.csn import IP_152, IR_152
from vidskim.backbones.files.identify import identify
from vidskim.backbones.r2plus1d import VMZ_R152, factorized_pool_stem
from vidskim.clips.transform import Transform

pytest.importorskip("torchvision", reason="the oracle: make oracle")

from vmz_networks import KINDS, vmz_network

SHALLOW = (2, 1, 1, 1)
CLIP = (2, 3, 9, 56, 60)


def _assert_same(ours, theirs) -> None:
    x = torch.randn(CLIP)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4 * float(expected.std()))
    assert expected.std(0).min() > 0


@pytest.mark.parametrize("name", KINDS)
def test_names_and_shapes_are_vmz_s(name):
    with torch.device("meta"):
        theirs = vmz_network(name, num_classes=359).state_dict()
    found = identify(theirs, name=None, path=Path("x.pth"))
    assert (found.name, found.num_classes) == (name, 359)
    with torch.device("meta"):
        ours = create_backbone(name, num_classes=359, **found.options).state_dict()
    assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in theirs.items()]


@pytest.mark.parametrize(
    ("name", "plan", "pool"),
    [
        ("r2plus1d_152", VMZ_R152, False),
        ("r2plus1d_152", replace(VMZ_R152, stem=factorized_pool_stem), True),
        ("ir_csn_152", IR_152, True),
        ("ip_csn_152", IP_152, True),
    ],
)
def test_bottleneck_networks_give_vmz_s_logits(name, plan, pool):
    """Fewer blocks of each kind: a first one with and one without a stride, and one more."""
    torch.manual_seed(0)
    theirs = vmz_network(name, depths=SHALLOW, pool=pool, num_classes=11)
    ours = BottleneckNetwork(
        name,
        plan=replace(plan, depths=SHALLOW),
        num_classes=11,
        width=64,
        clip=ClipSpec(8, 1, (56, 60)),
        transform=Transform(),
        options={},
    ).eval()
    ours.load_state_dict(theirs.state_dict())
    _assert_same(ours, theirs)


@pytest.mark.parametrize("name", ["ir_csn_101", "r2plus1d_34"])
def test_whole_files_give_vmz_s_logits(name, tmp_path):
    torch.manual_seed(0)
    theirs = vmz_network(name, num_classes=11)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = load_backbone(name, checkpoint=tmp_path / "theirs.pth")
    assert ours.num_classes == 11
    _assert_same(ours, theirs)
