"""Every registered network keeps the contract: a registered backbone is a tested backbone."""

from fractions import Fraction

import pytest
import torch

from vidskim.account import count
from vidskim.backbones import (
    Backbone,
    ClipSpec,
    create_backbone,
    list_backbones,
    list_networks,
    split_at,
)
from vidskim.backbones.registry import VARIANTS
from vidskim.errors import UsageError

WIDTH = 8
NETWORKS = [(name, {}) for name in list_networks()] + [
    (name, options) for name, variants in VARIANTS.items() for options in variants if options
]
NETWORKS += [(name, {"in_channels": 2, "stem": "small"}) for name in ("resnet_18", "shufflenet_26")]


def _input(network, *, batch: int = 2) -> torch.Tensor:
    torch.manual_seed(1)
    if network.clip is None:
        return torch.randn(batch, network.options["in_channels"], 36, 44)
    return torch.randn(batch, 3, 16, 36, 44)


@pytest.fixture(params=NETWORKS, ids=lambda v: "-".join([v[0], *map(str, v[1].values())]))
def network(request):
    name, options = request.param
    torch.manual_seed(0)
    return create_backbone(name, num_classes=6, width=WIDTH, **options)


def test_keeps_the_contract(network):
    assert isinstance(network, Backbone)
    assert network.name in list_networks()
    assert (network.num_classes, network.classes) == (6, None)
    assert (network.clip is None) == (network.name not in list_backbones())
    assert (network.transform is None) == (network.clip is None)
    if network.clip is not None:
        assert network.transform.crop == network.clip.size


def test_forward_is_classify_of_features(network):
    x = _input(network)
    network.eval()
    with torch.no_grad():
        features = network.features(x)
        assert features.ndim == x.ndim
        assert features.shape[:2] == (2, network.num_features)
        logits = network(x)
        assert logits.shape == (2, 6)
        assert torch.equal(logits, network.classify(features))
        # the head reads the mean over the map
        mean = features.flatten(2).mean(-1)
        torch.testing.assert_close(logits, network.score(mean))


@pytest.mark.parametrize(
    ("name", "options", "shape", "expected"),
    [
        ("r3d_18", {}, (3, 9, 36, 44), (2, 3, 3)),
        ("mc3_18", {}, (3, 9, 36, 44), (9, 3, 3)),
        ("r2plus1d_18", {}, (3, 9, 36, 44), (2, 3, 3)),
        ("slow_r50_8x8", {}, (3, 5, 64, 96), (5, 2, 3)),
        ("resnet_18", {"in_channels": 3}, (3, 36, 44), (2, 2)),
        ("resnet_18", {"in_channels": 3, "stem": "small"}, (3, 36, 44), (5, 6)),
    ],
)
def test_time_and_space_shrink_as_documented(name, options, shape, expected):
    network = create_backbone(name, width=WIDTH, **options).eval()
    with torch.no_grad():
        assert tuple(network.features(torch.randn(1, *shape)).shape[2:]) == expected


def test_every_parameter_gets_a_gradient(network):
    with torch.no_grad():  # an untrained norm's scale is lost where one channel meets the next norm
        for p in network.parameters():
            if p.ndim == 1:
                p.add_(0.1 * torch.randn_like(p))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d) and not module.weight.any():
            torch.nn.init.ones_(module.weight)  # a branch that starts closed (non-local blocks)
    network(_input(network)).square().sum().backward()
    without = [
        name
        for name, p in network.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    assert without == []


def test_splits_at_every_stage(network):
    x = _input(network)
    network.eval()
    with torch.no_grad():
        whole = network.features(x)
        for stage in network.stages:
            early, late = split_at(network, stage)
            torch.testing.assert_close(late(early(x)), whole, rtol=0, atol=0)
    owned = {p.data_ptr() for part in network.stage_modules() for p in part.parameters()}
    for part_of in network.stages:
        parts = split_at(network, part_of)
        assert {p.data_ptr() for part in parts for p in part.parameters()} == owned


def test_a_wrong_stage_is_named(network):
    with pytest.raises(UsageError, match="'layer3': .*" + ", ".join(sorted(network.stages))):
        split_at(network, "layer3")


def test_a_new_head_fits_the_new_classes(network):
    x = _input(network)
    network.double().reset_classifier(3, classes=("a", "b", "c"))
    assert (network.num_classes, network.classes) == (3, ("a", "b", "c"))
    assert network(x.double()).shape == (2, 3)
    network.reset_classifier(4)
    assert network.classes is None
    with pytest.raises(UsageError, match="2 class names for 3 classes"):
        network.reset_classifier(3, classes=("a", "b"))
    with pytest.raises(UsageError, match="at least one class, got 0"):
        network.reset_classifier(0)


def test_options_build_the_same_network_again(network):
    again = create_backbone(network.name, num_classes=network.num_classes, **network.options)
    shapes, expected = ({k: v.shape for k, v in n.state_dict().items()} for n in (again, network))
    assert shapes == expected


def test_half_the_width_is_a_quarter_of_the_cost():
    with torch.device("meta"):
        full, half = (create_backbone("r3d_18", width=w) for w in (64, 32))
    stages = [split_at(n, "stem")[1] for n in (full, half)]
    costs = [count(s, (1, c, 8, 28, 28)).macs for s, c in zip(stages, (64, 32))]
    assert costs[0] == 4 * costs[1]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("r3d18", {}, "unknown backbone 'r3d18': did you mean 'r3d_18'"),
        ("r3d_18", {"widht": 8}, "unknown option of r3d_18 'widht': did you mean 'width'"),
        ("r3d_18", {"mid": "vmz"}, "unknown option of r3d_18 'mid'"),
        ("r3d_18", {"width": 0}, "width is at least one channel, got 0"),
        ("r3d_18", {"width": "8"}, "width of r3d_18 is a whole number, got '8'"),
        ("r3d_18", {"num_classes": 0}, "at least one class, got 0"),
        ("r3d_18", {"num_classes": 2.5}, "whole number, got 2.5"),
        ("r2plus1d_18", {"mid": "tv"}, "unknown mid 'tv'.*valid: torchvision, vmz"),
        ("resnet_18", {"stem": "tiny"}, "unknown stem 'tiny'.*valid: imagenet, small"),
        ("resnet_18", {"in_channels": 0}, "at least one, got 0"),
    ],
)
def test_wrong_names_and_options_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        create_backbone(name, **options)


def test_clip_specs_print_and_refuse():
    spec = ClipSpec(num_frames=16, stride=2, size=(112, 96))
    assert str(spec) == "16x2, 112x96 pixels"
    assert spec.input_shape == (1, 3, 16, 112, 96)
    assert spec.span == 32
    assert spec.joined(3) == ClipSpec(num_frames=48, stride=2, size=(112, 96))
    timed = ClipSpec(8, 1, (56, 56), Fraction(30000, 1001))
    assert str(timed) == "8x1 at 30000/1001 frames per second, 56x56 pixels"
    assert ClipSpec.from_dict(timed.to_dict()) == timed
    assert timed.joined(2).rate == timed.rate
    with pytest.raises(UsageError, match="got 0, 2"):
        spec.joined(0)
    for rate in (Fraction(0), Fraction(-1), 25, 25.0, "25/1"):
        with pytest.raises(UsageError, match="frames per second above zero, got"):
            ClipSpec(8, 1, (56, 56), rate)
    with pytest.raises(UsageError, match="got 0, 1"):
        ClipSpec(num_frames=0, stride=1, size=(112, 112))
    with pytest.raises(UsageError, match="got 8, 1, 'no'"):
        ClipSpec(num_frames=8, stride=1, size="no")
