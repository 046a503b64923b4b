"""ShuffleNet against a second formulation: channels picked by index, groups convolved apart."""

import pytest
import torch
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, linear, max_pool2d

from vidskim.account import count
from vidskim.backbones import create_backbone, save_backbone
from vidskim.errors import CheckpointError
from vidskim.look.open import open_sampler
from vidskim.video import Video

GROUPS = 3


def _normed(state, key, x):
    mean, var = state[f"{key}.running_mean"], state[f"{key}.running_var"]
    return batch_norm(x, mean, var, state[f"{key}.weight"], state[f"{key}.bias"], eps=1e-5)


def _grouped(x, weight):
    """Convolve each group of channels by itself."""
    inputs, filters = x.chunk(GROUPS, dim=1), weight.chunk(GROUPS)
    return torch.cat([conv2d(a, w) for a, w in zip(inputs, filters, strict=True)], dim=1)


def _shuffled(x):
    """Place j of the result is channel j % groups of the j // groups-th of each group."""
    per_group = x.shape[1] // GROUPS
    return x[:, [(j % GROUPS) * per_group + j // GROUPS for j in range(x.shape[1])]]


def _unit(state, key, x, *, first_of_network, first_of_stage):
    weight = state[f"{key}.reduce.0.weight"]
    out = conv2d(x, weight) if first_of_network else _grouped(x, weight)
    out = _shuffled(_normed(state, f"{key}.reduce.1", out).clamp_min(0))
    stride = 2 if first_of_stage else 1
    weight = state[f"{key}.depthwise.0.weight"]
    planes = [
        conv2d(out[:, c : c + 1], weight[c : c + 1], stride=stride, padding=1)
        for c in range(out.shape[1])
    ]
    out = _normed(state, f"{key}.depthwise.1", torch.cat(planes, dim=1))
    out = _normed(state, f"{key}.expand.1", _grouped(out, state[f"{key}.expand.0.weight"]))
    if first_of_stage:
        return torch.cat((avg_pool2d(x, 3, stride=2, padding=1), out), dim=1).clamp_min(0)
    return (x + out).clamp_min(0)


def _reference(state, x, *, depths, small):
    x = conv2d(x, state["stem.0.weight"], stride=1 if small else 2, padding=1)
    x = _normed(state, "stem.1", x).clamp_min(0)
    if not small:
        x = max_pool2d(x, 3, stride=2, padding=1)
    for i, depth in enumerate(depths):
        for j in range(depth):
            x = _unit(
                state,
                f"stage{i + 2}.{j}",
                x,
                first_of_network=i == j == 0,
                first_of_stage=j == 0,
            )
    return linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize(
    ("name", "depths", "options", "shape"),
    [
        ("shufflenet_26", (2, 4, 2), {}, (3, 61, 80)),
        ("shufflenet_26", (2, 4, 2), {"in_channels": 2, "stem": "small", "width": 24}, (2, 9, 14)),
        ("shufflenet_50", (4, 8, 4), {"width": 16}, (3, 64, 64)),
    ],
)
def test_equals_channels_picked_by_index_and_groups_convolved_apart(name, depths, options, shape):
    torch.manual_seed(0)
    network = create_backbone(name, num_classes=7, **options).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
    x = torch.randn(2, *shape)
    with torch.no_grad():
        expected = _reference(
            network.state_dict(), x, depths=depths, small=options.get("stem") == "small"
        )
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 0.01


@pytest.mark.parametrize(
    ("name", "macs", "params"),
    # ShuffleNet's own table: 38 MFLOPs at 0.5x with three groups; 26 layers have half the units.
    [("shufflenet_50", 37_589_856, 718_324), ("shufflenet_26", 21_584_496, 586_984)],
)
def test_costs_what_the_paper_says_with_its_thousand_classes(name, macs, params):
    with torch.device("meta"):
        network = create_backbone(name, num_classes=1000)
    counted = count(network, (1, 3, 224, 224))
    assert (counted.macs, counted.params) == (macs, params)


def test_has_the_layers_it_is_named_for():
    for name, layers in (("shufflenet_26", 26), ("shufflenet_50", 50)):
        with torch.device("meta"):
            network = create_backbone(name)
        parts = (torch.nn.Conv2d, torch.nn.Linear)
        assert sum(isinstance(module, parts) for module in network.modules()) == layers


@pytest.mark.parametrize(
    ("width", "channels"),
    [(64, (12, 120, 240, 480)), (128, (24, 240, 480, 960)), (1, (3, 12, 24, 48))],
)
def test_width_scales_all_channels_in_whole_groups(width, channels):
    with torch.device("meta"):
        network = create_backbone("shufflenet_26", width=width)
        x, found = torch.empty(1, 3, 64, 64), []
        for stage in network.stage_modules():
            x = stage(x)
            found.append(x.shape[1])
    assert tuple(found) == channels


def test_the_small_stem_keeps_maps_of_few_cells():
    with torch.device("meta"):
        small = create_backbone("shufflenet_26", in_channels=2, stem="small").eval()
        assert small.features(torch.empty(1, 2, 14, 14)).shape == (1, 480, 2, 2)
        large = create_backbone("shufflenet_26", in_channels=2).eval()
        assert large.features(torch.empty(1, 2, 14, 14)).shape == (1, 480, 1, 1)


def test_is_a_sampler_like_any_other_network_on_maps(sample_video, tmp_path):
    torch.manual_seed(0)
    network = create_backbone("shufflenet_26", num_classes=3, in_channels=2, width=8, stem="small")
    network.fc.weight.data *= 30
    save_backbone(network, tmp_path / "look.safetensors", metadata={"map_size": [6, 8]})
    saliency = open_sampler(str(tmp_path / "look.safetensors"))
    assert saliency.visual[0].source.size == (6, 8)
    video = Video(sample_video)
    clips = video.clips(num_frames=16, stride=4)
    scores = saliency(video, clips)
    assert scores.shape == (len(clips),)
    assert scores.min() > 1 / 3
    assert scores.std() > 0


def test_audio_and_image_networks_are_no_samplers_of_motion(tmp_path):
    for name, channels in (("shufflenet_26", 3), ("l3_audio", 1)):
        save_backbone(create_backbone(name, num_classes=3, width=8), tmp_path / "x.safetensors")
        with pytest.raises(CheckpointError, match=f"takes {channels} channels, motion input has 2"):
            open_sampler(str(tmp_path / "x.safetensors"))
