"""The audio networks: the counts that are known, and a second formulation on matrices."""

import pytest
import torch
from torch.nn.functional import unfold

from vidskim.account import count
from vidskim.backbones import create_backbone
from vidskim.cost.model import cost_of


def _convolved(x, weight, bias=None):
    """3x3 convolution as one matrix product over patches."""
    patches = unfold(x, 3, padding=1)  # [N, 9 C, H W]
    out = (weight.flatten(1) @ patches).unflatten(2, x.shape[2:])
    return out if bias is None else out + bias[:, None, None]


def _halved(x):
    """Largest of each 2x2, an odd last row or column left out."""
    H, W = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    x = x[..., :H, :W]
    rows = torch.maximum(x[..., ::2, :], x[..., 1::2, :])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


def test_vggish_equals_matrix_products():
    torch.manual_seed(0)
    network = create_backbone("vggish", num_classes=5, width=4).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    state = network.state_dict()
    window = torch.randn(2, 1, 40, 200)
    x = window
    for stage, places in (("conv1", [0]), ("conv2", [0]), ("conv3", [0, 2]), ("conv4", [0, 2])):
        for i in places:
            weight, bias = (state[f"{stage}.{i}.{part}"] for part in ("weight", "bias"))
            x = _convolved(x, weight, bias).clamp_min(0)
        x = _halved(x)
    assert x.shape == (2, 32, 2, 12)
    x = x.reshape(2, -1)
    for i in (0, 2, 4):
        x = x @ state[f"embedding.layers.{i}.weight"].T + state[f"embedding.layers.{i}.bias"]
        x = x.clamp_min(0)
    expected = x @ state["fc.weight"].T + state["fc.bias"]
    with torch.no_grad():
        torch.testing.assert_close(network(window), expected, rtol=1e-4, atol=1e-5)
        assert network.features(window).shape == (2, 8, 1, 1)
    assert expected.std() > 1e-3


def test_l3_equals_matrix_products():
    torch.manual_seed(0)
    network = create_backbone("l3_audio", num_classes=5, width=4)
    for _ in range(3):
        network(torch.randn(4, 1, 24, 33))  # running statistics that are not 0 and 1
    network.eval()
    state = network.state_dict()
    window = torch.randn(2, 1, 40, 200)
    x = window
    for stage in range(1, 5):
        x = x if stage == 1 else _halved(x)
        first = 0 if stage == 1 else 1
        for i in (first, first + 3):
            x = _convolved(x, state[f"conv{stage}.{i}.weight"])
            mean, var, gain, shift = (
                state[f"conv{stage}.{i + 1}.{part}"][:, None, None]
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            x = ((x - mean) / (var + 1e-5).sqrt() * gain + shift).clamp_min(0)
    expected = x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]
    with torch.no_grad():
        torch.testing.assert_close(network(window), expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 1e-3


@pytest.mark.parametrize(
    ("name", "macs", "params_without_head"),
    # By hand: convolutions (and fully connected layers) at 40x200, 20x100, 10x50, 5x25 (2x12).
    [
        (
            "vggish",
            8000 * 9 * 64
            + 2000 * 9 * 64 * 128
            + 500 * 9 * (128 * 256 + 256 * 256)
            + 125 * 9 * (256 * 512 + 512 * 512)
            + 12288 * 4096
            + 4096 * 4096
            + 4096 * 128,
            72_141_184,
        ),
        (
            "l3_audio",
            8000 * 9 * (64 + 64 * 64)
            + 2000 * 9 * (64 * 128 + 128 * 128)
            + 500 * 9 * (128 * 256 + 256 * 256)
            + 125 * 9 * (256 * 512 + 512 * 512),
            4_686_144,
        ),
    ],
)
def test_costs_on_the_window_of_the_paper(name, macs, params_without_head):
    counted = cost_of(name)
    assert counted.input_shape == (1, 1, 40, 200)
    with torch.device("meta"):
        head = create_backbone(name).fc
    assert counted.macs == macs + head.weight.numel()
    assert counted.params == params_without_head + head.weight.numel() + 400


def test_windows_of_another_length_are_taken_too():
    with torch.device("meta"):
        for name in ("vggish", "l3_audio"):
            network = create_backbone(name, num_classes=3, width=8)
            assert count(network, (2, 1, 64, 96)).input_shape == (2, 1, 64, 96)
            assert network(torch.empty(2, 1, 64, 96)).shape == (2, 3)
