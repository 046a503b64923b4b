"""X3D: sizes and costs beside the published ones, and three publishers' names of its tensors."""

import pytest
import torch
from by_taps import File
from torch import Tensor

from vidskim.account import count
from vidskim.backbones import create_backbone, load_backbone
from vidskim.backbones.contract import ClipSpec
from vidskim.errors import CheckpointError

COSTS = {  # ours; published in PySlowFast's MODEL_ZOO.md, 1e9 MACs and 1e6 parameters
    "x3d_xs": (605_256_512, 3_794_322, 0.60, 3.8),
    "x3d_s": (1_962_892_112, 3_794_322, 1.96, 3.8),
    "x3d_m": (4_732_468_736, 3_794_322, 4.73, 3.8),
    "x3d_l": (18_367_710_176, 6_153_432, 18.37, 6.2),
}
CLIPS = {  # frames, stride, crop and short side of the one-crop test in configs/Kinetics
    "x3d_xs": (4, 12, 160, 182),
    "x3d_s": (13, 6, 160, 182),
    "x3d_m": (16, 5, 224, 256),
    "x3d_l": (16, 5, 312, 356),
}
CLASSES = 7

PYSLOWFAST = {
    "wrapper": "model_state",
    "first": 2,
    "stem": ("s1.pathway0_stem.conv_xy", "s1.pathway0_stem.conv", "s1.pathway0_stem.bn"),
    "a": ("s{s}.pathway0_res{b}.branch2.a", "s{s}.pathway0_res{b}.branch2.a_bn"),
    "b": ("s{s}.pathway0_res{b}.branch2.b", "s{s}.pathway0_res{b}.branch2.b_bn"),
    "c": ("s{s}.pathway0_res{b}.branch2.c", "s{s}.pathway0_res{b}.branch2.c_bn"),
    "se": ("s{s}.pathway0_res{b}.branch2.se.fc1", "s{s}.pathway0_res{b}.branch2.se.fc2"),
    "shortcut": ("s{s}.pathway0_res{b}.branch1", "s{s}.pathway0_res{b}.branch1_bn"),
    "conv5": ("head.conv_5", "head.conv_5_bn"),
    "lin5": ("head.lin_5", (1, 1, 1)),
    "fc": "head.projection",
}
_PTV = "blocks.{s}.res_blocks.{b}."
PYTORCHVIDEO = {
    "wrapper": "model_state",
    "first": 1,
    "stem": ("blocks.0.conv.conv_t", "blocks.0.conv.conv_xy", "blocks.0.norm"),
    "a": (_PTV + "branch2.conv_a", _PTV + "branch2.norm_a"),
    "b": (_PTV + "branch2.conv_b", _PTV + "branch2.norm_b.0"),
    "c": (_PTV + "branch2.conv_c", _PTV + "branch2.norm_c"),
    "se": (_PTV + "branch2.norm_b.1.block.0", _PTV + "branch2.norm_b.1.block.2"),
    "shortcut": (_PTV + "branch1_conv", _PTV + "branch1_norm"),
    "conv5": ("blocks.5.pool.pre_conv", "blocks.5.pool.pre_norm"),
    "lin5": ("blocks.5.pool.post_conv", (1, 1, 1)),
    "fc": "blocks.5.proj",
}
_MM = "backbone.layer{s}.{b}."
MMACTION2 = {
    "wrapper": "state_dict",
    "first": 1,
    "stem": ("backbone.conv1_s.conv", "backbone.conv1_t.conv", "backbone.conv1_t.bn"),
    "a": (_MM + "conv1.conv", _MM + "conv1.bn"),
    "b": (_MM + "conv2.conv", _MM + "conv2.bn"),
    "c": (_MM + "conv3.conv", _MM + "conv3.bn"),
    "se": (_MM + "se_module.fc1", _MM + "se_module.fc2"),
    "shortcut": (_MM + "downsample.conv", _MM + "downsample.bn"),
    "conv5": ("backbone.conv5.conv", "backbone.conv5.bn"),
    "lin5": ("cls_head.fc1", ()),
    "fc": "cls_head.fc2",
}


def last_map(file: File, names: dict, depths: tuple[int, ...], x: Tensor) -> Tensor:
    """Run X3D by a publisher's names up to the mean over the map."""
    xy, t, norm = names["stem"]
    x = file.conv(xy, x, 24, (1, 3, 3), stride=(1, 2, 2))
    x = file.norm(norm, file.conv(t, x, 24, (5, 1, 1), channelwise=True))
    sizes = ((24, 54, 8), (48, 108, 8), (96, 216, 16), (192, 432, 32))
    for i, (depth, (channels, inside, squeezed)) in enumerate(zip(depths, sizes)):
        for b in range(depth):
            at = {k: [n.format(s=names["first"] + i, b=b) for n in names[k]] for k in BLOCK}
            stride = (1, 2, 2) if b == 0 else (1, 1, 1)
            y = file.norm(at["a"][1], file.conv(at["a"][0], x, inside))
            y = file.conv(at["b"][0], y, inside, (3, 3, 3), stride=stride, channelwise=True)
            y = file.norm(at["b"][1], y, relu=False)
            if b % 2 == 0:
                mean = y.flatten(2).mean(2)[:, :, None, None, None]
                hidden = file.conv(at["se"][0], mean, squeezed, bias=True).clamp(min=0)
                y = y / (1 + (-file.conv(at["se"][1], hidden, inside, bias=True)).exp())
            y = y / (1 + (-y).exp())
            y = file.norm(at["c"][1], file.conv(at["c"][0], y, channels), relu=False)
            if b == 0:
                x = file.conv(at["shortcut"][0], x[..., ::2, ::2], channels)
                if i > 0 or names is not PYTORCHVIDEO:
                    x = file.norm(at["shortcut"][1], x, relu=False)
            x = (x + y).clamp(min=0)
    conv, norm = names["conv5"]
    return file.norm(norm, file.conv(conv, x, 432))


