"""R2D-26, R(2+1)D-50 and R3D-50 beside a second formulation and FASTER's own figures."""

import pytest
import torch
from bottleneck_by_frames import Layer, Net, logits, random_state

from vidskim.account import count
from vidskim.backbones import create_backbone

PARAMS = {"r2d_26": 14_831_632, "r2plus1d_50": 46_985_057, "r3d_50": 46_980_944}

WIDTH = 8


@pytest.mark.parametrize(
    ("name", "num_frames", "macs"),
    [
        # Table 2: 3.2, 6.0 (a misprint of 6.3, which table 4 was computed with) and 12.7 GFLOPs
        ("r2d_26", 8, 3_167_125_504),
        ("r2d_26", 16, 6_333_431_808),
        ("r2d_26", 32, 12_666_044_416),
        # Table 2: 30.0, 60.0 and 119.9 GFLOPs
        ("r2plus1d_50", 8, 29_980_276_736),
        ("r2plus1d_50", 16, 59_959_734_272),
        ("r2plus1d_50", 32, 119_918_649_344),
        # Table 6: 942.7 GFLOPs for eight clips of 32 frames
        ("r3d_50", 8, 29_460_955_136),
        ("r3d_50", 16, 58_921_091_072),
        ("r3d_50", 32, 117_841_362_944),
    ],
)
def test_costs_are_those_of_the_paper(name, num_frames, macs):
    with torch.device("meta"):
        network = create_backbone(name)
    counted = count(network, (1, 3, num_frames, 224, 224))
    assert (counted.macs, counted.params) == (macs, PARAMS[name])


@pytest.mark.parametrize("name", PARAMS)
@pytest.mark.parametrize("num_frames", [8, 16])
def test_maps_are_an_eighth_of_the_clip_and_alike(name, num_frames):
    network = create_backbone(name, width=WIDTH).eval()
    with torch.no_grad():
        features = network.features(torch.randn(1, 3, num_frames, 64, 96))
    assert features.shape == (1, 32 * WIDTH, num_frames // 8, 2, 3)


def _faster_net(name: str) -> Net:
    """FASTER's table 1 at an eighth of its width."""
    blocks = []
    channels = WIDTH
    for s, depth in enumerate((2, 2, 2, 2) if name == "r2d_26" else (3, 4, 6, 3)):
        inner = WIDTH * 2**s
        for m in range(depth):
            at = f"layer{s + 1}.{m}"
            space = 2 if m == 0 and s > 0 else 1
            time = 1 if name == "r2d_26" else space
            if name == "r2plus1d_50":
                more = int(2.25 * inner)
                middle = [
                    Layer(
                        conv=f"{at}.conv2.0.0",
                        norm=f"{at}.conv2.0.1",
                        shape=(more, inner, 1, 3, 3),
                        stride=(1, space, space),
                    ),
                    Layer(
                        conv=f"{at}.conv2.0.3",
                        norm=f"{at}.conv2.1",
                        shape=(inner, more, 3, 1, 1),
                        stride=(time, 1, 1),
                    ),
                ]
            else:
                middle = [
                    Layer(
                        conv=f"{at}.conv2.0",
                        norm=f"{at}.conv2.1",
                        shape=(inner, inner, 1 if name == "r2d_26" else 3, 3, 3),
                        stride=(time, space, space),
                    )
                ]
            main = [
                Layer(conv=f"{at}.conv1.0", norm=f"{at}.conv1.1", shape=(inner, channels, 1, 1, 1)),
                *middle,
                Layer(
                    conv=f"{at}.conv3.0",
                    norm=f"{at}.conv3.1",
                    shape=(4 * inner, inner, 1, 1, 1),
                    relu=False,
                ),
            ]
            across = Layer(
                conv=f"{at}.downsample.0",
                norm=f"{at}.downsample.1",
                shape=(4 * inner, channels, 1, 1, 1),
                stride=(time, space, space),
                relu=False,
            )
            blocks.append((main, [across] if m == 0 else []))
            channels = 4 * inner
    if name == "r2plus1d_50":
        mid = 45 * WIDTH // 64
        stem = [
            Layer(conv="stem.0", norm="stem.1", shape=(mid, 3, 1, 7, 7), stride=(1, 2, 2)),
            Layer(conv="stem.3", norm="stem.4", shape=(WIDTH, mid, 3, 1, 1)),
        ]
    elif name == "r3d_50":
        stem = [Layer(conv="stem.0", norm="stem.1", shape=(WIDTH, 3, 3, 7, 7), stride=(1, 2, 2))]
    else:
        stem = [
            Layer(
                conv="stem.0",
                norm="stem.1",
                shape=(WIDTH, 3, 8, 7, 7),
                stride=(8, 2, 2),
                pad_time=False,
            )
        ]
    return Net(stem=stem, blocks=blocks, head="fc", channels=channels, pool=True)


@pytest.mark.parametrize("name", PARAMS)
def test_a_second_formulation_gives_the_same_logits(name):
    net = _faster_net(name)
    state = random_state(net)
    ours = create_backbone(name, num_classes=7, width=WIDTH).eval()
    ours.load_state_dict(state)
    x = torch.randn(2, 3, 17, 57, 64)
    with torch.no_grad():
        expected = logits(net, state, x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std(0).min() > 0.001
