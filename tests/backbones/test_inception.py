"""I3D: the two public ports by their own names and paddings, in another arithmetic."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import pytest
import torch
from by_taps import File, max_pool
from torch import Tensor

from vidskim.account import count
from vidskim.backbones import create_backbone, load_backbone
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.inception import average_windows
from vidskim.errors import CheckpointError, UsageError

CLASSES = 5

GOOGLENET = {  # Szegedy et al. 2015, table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj
    "3b": "64 96 128 16 32 32",
    "3c": "128 128 192 32 96 64",
    "4b": "192 96 208 16 48 64",
    "4c": "160 112 224 24 64 64",
    "4d": "128 128 256 24 64 64",
    "4e": "112 144 288 32 64 64",
    "4f": "256 160 320 32 128 128",
    "5b": "256 160 320 32 128 128",
    "5c": "384 192 384 48 128 128",
}
POOLS = {"3b": ((1, 3, 3), (1, 2, 2)), "4b": ((3, 3, 3), (2, 2, 2)), "5b": ((2, 2, 2), (2, 2, 2))}


@dataclass(frozen=True, kw_only=True)
class Port:
    """What a port calls the parts of a unit and of a block, and how it pads."""

    conv: str
    mixed: str
    norm: str
    branches: tuple[str, ...]
    head: str
    counters: bool
    padding: str


PIERGIAJ = Port(
    conv="Conv3d_",
    mixed="Mixed_",
    norm="bn",
    branches=("b0", "b1a", "b1b", "b2a", "b2b", "b3b"),
    head="logits",
    counters=False,
    padding="same",
)
HASSONY2 = Port(
    conv="conv3d_",
    mixed="mixed_",
    norm="batch3d",
    branches=(
        "branch_0",
        "branch_1.0",
        "branch_1.1",
        "branch_2.0",
        "branch_2.1",
        "branch_3.1",
    ),
    head="conv3d_0c_1x1",
    counters=True,
    padding="fixed",
)
PORTS = {"piergiaj": PIERGIAJ, "hassony2": HASSONY2}


def _ends(size: int, k: int, s: int, *, exact: bool) -> tuple[int, int]:
    """TensorFlow's rule for SAME, or what it gives for a size of whole strides."""
    total = max((ceil(size / s) - 1) * s + k - size, 0) if exact else k - s
    return total // 2, total - total // 2


def _pool(port: Port, x: Tensor, kernel, stride) -> Tensor:
    exact = port.padding == "same"
    pads = [_ends(n, k, s, exact=exact) for n, k, s in zip(x.shape[2:], kernel, stride)]
    sizes = [ceil(n / s) for n, s in zip(x.shape[2:], stride)]
    beyond = [(before, after + s) for (before, after), s in zip(pads, stride)]
    return max_pool(x, kernel, stride=stride, pads=beyond, count=sizes)


def _unit(file: File, port: Port, name: str, x: Tensor, channels: int, k: int) -> Tensor:
    return file.norm(f"{name}.{port.norm}", file.conv(f"{name}.conv3d", x, channels, (k, k, k)))


def last_map(file: File, port: Port, x: Tensor) -> Tensor:
    """Run I3D by a port's names up to the last map."""
    name = f"{port.conv}1a_7x7"
    exact = (True, port.padding == "same", port.padding == "same")
    pads = [_ends(n, 7, 2, exact=e) for n, e in zip(x.shape[2:], exact)]
    x = file.conv(f"{name}.conv3d", x, 64, (7, 7, 7), stride=(2, 2, 2), pads=pads)
    x = _pool(port, file.norm(f"{name}.{port.norm}", x), (1, 3, 3), (1, 2, 2))
    x = _unit(file, port, f"{port.conv}2b_1x1", x, 64, 1)
    x = _unit(file, port, f"{port.conv}2c_3x3", x, 192, 3)
    for block, row in GOOGLENET.items():
        if block in POOLS:
            x = _pool(port, x, *POOLS[block])
        sizes = [int(n) for n in row.split()]
        b0, b1, b1_out, b2, b2_out, b3 = (f"{port.mixed}{block}.{b}" for b in port.branches)
        parts = [_unit(file, port, b0, x, sizes[0], 1)]
        for inner, outer, c, c_out in ((b1, b1_out, *sizes[1:3]), (b2, b2_out, *sizes[3:5])):
            y = _unit(file, port, inner, x, c, 1)
            parts.append(_unit(file, port, outer, y, c_out, 3))
        around = max_pool(x, (3, 3, 3), stride=(1, 1, 1))
        parts.append(_unit(file, port, b3, around, sizes[5], 1))
        x = torch.cat(parts, 1)
    return x


