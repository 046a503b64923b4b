"""SlowFast: which frames are slow, one map for two pathways, costs, and published files."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pathways_by_frames import (
    Net,
    PySlowFast,
    PyTorchVideo,
    logits,
    maps,
    probabilities_over_windows,
    random_state,
    shapes,
)

from vidskim.account import count
from vidskim.backbones import create_backbone, load_backbone, split_at
from vidskim.backbones.files.identify import identify
from vidskim.backbones.layouts import LAYOUTS
from vidskim.backbones.nonlocal_block import NonlocalBlock
from vidskim.backbones.pathways import slow_indices
from vidskim.errors import CheckpointError, UsageError


def plan(
    depth: int = 50,
    *,
    alpha: int = 4,
    fusion: int = 7,
    res4: tuple[int, int] = (6, 6),
    attention: dict[int, tuple[int, ...]] | None = None,
    pool: tuple[int, int, int] = (1, 2, 2),
) -> Net:
    """A network by what PySlowFast's configurations call DEPTH, ALPHA, FUSION_KERNEL_SZ, ..."""
    blocks = 6 if depth == 50 else 23
    slow4, fast4 = ((3,) * n + (1,) * (blocks - n) for n in res4)
    return Net(
        kernels=(
            ((1,) * 3, (1,) * 4, slow4, (3,) * 3),
            ((3,) * 3, (3,) * 4, fast4, (3,) * 3),
        ),
        stem_kernels=(1, 5),
        alpha=alpha,
        fusion_kernel=fusion,
        attention=attention,
        pool=pool,
    )


R50_NL = {3: (1, 3), 4: (1, 3, 5)}
R101_NL = {4: (6, 13, 20)}
PUBLISHED = [
    # name, names, options that the file tells
    ("slowfast_r50_4x16", PySlowFast(plan(alpha=8, fusion=5)), {}),
    ("slowfast_r50_8x8", PySlowFast(plan()), {}),
    ("slowfast_r50_8x8", PyTorchVideo(plan()), {}),
    ("slowfast_r50_16x8", PySlowFast(plan()), {}),
    ("slowfast_r50_4x16_nl", PySlowFast(plan(alpha=8, fusion=5, attention=R50_NL)), {}),
    ("slowfast_r50_8x8_nl", PySlowFast(plan(fusion=5, attention=R50_NL)), {"fusion_kernel": 5}),
    ("slowfast_r50_8x8_nl", PySlowFast(plan(fusion=7, attention=R50_NL)), {"fusion_kernel": 7}),
    *(
        (f"slowfast_r101_{clip}{'_nl' if nl else ''}", names, {"res4_kernels": kernels})
        for clip, nl, kernels, publisher in (
            ("8x8", False, "101_101", PyTorchVideo),
            ("8x8", False, "101_101", PySlowFast),
            ("8x8", False, "50_101", PySlowFast),
            ("16x8", False, "50_50", PyTorchVideo),
            ("16x8", True, "50_50", PySlowFast),
            ("8x8", True, "101_101", PySlowFast),
        )
        for names in [
            publisher(
                plan(
                    101,
                    fusion=5,
                    res4={"101_101": (23, 23), "50_101": (6, 23), "50_50": (6, 6)}[kernels],
                    attention=R101_NL if nl else None,
                )
            )
        ]
    ),
]
LABELS = [
    "-".join((name, type(names).__name__, *map(str, told.values())))
    for name, names, told in PUBLISHED
]


@pytest.mark.parametrize(("name", "names", "told"), PUBLISHED, ids=LABELS)
def test_published_tensors_give_the_published_logits(name, names, told):
    full = type(names)(replace(names.net, width=64))
    shown = {key: torch.empty(shape, device="meta") for key, shape in shapes(full)}
    found = identify(shown, name=name, path=Path("net.pyth"))
    assert (found.publisher, found.share, found.num_classes) == (type(names).__name__, 1, 5)
    assert told.items() <= found.options.items()
    layout = next(
        layout
        for layout in LAYOUTS[name]
        if (layout.publisher, dict(layout.options)) == (found.publisher, found.options)
    )
    network, state = _read(name, layout, names)
    x = torch.randn(2, 3, 16, 64, 80)
    with torch.no_grad():
        ours, theirs = network(x), logits(names, state, x)
    assert theirs.std() > 0.1
    # sums of large parts: what rounding leaves is relative to the largest logit
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()))


