"""Non-local blocks added to a trained network: it answers as before, and nothing of it is lost."""

import pytest
import torch
from torch import nn

from vidskim.backbones import ClipSpec, create_backbone, load_backbone, save_backbone
from vidskim.backbones.grow import GROWN, add_nonlocal
from vidskim.backbones.nonlocal_block import NonlocalBlock
from vidskim.backbones.registry import CLIP_BACKBONES
from vidskim.errors import UsageError

CLASSES = ("run", "jump", "swim")


def _trained(name: str, **options):
    """A narrow network whose every tensor is another than it was at the start."""
    torch.manual_seed(0)
    network = create_backbone(name, num_classes=3, width=4, **options).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            module.num_batches_tracked += 7
    network.classes = CLASSES
    return network


def test_every_non_local_network_has_a_counterpart():
    assert set(GROWN) <= set(CLIP_BACKBONES)
    assert {f"{name}_nl" for name in GROWN} == {n for n in CLIP_BACKBONES if n.endswith("_nl")}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in GROWN),
        ("slowfast_r101_8x8", {"res4_kernels": "50_50", "fusion_kernel": 7}),
        ("r2plus1d_50", {"layout": "pytorchvideo"}),
    ],
)
def test_it_answers_as_before_until_it_is_trained(name, options):
    plain = _trained(name, **options)
    grown = add_nonlocal(plain, f"{name}_nl")
    assert grown.name == f"{name}_nl"
    blocks = [module for module in grown.modules() if isinstance(module, NonlocalBlock)]
    assert len(blocks) == (3 if "r101" in name or "r2plus1d" in name else 5)
    # a shared option keeps its value, even where the non-local network has another default
    assert {**grown.options, **plain.options, "layout": None} == {**grown.options, "layout": None}
    x = torch.randn(2, 3, 16, 48, 56)
    with torch.no_grad():
        before = plain(x)
        assert before.std(0).min() > 1e-4
        assert torch.equal(grown(x), before)
        for block in blocks:
            nn.init.ones_(block.norm.weight)
        assert not torch.equal(grown(x), before)
        assert torch.equal(plain(x), before)  # no tensor is shared


def test_what_is_around_the_weights_is_kept():
    plain = _trained("slow_r50_8x8").double()
    plain.clip = ClipSpec(6, 3, (64, 64))
    plain.head_window = (2, 2)
    grown = add_nonlocal(plain, "slow_r50_8x8_nl")
    assert (grown.classes, grown.num_classes) == (CLASSES, 3)
    assert (grown.clip, grown.transform) == (plain.clip, plain.transform)
    assert grown.head_window == (2, 2)
    assert not any(module.training for module in grown.modules())
    assert {p.dtype for p in grown.parameters()} == {torch.float64}
    assert add_nonlocal(plain.train(), "slow_r50_8x8_nl").training
    tracked = grown.state_dict()["layer1.0.conv1.1.num_batches_tracked"]
    assert tracked == 7


def test_a_grown_network_is_saved_and_read_as_any_other(tmp_path):
    save_backbone(_trained("slow_r50_8x8"), tmp_path / "plain.safetensors")
    grown = add_nonlocal(
        load_backbone(checkpoint=tmp_path / "plain.safetensors"), "slow_r50_8x8_nl"
    )
    save_backbone(grown, tmp_path / "grown.safetensors")
    again = load_backbone(checkpoint=tmp_path / "grown.safetensors")
    assert (again.name, again.classes) == ("slow_r50_8x8_nl", CLASSES)
    x = torch.randn(1, 3, 4, 48, 48)
    with torch.no_grad():
        assert torch.equal(again(x), grown(x))


@pytest.mark.parametrize(
    ("plain", "options", "name", "message"),
    [
        ("slow_r50_8x8", {}, "slow_r50_8x8_n", "unknown backbone .*did you mean 'slow_r50_8x8_nl'"),
        (
            "slow_r50_4x16",
            {},
            "slow_r50_8x8_nl",
            "slow_r50_8x8_nl is not slow_r50_4x16 with non-local blocks: name slow_r50_4x16_nl or "
            "give a slow_r50_8x8$",
        ),
        ("i3d_r50_8x8", {}, "slow_r50_8x8_nl", "name i3d_r50_8x8_nl or give a slow_r50_8x8$"),
        ("x3d_s", {}, "slow_r50_8x8_nl", "non-local blocks: give a slow_r50_8x8$"),
        ("slow_r50_8x8_nl", {}, "slow_r50_8x8_nl", "non-local blocks: give a slow_r50_8x8$"),
        ("slow_r50_8x8", {}, "slow_r50_8x8", "non-local blocks: name slow_r50_8x8_nl$"),
        ("x3d_s", {}, "x3d_m", "those that have such a form are .*slow_r50_8x8, "),
        (
            "i3d_r50_8x8",
            {"layout": "mmaction2"},
            "i3d_r50_8x8_nl",
            "i3d_r50_8x8_nl is made of i3d_r50_8x8 with layout='pyslowfast', this one has "
            "'mmaction2'",
        ),
        (
            "slowfast_r50_8x8",
            {"layout": "mmaction2"},
            "slowfast_r50_8x8_nl",
            "with layout='pyslowfast', this one has 'mmaction2'",
        ),
    ],
)
def test_what_is_no_counterpart_is_refused(plain, options, name, message):
    with torch.device("meta"):
        network = create_backbone(plain, width=8, **options)
    with pytest.raises(UsageError, match=message):
        add_nonlocal(network, name)