def logits_over_windows(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Classify each window of 2x7x7, or what there is of it, and average the logits."""
    T, H, W = features.shape[2:]
    t, h, w = min(T, 2), min(H, 7), min(W, 7)
    found = [
        features[:, :, i : i + t, j : j + h, k : k + w].mean((2, 3, 4)) @ weight.T + bias
        for i in range(T - t + 1)
        for j in range(H - h + 1)
        for k in range(W - w + 1)
    ]
    return torch.stack(found).mean(0)


def _published(port: Port, x: Tensor, path: Path) -> Tensor:
    """Write a port's file and return what the port answers to clips."""
    file = File(eps=1e-3, counters=port.counters)
    features = last_map(file, port, x)
    weight = file.draw(f"{port.head}.conv3d.weight", (CLASSES, 1024, 1, 1, 1)).flatten(1)
    expected = logits_over_windows(
        features, weight, file.draw(f"{port.head}.conv3d.bias", (CLASSES,))
    )
    torch.save(file.state, path)
    return expected


@pytest.mark.parametrize("port", PORTS)
def test_a_ports_file_gives_its_logits(port, tmp_path):
    # 17 frames leave three time steps, so that the windows of the head overlap; all sides are odd
    x = torch.randn(1, 3, 17, 49, 61, generator=torch.Generator().manual_seed(1))
    expected = _published(PORTS[port], x, tmp_path / "rgb.pt")
    ours = load_backbone(checkpoint=tmp_path / "rgb.pt")
    assert (ours.name, ours.options["padding"]) == ("i3d_rgb", PORTS[port].padding)
    with torch.no_grad():
        features = ours.features(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4 * expected.abs().max())
        plain = ours.score(features.mean((2, 3, 4)))
    assert features.shape[2] == 3
    assert (plain - expected).abs().max() > 0.01 * expected.abs().max()


def test_the_ports_differ_on_odd_sides_only():
    same, fixed = (
        create_backbone("i3d_rgb", num_classes=2, width=8, padding=padding).eval()
        for padding in ("same", "fixed")
    )
    fixed.load_state_dict(same.state_dict())
    whole, odd, wide = (torch.randn(1, 3, 16, 64, width) for width in (96, 95, 97))
    with torch.no_grad():
        assert torch.equal(same.features(whole), fixed.features(whole))
        difference = (same.features(odd) - fixed.features(odd)).abs().max()
        sizes = [tuple(network.features(wide).shape[2:]) for network in (same, fixed)]
    assert difference > 1e-3
    assert sizes == [(2, 2, 4), (2, 2, 3)]  # TensorFlow rounds up


def test_the_head_averages_windows():
    torch.manual_seed(0)
    weight, bias = torch.randn(4, 6), torch.randn(4)
    for shape in ((8, 7, 7), (3, 8, 10), (1, 9, 7), (2, 4, 7)):
        features = torch.rand(2, 6, *shape)
        expected = logits_over_windows(features, weight, bias)
        ours = average_windows(features) @ weight.T + bias
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    # eight steps make seven windows: the first and the last count half
    steps = torch.tensor([1.0, 2, 2, 2, 2, 2, 2, 1]) / 14
    features = torch.rand(2, 6, 8, 7, 7)
    expected = (features.mean((3, 4)) * steps).sum(2)
    torch.testing.assert_close(average_windows(features), expected)


def test_a_sliding_head_can_be_asked_for():
    network = create_backbone("i3d_rgb", num_classes=3, width=8).eval()
    features = torch.rand(2, network.num_features, 3, 2, 4)
    network.head_window = (2, 2)
    scores = [network.score(features[..., k : k + 2].mean((2, 3, 4))) for k in range(3)]
    expected = torch.stack([s.softmax(1) for s in scores]).mean(0)
    torch.testing.assert_close(network.classify(features).softmax(1), expected)


def test_cost_and_preparation():
    with torch.device("meta"):
        network = create_backbone("i3d_rgb")
    counted = count(network, (1, 3, 64, 224, 224))
    # published: 108 G (FASTER, table 7), 12.7 M parameters (SCSampler)
    assert (counted.macs, counted.params) == (111_150_686_208, 12_697_264)
    assert network.clip == ClipSpec(64, 1, (224, 224))
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None]
    frames = black_and_white.expand(2, 3, 256, 256)  # [T, C, H, W]
    inputs = network.transform(frames)
    assert (inputs.shape, inputs.min(), inputs.max()) == ((3, 2, 224, 224), -1, 1)


def test_what_is_wrong_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"unknown padding 'valid'.*valid: fixed, same"):
        create_backbone("i3d_rgb", padding="valid")
    x = torch.randn(1, 3, 9, 33, 33)
    path = tmp_path / "rgb.pt"
    _published(PIERGIAJ, x, path)
    state = torch.load(path)
    state["Mixed_4c.b2c.conv3d.weight"] = state.pop("Mixed_4c.b2b.conv3d.weight")
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"missing .*left over \(Mixed_4c\.b2c\.conv3d"):
        load_backbone("i3d_rgb", checkpoint=path)
