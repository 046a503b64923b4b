"""R(2+1)D-34 to -152 beside torchvision's classes put together as VMZ does, and PyTorchVideo's."""

from math import prod
from pathlib import Path

import pytest
import torch
from bottleneck_by_frames import Layer, Net, logits, random_state

from vidskim.account import count
from vidskim.backbones import create_backbone, load_backbone
from vidskim.backbones.files.identify import identify
from vidskim.backbones.nonlocal_block import NonlocalBlock
from vidskim.errors import UsageError


@pytest.mark.parametrize(
    ("name", "options", "input_shape", "macs", "params"),
    [
        # Collaborative Memory: 243 GFLOPs with its memory of 1.88
        ("r2plus1d_101", {}, (32, 256, 256), 241_559_175_168, 50_450_768),
        # Selective Feature Compression and VMZ's model zoo: 329.1 GFLOPs, 118 M
        ("r2plus1d_152", {}, (32, 128, 128), 329_139_257_344, 118_226_785),
        # PyTorchVideo's model zoo: 28.11 M
        (
            "r2plus1d_50",
            {"layout": "pytorchvideo"},
            (16, 224, 224),
            57_533_825_024,
            28_107_600,
        ),
    ],
)
def test_costs_are_those_of_the_papers(name, options, input_shape, macs, params):
    with torch.device("meta"):
        network = create_backbone(name, **options)
    counted = count(network, (1, 3, *input_shape))
    assert (counted.macs, counted.params) == (macs, params)


@pytest.mark.parametrize(
    ("name", "options", "pool", "places", "keys", "macs", "params"),
    [
        # res4 of a 32x256x256 clip: half the frames, a sixteenth of height and width
        ("r2plus1d_101", {}, "2x2x2", (16, 16, 16), (8, 8, 8), 262_497_140_736, 56_756_048),
        ("r2plus1d_101", {}, "1x2x2", (16, 16, 16), (16, 8, 8), 270_550_204_416, 56_756_048),
        ("r2plus1d_50", {}, "2x2x2", (2, 14, 14), (1, 7, 7), 31_426_549_760, 53_290_337),
        (
            "r2plus1d_50",
            {"layout": "pytorchvideo"},
            "2x2x2",
            (8, 14, 14),
            (4, 7, 7),
            64_027_000_832,
            34_412_880,
        ),
    ],
)
def test_non_local_blocks_cost_what_their_shapes_say(
    name, options, pool, places, keys, macs, params
):
    with torch.device("meta"):
        plain = create_backbone(name, **options)
        network = create_backbone(f"{name}_nl", nonlocal_pool=pool, **options)
    assert (network.clip, network.transform) == (plain.clip, plain.transform)
    without, counted = (count(net, net.clip.input_shape) for net in (plain, network))
    P, Q, C = prod(places), prod(keys), 1024
    # query and output at every place, key and value after pooling; products, sums of values
    block = (2 * P + 2 * Q) * C * C // 2 + 2 * P * Q * C // 2
    assert counted.macs == without.macs + 3 * block == macs
    weights = 4 * C * C // 2 + 3 * C // 2 + 3 * C  # with biases, and the norm's scale and shift
    assert counted.params == without.params + 3 * weights == params


@pytest.mark.parametrize(
    ("name", "places"), [("r2plus1d_50", (1, 3, 5)), ("r2plus1d_101", (6, 13, 20))]
)
def test_three_non_local_blocks_stand_in_res4(name, places):
    torch.manual_seed(0)
    network = create_backbone(f"{name}_nl", num_classes=3, width=4)
    plain = create_backbone(name, num_classes=3, width=4).eval()
    for module in network.modules():
        if isinstance(module, NonlocalBlock):
            torch.nn.init.uniform_(module.norm.weight, 0.5, 1.5)
        if isinstance(module, torch.nn.BatchNorm3d):
            module.momentum = 1.0  # takes over the statistics of one batch, or products outgrow all
    x = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        network(x)
        state = network.eval().state_dict()
        plain.load_state_dict({key: state[key] for key in plain.state_dict()})
        maps = plain.layer2(plain.layer1(plain.stem(x)))
        for number, block in enumerate(plain.layer3):
            maps = block(maps)
            if number in places:
                attention = NonlocalBlock(64, affinity="dot_product", pool=(2, 2, 2)).eval()
                at = f"layer3.nonlocal{number}."
                attention.load_state_dict(
                    {key.removeprefix(at): v for key, v in state.items() if key.startswith(at)}
                )
                maps = attention(maps)
        expected = plain.classify(plain.layer4(maps))
        torch.testing.assert_close(network(x), expected)
        assert not torch.allclose(expected, plain(x), rtol=1e-3)