BLOCK = ("a", "b", "c", "se", "shortcut")


def head(file: File, names: dict, pooled: Tensor) -> Tensor:
    """Map ``[N, 432]`` to logits."""
    name, places = names["lin5"]
    hidden = file.draw(f"{name}.weight", (2048, 432, *places)).reshape(2048, 432)
    out = (pooled @ hidden.T).clamp(min=0)
    weight = file.draw(f"{names['fc']}.weight", (CLASSES, 2048))
    return out @ weight.T + file.draw(f"{names['fc']}.bias", (CLASSES,))


@pytest.mark.parametrize(
    ("name", "depths", "names"),
    [
        ("x3d_xs", (3, 5, 11, 7), PYSLOWFAST),
        ("x3d_l", (5, 10, 25, 15), PYSLOWFAST),
        ("x3d_s", (3, 5, 11, 7), PYTORCHVIDEO),
        ("x3d_m", (3, 5, 11, 7), MMACTION2),
    ],
    ids=["PySlowFast xs", "PySlowFast l", "PyTorchVideo s", "mmaction2 m"],
)
def test_published_files_give_the_same_logits(name, depths, names, tmp_path):
    x = torch.randn(2, 3, 4, 40, 60, generator=torch.Generator().manual_seed(1))
    file = File()
    expected = head(file, names, last_map(file, names, depths, x).mean((2, 3, 4)))
    path = tmp_path / "x3d.pyth"
    torch.save({names["wrapper"]: file.state}, path)
    ours = load_backbone(name, checkpoint=path)
    assert ours.options["shortcut_norm"] == (names is not PYTORCHVIDEO)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.05

    lin5 = f"{names['lin5'][0]}.weight"
    torch.save({k: v for k, v in file.state.items() if k != lin5}, path)
    with pytest.raises(CheckpointError, match=r"1 missing \(lin5\.weight\)"):
        load_backbone(name, checkpoint=path)


def test_a_larger_map_averages_probabilities_over_windows(tmp_path):
    x = torch.randn(1, 3, 4, 64, 96, generator=torch.Generator().manual_seed(1))
    file = File()
    features = last_map(file, PYSLOWFAST, (3, 5, 11, 7), x)
    windows = [features[..., left : left + 2].mean((2, 3, 4)) for left in (0, 1)]
    spread = torch.cat([head(file, PYSLOWFAST, pooled) for pooled in windows]).std()
    file.state["head.projection.weight"] *= 2 / spread  # else one class has it all
    parts = [head(file, PYSLOWFAST, pooled).softmax(1) for pooled in windows]
    torch.save({"model_state": file.state}, tmp_path / "x3d_xs.pyth")
    ours = load_backbone("x3d_xs", checkpoint=tmp_path / "x3d_xs.pyth")
    ours.head_window = (2, 2)
    with torch.no_grad():
        torch.testing.assert_close(ours(x).softmax(1), sum(parts) / 2, rtol=1e-4, atol=1e-5)
    assert (parts[0] - parts[1]).abs().max() > 1e-3


def test_sizes_with_the_same_tensors_need_a_name(tmp_path):
    small = create_backbone("x3d_s", num_classes=3, shortcut_norm=False)
    torch.save(small.state_dict(), tmp_path / "small.pth")
    with pytest.raises(CheckpointError, match="fits x3d_xs, x3d_s, x3d_m, which have the same"):
        load_backbone(checkpoint=tmp_path / "small.pth")
    large = create_backbone("x3d_l", num_classes=3, shortcut_norm=False)
    torch.save(large.state_dict(), tmp_path / "large.pth")
    loaded = load_backbone(checkpoint=tmp_path / "large.pth")
    assert (loaded.name, loaded.options["shortcut_norm"]) == ("x3d_l", False)


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_the_published_ones(name):
    with torch.device("meta"):
        network = create_backbone(name)
    counted = count(network, network.clip.input_shape)
    macs, params, published_gmacs, published_params = COSTS[name]
    assert (counted.macs, counted.params) == (macs, params)
    assert macs / 1e9 == pytest.approx(published_gmacs, abs=0.006)
    assert round(params / 1e6, 1) == published_params


@pytest.mark.parametrize("name", CLIPS)
def test_clips_and_transforms_are_the_configurations(name):
    with torch.device("meta"):
        network = create_backbone(name)
    frames, stride, crop, short_side = CLIPS[name]
    assert network.clip == ClipSpec(frames, stride, (crop, crop))
    assert (network.transform.short_side, network.transform.crop) == (short_side, (crop, crop))
    assert (network.transform.mean[0], network.transform.std[0]) == (0.45, 0.225)


def test_no_stage_strides_time_and_channels_round_to_eights():
    network = create_backbone("x3d_xs", width=18).eval()
    with torch.no_grad():
        features = network.features(torch.randn(1, 3, 5, 64, 33))
    # 18 is nearest to 16, which is less than 90 percent of it: 24, as the full network
    assert tuple(features.shape) == (1, 432, 5, 2, 2)
    assert network.num_features == 432
    assert create_backbone("x3d_xs", width=8).num_features == 144