def _read(name, layout, names, **options):
    """Draw a narrow published state dict and turn it into our network."""
    state = random_state(names)
    network = create_backbone(
        name, num_classes=5, **{**layout.options, "width": names.net.width, **options}
    )
    network.load_state_dict(layout.translate(state).tensors)
    return network.eval(), state


def test_keys_and_values_are_pooled_over_time_as_the_option_says():
    names = PySlowFast(plan(fusion=5, attention=R50_NL, pool=(2, 2, 2)))
    layout = LAYOUTS["slowfast_r50_8x8_nl"][0]
    x = torch.randn(1, 3, 16, 64, 64)
    for pool, equal in (("2x2x2", True), ("1x2x2", False)):
        network, state = _read("slowfast_r50_8x8_nl", layout, names, nonlocal_pool=pool)
        with torch.no_grad():
            ours, theirs = network(x), logits(names, state, x)
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4) == equal


def test_a_larger_crop_is_scored_window_by_window():
    names = PySlowFast(plan(alpha=8, fusion=5))
    network, state = _read("slowfast_r50_4x16", LAYOUTS["slowfast_r50_4x16"][0], names)
    network.head_window = (2, 2)
    x = torch.randn(1, 3, 16, 96, 128)  # maps of 3 x 4, 2 x 3 windows
    with torch.no_grad():
        ours = network(x).softmax(1)
        theirs = probabilities_over_windows(names, state, x, side=2)
        whole = logits(names, state, x).softmax(1)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(ours, whole, atol=1e-3)


def test_features_are_the_slow_map_then_the_fast_one_at_its_frame_rate():
    names = PySlowFast(plan(alpha=8, fusion=5))
    network, state = _read("slowfast_r50_4x16", LAYOUTS["slowfast_r50_4x16"][0], names)
    x = torch.randn(2, 3, 24, 64, 96)
    with torch.no_grad():
        features = network.features(x)
        slow, fast = maps(names, state, x)
    assert features.shape == (2, 576, 3, 2, 3)
    assert (network.slow_channels, network.num_features, network.alpha) == (512, 576, 8)
    torch.testing.assert_close(features[:, :512], slow, rtol=1e-4, atol=1e-4)
    for t in range(3):
        wanted = fast[:, :, 8 * t : 8 * t + 8].mean(2)
        torch.testing.assert_close(features[:, 512:, t], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("frames", "alpha", "picked"),
    [
        # torch.linspace(0, T - 1, T // alpha).long(): both ends, rounded down
        (32, 8, [0, 10, 20, 31]),
        (32, 4, [0, 4, 8, 13, 17, 22, 26, 31]),
        (64, 4, [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63]),
        (8, 8, [0]),
    ],
)
def test_slow_frames_are_those_of_pyslowfast(frames, alpha, picked):
    assert slow_indices(frames, alpha=alpha).tolist() == picked


def test_between_stages_goes_the_slow_map_joined_by_the_fast_and_the_fast_map():
    network = create_backbone("slowfast_r50_8x8", width=16).eval()
    with torch.no_grad():
        slow, fast = split_at(network, "res3")[0](torch.randn(1, 3, 16, 64, 64))
    assert slow.shape == (1, 128 + 2 * 16, 4, 8, 8)
    assert fast.shape == (1, 16, 16, 8, 8)


