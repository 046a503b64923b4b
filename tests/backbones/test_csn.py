"""Channel-separated networks: costs, and mmaction2's and PyTorchVideo's files."""

from pathlib import Path

import pytest
import torch
from bottleneck_by_frames import Layer, Net, logits, random_state

from vidskim.account import count
from vidskim.backbones import create_backbone, load_backbone
from vidskim.backbones.files.identify import identify
from vidskim.errors import UsageError

DEPTHS = {"ir_csn_101": (3, 4, 23, 3), "ir_csn_152": (3, 8, 36, 3), "ip_csn_152": (3, 8, 36, 3)}


@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [
        ("ir_csn_101", 73_754_116_096, 22_213_776),  # PyTorchVideo's model zoo: 22.21 M
        ("ir_csn_152", 96_713_211_904, 29_703_568),  # VMZ's model zoo: 96.7 GFLOPs, 29.6 M
        ("ip_csn_152", 108_792_807_424, 33_016_592),  # VMZ's model zoo: 108.8 GFLOPs, 32.8 M
    ],
)
def test_costs_are_those_of_the_model_zoos(name, macs, params):
    with torch.device("meta"):
        network = create_backbone(name)
    counted = count(network, (1, 3, 32, 256, 256))
    assert (counted.macs, counted.params) == (macs, params)


def mmaction2_net(name: str) -> Net:
    """mmaction2's words: every convolution a ConvModule, conv2 a sequence of them; epsilon 1e-3."""
    blocks = []
    channels = 64
    for s, depth in enumerate(DEPTHS[name]):
        inner = 64 * 2**s
        for m in range(depth):
            at = f"backbone.layer{s + 1}.{m}"
            step = 2 if m == 0 and s > 0 else 1

            def module(key, shape, at=at, **options) -> Layer:
                return Layer(
                    conv=f"{at}.{key}.conv", norm=f"{at}.{key}.bn", shape=shape, eps=1e-3, **options
                )

            main = [module("conv1", (inner, channels, 1, 1, 1))]
            if name.startswith("ip"):
                main.append(module("conv2.0", (inner, inner, 1, 1, 1), relu=False))
            main += [
                module(
                    "conv2.1" if name.startswith("ip") else "conv2.0",
                    (inner, 1, 3, 3, 3),
                    stride=(step, step, step),
                    groups=inner,
                ),
                module("conv3", (4 * inner, inner, 1, 1, 1), relu=False),
            ]
            across = [
                module(
                    "downsample",
                    (4 * inner, channels, 1, 1, 1),
                    stride=(step, step, step),
                    relu=False,
                )
            ]
            blocks.append((main, across if m == 0 else []))
            channels = 4 * inner
    stem = Layer(
        conv="backbone.conv1.conv",
        norm="backbone.conv1.bn",
        shape=(64, 3, 3, 7, 7),
        stride=(1, 2, 2),
        eps=1e-3,
    )
    return Net(stem=[stem], blocks=blocks, head="cls_head.fc_cls", channels=2048, pool=True)


def pytorchvideo_net() -> Net:
    """PyTorchVideo's words for ir-CSN-101; epsilon 1e-5."""
    blocks = []
    channels = 64
    for s, depth in enumerate(DEPTHS["ir_csn_101"], start=1):
        inner = 32 * 2**s
        for m in range(depth):
            at = f"blocks.{s}.res_blocks.{m}"
            step = 2 if m == 0 and s > 1 else 1
            shapes = {
                "a": (inner, channels, 1, 1, 1),
                "b": (inner, 1, 3, 3, 3),
                "c": (4 * inner, inner, 1, 1, 1),
            }
            main = [
                Layer(
                    conv=f"{at}.branch2.conv_{letter}",
                    norm=f"{at}.branch2.norm_{letter}",
                    shape=shape,
                    stride=(step, step, step) if letter == "b" else (1, 1, 1),
                    groups=inner if letter == "b" else 1,
                    relu=letter != "c",
                )
                for letter, shape in shapes.items()
            ]
            across = Layer(
                conv=f"{at}.branch1_conv",
                norm=f"{at}.branch1_norm",
                shape=(4 * inner, channels, 1, 1, 1),
                stride=(step, step, step),
                relu=False,
            )
            blocks.append((main, [across] if m == 0 else []))
            channels = 4 * inner
    stem = Layer(
        conv="blocks.0.conv", norm="blocks.0.norm", shape=(64, 3, 3, 7, 7), stride=(1, 2, 2)
    )
    return Net(stem=[stem], blocks=blocks, head="blocks.5.proj", channels=2048, pool=True)


@pytest.mark.parametrize("name", ["ir_csn_101", "ip_csn_152"])
def test_mmaction2_weights_give_the_same_logits(name, tmp_path):
    net = mmaction2_net(name)
    state = random_state(net)
    torch.save({"meta": {"epoch": 58}, "state_dict": state}, tmp_path / "csn.pth")
    _assert_same(load_backbone(name, checkpoint=tmp_path / "csn.pth"), net, state)


def test_pytorchvideo_weights_give_the_same_logits(tmp_path):
    net = pytorchvideo_net()
    state = random_state(net)
    torch.save({"model_state": state}, tmp_path / "CSN_32x2_R101.pyth")
    ours = load_backbone("ir_csn_101", checkpoint=tmp_path / "CSN_32x2_R101.pyth")
    assert ours.options["layout"] == "pytorchvideo"
    assert ours.transform.mean == (0.45, 0.45, 0.45)
    _assert_same(ours, net, state)


def _assert_same(ours, net, state) -> None:
    x = torch.randn(2, 3, 9, 45, 52)
    with torch.no_grad():
        expected = logits(net, state, x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std(0).min() > 0.01


@pytest.mark.parametrize("name", DEPTHS)
def test_mmaction2_names_tell_the_network(name):
    with torch.device("meta"):
        state = random_state(mmaction2_net(name))
    found = identify(state, name=None, path=Path("x.pth"))
    assert (found.name, found.publisher, found.num_classes) == (name, "mmaction2", 7)


def test_pytorchvideo_names_tell_the_network():
    with torch.device("meta"):
        state = random_state(pytorchvideo_net())
    found = identify(state, name=None, path=Path("x.pyth"))
    assert (found.name, found.publisher) == ("ir_csn_101", "PyTorchVideo")


def test_an_unknown_layout_is_refused():
    with pytest.raises(UsageError, match=r"unknown layout 'vmz2'.*valid: pytorchvideo, vmz"):
        create_backbone("ir_csn_101", layout="vmz2")