def pytorchvideo_net(depths: tuple[int, ...], *, prefix: str = "") -> Net:
    """R(2+1)D in PyTorchVideo's words: conv_t before conv_xy, no pool, five strides of space."""
    blocks = []
    channels = 64
    for s, depth in enumerate(depths, start=1):
        inner = 32 * 2**s
        for m in range(depth):
            at = f"{prefix}blocks.{s}.res_blocks.{m}"
            here = f"{at}.branch2"
            time = 2 if m == 0 and s >= 3 else 1
            space = 2 if m == 0 else 1
            main = (
                Layer(
                    conv=f"{here}.conv_a",
                    norm=f"{here}.norm_a",
                    shape=(inner, channels, 1, 1, 1),
                ),
                Layer(
                    conv=f"{here}.conv_b.conv_t",
                    norm=f"{here}.conv_b.norm",
                    shape=(inner, inner, 3, 1, 1),
                    stride=(time, 1, 1),
                ),
                Layer(
                    conv=f"{here}.conv_b.conv_xy",
                    norm=f"{here}.norm_b",
                    shape=(inner, inner, 1, 3, 3),
                    stride=(1, space, space),
                ),
                Layer(
                    conv=f"{here}.conv_c",
                    norm=f"{here}.norm_c",
                    shape=(4 * inner, inner, 1, 1, 1),
                    relu=False,
                ),
            )
            across = (
                Layer(
                    conv=f"{at}.branch1_conv",
                    norm=f"{at}.branch1_norm",
                    shape=(4 * inner, channels, 1, 1, 1),
                    stride=(time, space, space),
                    relu=False,
                ),
            )
            blocks.append((main, across if m == 0 else ()))
            channels = 4 * inner
    stem = Layer(
        conv=f"{prefix}blocks.0.conv",
        norm=f"{prefix}blocks.0.norm",
        shape=(64, 3, 1, 7, 7),
        stride=(1, 2, 2),
    )
    return Net(
        stem=(stem,),
        blocks=blocks,
        head=f"{prefix}blocks.5.proj",
        channels=2048,
        pool=False,
    )