@pytest.mark.parametrize("frames", [12, 4, 33])
def test_frames_that_are_no_multiple_of_alpha_are_refused(frames):
    network = create_backbone("slowfast_r50_4x16", width=8)
    message = f"slowfast_r50_4x16 takes 8 fast frames .* a multiple of 8 frames, got {frames}"
    with pytest.raises(UsageError, match=message):
        network(torch.zeros(1, 3, frames, 32, 32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"res4_kernels": "50"}, "unknown res4_kernels '50'.*101_101, 50_101, 50_50"),
        ({"nonlocal_pool": "2x1x1"}, "unknown nonlocal_pool '2x1x1'.*1x2x2, 2x2x2"),
        ({"fusion_kernel": 4}, "fusion_kernel of slowfast_r101_8x8_nl is an odd number .* got 4"),
        ({"width": 0}, "at least one channel, got 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        create_backbone("slowfast_r101_8x8_nl", **options)


@pytest.mark.parametrize(
    ("name", "options", "frames", "at_256", "params"),
    [
        # Collaborative Memory, table 5, bases: 36, 126, 135, 131, 273
        ("slowfast_r50_4x16", {}, 32, 36_101_963_776, 34_480_216),
        ("slowfast_r101_8x8", {}, 32, 125_908_303_872, 62_826_968),
        ("slowfast_r101_8x8_nl", {}, 32, 134_766_673_920, 69_132_248),
        ("slowfast_r50_16x8", {}, 64, 131_419_619_328, 34_566_488),
        ("slowfast_r101_16x8_nl", {}, 64, 272_750_886_912, 69_132_248),
        # SlowFast, table 2: 65.7, 106, 213, 116, 234
        ("slowfast_r50_8x8", {}, 32, 65_711_652_864, 34_566_488),
        ("slowfast_r101_8x8", {"res4_kernels": "50_50"}, 32, 106_513_842_176, 53_774_808),
        ("slowfast_r101_16x8", {"res4_kernels": "50_50"}, 64, 213_023_997_952, 53_774_808),
        ("slowfast_r101_8x8_nl", {"res4_kernels": "50_50"}, 32, 115_372_212_224, 60_080_088),
        ("slowfast_r101_16x8_nl", {"res4_kernels": "50_50"}, 64, 233_961_963_520, 60_080_088),
        # counted on PySlowFast's own networks, as are all of the above
        ("slowfast_r101_16x8", {}, 64, 251_812_921_344, 62_826_968),
        ("slowfast_r50_4x16_nl", {}, 32, 44_691_898_368, 41_838_680),
        ("slowfast_r50_8x8_nl", {}, 32, 87_580_753_920, 41_838_680),
        ("slowfast_r50_16x8_nl", {}, 64, 196_380_999_680, 41_924_952),
        ("slowfast_r101_16x8_nl", {"nonlocal_pool": "1x2x2"}, 64, 280_803_950_592, 69_132_248),
    ],
)
def test_costs_are_those_of_the_papers_and_of_pyslowfast(name, options, frames, at_256, params):
    with torch.device("meta"):
        network = create_backbone(name, **options)
    assert network.clip.input_shape == (1, 3, frames, 224, 224)
    assert network.clip.stride == 2
    network.head_window = (7, 7)  # PySlowFast's head applies its layer at 2 x 2 places at 256
    counted = count(network, (1, 3, frames, 256, 256))
    assert (counted.macs, counted.params) == (at_256, params)


@pytest.mark.parametrize("publisher", [PySlowFast, PyTorchVideo])
def test_either_fusion_kernel_is_read_but_not_taken_for_another_network(publisher):
    names = publisher(replace(plan(fusion=5), width=64))
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes(names)}
    found = identify(state, name="slowfast_r50_8x8", path=Path("net.pyth"))
    assert found.options["fusion_kernel"] == 5
    with pytest.raises(CheckpointError, match="fits slowfast_r50_4x16, slowfast_r50_8x8, slowf"):
        identify(state, name=None, path=Path("net.pyth"))


def test_what_no_tensor_tells_may_be_said(tmp_path):
    names = PySlowFast(replace(plan(fusion=5, attention=R50_NL), width=64))
    path = tmp_path / "net.pyth"
    torch.save({"model_state": random_state(names)}, path)
    read = load_backbone("slowfast_r50_8x8_nl", checkpoint=path)
    assert read.options["nonlocal_pool"] == "1x2x2"
    told = load_backbone("slowfast_r50_8x8_nl", checkpoint=path, options={"nonlocal_pool": "2x2x2"})
    assert told.options["nonlocal_pool"] == "2x2x2"
    for network, pool in ((read, (1, 2, 2)), (told, (2, 2, 2))):
        pools = {block.pool for block in network.modules() if isinstance(block, NonlocalBlock)}
        assert pools == {pool}
    with pytest.raises(UsageError, match="did you mean 'nonlocal_pool'"):
        load_backbone("slowfast_r50_8x8_nl", checkpoint=path, options={"nonlocal_pol": "2x2x2"})
