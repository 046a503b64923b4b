"""Slow-only and I3D R50: costs, and published files against a second arithmetic."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pathways_by_frames import (
    Net,
    PySlowFast,
    PyTorchVideo,
    logits,
    probabilities_over_windows,
    random_state,
    shapes,
)

from vidskim.account import count
from vidskim.backbones import create_backbone, load_backbone
from vidskim.backbones.files.identify import identify
from vidskim.backbones.layouts import LAYOUTS
from vidskim.errors import CheckpointError

SLOW = Net(
    kernels=(((1,) * 3, (1,) * 4, (3,) * 6, (3,) * 3),),
    stem_kernels=(1,),
)
I3D = Net(
    kernels=(((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1)),),
    stem_kernels=(5,),
    time_pool=2,
)
I3D_NL = Net(
    kernels=I3D.kernels,
    stem_kernels=(5,),
    time_pool=2,
    attention={3: (1, 3), 4: (1, 3, 5)},
    softmax=True,
)
SLOW_NL = replace(SLOW, attention={3: (1, 3), 4: (1, 3, 5)})
PUBLISHED = [
    ("slow_r50_8x8", PySlowFast(SLOW)),
    ("slow_r50_8x8", PyTorchVideo(SLOW)),
    ("i3d_r50_8x8", PySlowFast(I3D)),
    ("i3d_r50_8x8", PyTorchVideo(I3D)),
    ("i3d_r50_8x8_nl", PySlowFast(I3D_NL)),
    # none is published, but anyone's runs of SLOW_NLN_4x16_R50 and SLOW_NLN_8x8_R50 are so named
    ("slow_r50_4x16_nl", PySlowFast(SLOW_NL)),
    ("slow_r50_8x8_nl", PySlowFast(SLOW_NL)),
]


def _label(value) -> str:
    return value if isinstance(value, str) else type(value).__name__


def _read(name, names, state):
    """Turn a narrow published state dict into our network, as `load_backbone` does a full one."""
    (layout,) = (found for found in LAYOUTS[name] if found.publisher == type(names).__name__)
    assert layout.matches(state)
    network = create_backbone(
        name, num_classes=names.net.num_classes, width=names.net.width, **layout.options
    )
    network.load_state_dict(layout.translate(state).tensors)
    return network.eval()


@pytest.mark.parametrize(("name", "names"), PUBLISHED, ids=_label)
def test_published_tensors_give_the_published_logits(name, names):
    state = random_state(names)
    network = _read(name, names, state)
    x = torch.randn(2, 3, 6, 64, 80)
    with torch.no_grad():
        ours, theirs = network(x), logits(names, state, x)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_larger_crop_is_scored_window_by_window():
    names = PySlowFast(SLOW)
    state = random_state(names)
    network = _read("slow_r50_8x8", names, state)
    network.head_window = (2, 2)
    x = torch.randn(1, 3, 4, 96, 128)  # a map of 3 x 4, 2 x 3 windows
    with torch.no_grad():
        ours = network(x).softmax(1)
        theirs = probabilities_over_windows(names, state, x, side=2)
        whole = logits(names, state, x).softmax(1)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(ours, whole, atol=1e-3)


@pytest.mark.parametrize(("name", "names"), PUBLISHED, ids=_label)
def test_full_networks_have_the_published_names_and_shapes(name, names):
    full = type(names)(replace(names.net, width=64))
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes(full)}
    found = identify(state, name=name, path=Path("net.pyth"))
    assert (found.name, found.publisher, found.share) == (name, type(names).__name__, 1)
    assert found.num_classes == names.net.num_classes


def test_a_pyth_file_is_read_whole(tmp_path):
    names = PyTorchVideo(replace(I3D, width=64))
    state = random_state(names)
    torch.save({"model_state": state, "epoch": 12}, tmp_path / "I3D_8x8_R50.pyth")
    network = load_backbone("i3d_r50_8x8", checkpoint=tmp_path / "I3D_8x8_R50.pyth")
    assert (network.name, network.num_classes) == ("i3d_r50_8x8", 5)
    x = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(x), logits(names, state, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "at_224", "at_256", "params"),
    [
        # Collaborative Memory, table 5, and Selective Feature Compression, table 2: 54.5
        ("slow_r50_8x8", 41_740_828_672, 54_520_840_192, 32_454_096),
        # counted on PySlowFast's own networks
        ("i3d_r50_8x8", 28_407_660_544, 37_106_089_984, 28_043_472),
        ("i3d_r50_8x8_nl", 36_535_369_728, 48_917_250_048, 35_401_936),
    ],
)
def test_costs_are_those_of_the_papers_and_of_pyslowfast(name, at_224, at_256, params):
    with torch.device("meta"):
        network = create_backbone(name)
    assert network.clip.input_shape == (1, 3, 8, 224, 224)
    counted = count(network, network.clip.input_shape)
    assert (counted.macs, counted.params) == (at_224, params)
    network.head_window = (7, 7)  # PySlowFast's head applies its layer at 2 x 2 places at 256
    assert count(network, (1, 3, 8, 256, 256)).macs == at_256


def attention_macs(channels: int, places: int, keys: int) -> int:
    """Four 1x1x1 convolutions between C and C / 2, products with the keys, sums of the values."""
    inside = channels // 2
    return 2 * (places + keys) * channels * inside + 2 * places * keys * inside


@pytest.mark.parametrize(
    ("name", "pool", "frames", "macs"),
    [
        ("slow_r50_4x16", "1x2x2", 4, 28_998_533_120),
        ("slow_r50_8x8", "1x2x2", 8, 63_975_620_608),
        ("slow_r50_4x16", "2x2x2", 4, 26_989_887_488),
        ("slow_r50_8x8", "2x2x2", 8, 56_968_642_560),
    ],
)
def test_non_local_blocks_cost_what_their_shapes_say(name, pool, frames, macs):
    with torch.device("meta"):
        plain, network = create_backbone(name), create_backbone(f"{name}_nl", nonlocal_pool=pool)
    assert str(network.clip) == str(plain.clip)
    without, counted = (count(net, net.clip.input_shape) for net in (plain, network))
    steps = frames // int(pool[0])
    res3 = attention_macs(512, frames * 28 * 28, steps * 14 * 14)
    res4 = attention_macs(1024, frames * 14 * 14, steps * 7 * 7)
    assert counted.macs == without.macs + 2 * res3 + 3 * res4 == macs
    # weights of the four convolutions, their biases, scale and shift of the norm
    weights = sum(n * (4 * c * c // 2 + 3 * c // 2 + 3 * c) for n, c in ((2, 512), (3, 1024)))
    assert counted.params == without.params + weights == 39_812_560


def test_keys_and_values_are_pooled_over_time_as_the_option_says():
    names = PySlowFast(replace(SLOW_NL, pool=(2, 2, 2)))
    state = random_state(names)
    x = torch.randn(1, 3, 8, 64, 64)
    for pool, equal in (("2x2x2", True), ("1x2x2", False)):
        network = create_backbone(
            "slow_r50_8x8_nl", num_classes=5, width=names.net.width, nonlocal_pool=pool
        )
        network.load_state_dict(LAYOUTS["slow_r50_8x8_nl"][0].translate(state).tensors)
        with torch.no_grad():
            ours, theirs = network.eval()(x), logits(names, state, x)
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4) == equal


def test_a_non_local_pyth_file_is_read_whole(tmp_path):
    names = PySlowFast(replace(SLOW_NL, width=64))
    state = random_state(names)
    path = tmp_path / "SLOW_NLN_8x8_R50.pyth"
    torch.save({"model_state": state, "epoch": 196}, path)
    network = load_backbone("slow_r50_8x8_nl", checkpoint=path)
    assert (network.num_classes, network.options["nonlocal_pool"]) == (5, "1x2x2")
    x = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(x), logits(names, state, x), rtol=1e-4, atol=1e-4)
    with pytest.raises(CheckpointError, match="fits slow_r50_4x16_nl, slow_r50_8x8_nl, which have"):
        load_backbone(checkpoint=path)
    with pytest.raises(CheckpointError, match=r"does not fit slow_r50_8x8: .* left over"):
        load_backbone("slow_r50_8x8", checkpoint=path)


def test_i3d_halves_time_after_res2():
    network = create_backbone("i3d_r50_8x8", width=8).eval()
    with torch.no_grad():
        assert network.features(torch.randn(1, 3, 9, 64, 96)).shape == (1, 256, 4, 2, 3)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("extra", ["stem.0.weight", "fc.weight"])
def test_a_tensor_in_our_own_names_hides_none_of_the_file(extra, first):
    state = {
        key: torch.empty(shape, device="meta")
        for key, shape in shapes(PySlowFast(replace(SLOW, width=64)))
    }
    like = {"stem.0.weight": (64, 3, 1, 7, 7), "fc.weight": (9, 2048)}[extra]
    beside = {extra: torch.empty(like, device="meta")}
    both = {**beside, **state} if first else {**state, **beside}
    with pytest.raises(CheckpointError, match=r"1 left over \(.* \(beside (stem|fc)\."):
        identify(both, name="slow_r50_8x8", path=Path("net.pyth"))


def test_a_network_is_not_said_to_look_like_one_with_the_same_tensors():
    state = {
        key: torch.empty(shape, device="meta")
        for key, shape in shapes(PySlowFast(replace(SLOW, width=64)))
    }
    del state["s2.pathway0_res0.branch2.a.weight"]
    with pytest.raises(CheckpointError, match="1 missing") as error:
        identify(state, name="slow_r50_8x8", path=Path("net.pyth"))
    assert "looks like" not in str(error.value)
    with pytest.raises(CheckpointError, match="looks like slow_r50_4x16 or slow_r50_8x8 or slow"):
        identify(state, name="i3d_r50_8x8", path=Path("net.pyth"))