def test_pytorchvideo_weights_give_the_same_logits(tmp_path):
    net = pytorchvideo_net((3, 4, 6, 3))
    state = random_state(net)
    torch.save({"model_state": state}, tmp_path / "R2PLUS1D_16x4_R50.pyth")
    ours = load_backbone("r2plus1d_50", checkpoint=tmp_path / "R2PLUS1D_16x4_R50.pyth")
    assert (ours.name, ours.options["layout"]) == ("r2plus1d_50", "pytorchvideo")
    assert (ours.num_classes, str(ours.clip)) == (7, "16x4, 224x224 pixels")
    x = torch.randn(2, 3, 9, 61, 72)
    with torch.no_grad():
        expected = logits(net, state, x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std(0).min() > 0.01


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize(
    ("depths", "name"), [((3, 4, 6, 3), "r2plus1d_50"), ((3, 4, 23, 3), "r2plus1d_101")]
)
def test_pytorchvideo_names_tell_the_network(depths, name, prefix):
    with torch.device("meta"):
        state = random_state(pytorchvideo_net(depths, prefix=prefix))
    found = identify(state, name=None, path=Path("x.pyth"))
    assert (found.name, found.publisher, found.num_classes) == (name, "PyTorchVideo", 7)


def mmaction2_net() -> Net:
    """R(2+1)D-34 in mmaction2's words: every convolution is factorized, those of 1x1x1 too."""

    def factorized(at, shape, *, stride=(1, 1, 1), relu=True) -> list[Layer]:
        out, into, time, size, _ = shape
        mid = int(3 * into * out * size**2 / (into * size**2 + 3 * out))
        return [
            Layer(
                conv=f"{at}.conv.conv_s",
                norm=f"{at}.conv.bn_s",
                shape=(mid, into, 1, size, size),
                stride=(1, stride[1], stride[2]),
            ),
            Layer(
                conv=f"{at}.conv.conv_t",
                norm=f"{at}.bn",
                shape=(out, mid, time, 1, 1),
                stride=(stride[0], 1, 1),
                relu=relu,
                eps=1e-3,
            ),
        ]

    blocks = []
    channels = 64
    for s, depth in enumerate((3, 4, 6, 3)):
        out = 64 * 2**s
        for m in range(depth):
            at = f"backbone.layer{s + 1}.{m}"
            halved = m == 0 and s > 0
            stride = (2, 2, 2) if halved else (1, 1, 1)
            main = [
                *factorized(f"{at}.conv1", (out, channels, 3, 3, 3), stride=stride),
                *factorized(f"{at}.conv2", (out, out, 3, 3, 3), relu=False),
            ]
            across = factorized(
                f"{at}.downsample", (out, channels, 1, 1, 1), stride=stride, relu=False
            )
            blocks.append((main, across if halved else []))
            channels = out
    stem = factorized("backbone.conv1", (64, 3, 3, 7, 7), stride=(1, 2, 2))
    return Net(stem=stem, blocks=blocks, head="cls_head.fc_cls", channels=512, pool=True)


def test_mmaction2_weights_give_the_same_logits(tmp_path):
    net = mmaction2_net()
    state = random_state(net)
    params = sum(v.numel() for k, v in state.items() if "running" not in k and v.ndim)
    assert params + (400 - 7) * 513 == 63_759_281  # of mmaction2's model zoo
    torch.save({"state_dict": state}, tmp_path / "r2plus1d_r34_8x8x1.pth")
    ours = load_backbone("r2plus1d_34", checkpoint=tmp_path / "r2plus1d_r34_8x8x1.pth")
    assert ours.options["mid"] == "mmaction2"
    assert str(ours.clip) == "8x8, 224x224 pixels"
    x = torch.randn(2, 3, 9, 41, 48)
    with torch.no_grad():
        expected = logits(net, state, x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std(0).min() > 0.01


@pytest.mark.parametrize("name", ["r2plus1d_50", "r2plus1d_50_nl"])
def test_own_names_tell_the_layout(name):
    for layout in ("faster", "pytorchvideo"):
        with torch.device("meta"):
            state = create_backbone(name, layout=layout).state_dict()
        found = identify(state, name=None, path=Path("x.pth"))
        assert found.name == name
        assert found.options == {"layout": layout}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("r2plus1d_50", {"layout": "fast"}, "unknown layout 'fast'.*valid: faster, pytorchvideo"),
        ("r2plus1d_34", {"mid": "mmaction"}, "unknown mid 'mmaction': did you mean 'mmaction2'"),
        ("r2plus1d_18", {"mid": "mmaction2"}, "unknown mid 'mmaction2'"),
        ("r2plus1d_50_nl", {"layout": "vmz"}, "unknown layout 'vmz'.*valid: faster, pytorchvideo"),
        ("r2plus1d_101_nl", {"nonlocal_pool": "2x2"}, "unknown nonlocal_pool '2x2'"),
        ("r2plus1d_152", {"pool": 1}, "pool of r2plus1d_152 is true or false, got 1"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        create_backbone(name, **options)


def test_the_pool_changes_the_map_and_no_tensor():
    torch.manual_seed(0)
    without = create_backbone("r2plus1d_152", num_classes=3, width=4).eval()
    pooled = create_backbone("r2plus1d_152", num_classes=3, width=4, pool=True).eval()
    pooled.load_state_dict(without.state_dict())
    x = torch.randn(1, 3, 8, 64, 64)
    with torch.no_grad():
        assert without.features(x).shape[2:] == (1, 4, 4)
        assert pooled.features(x).shape[2:] == (1, 2, 2)
