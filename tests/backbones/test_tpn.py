"""TPN: size, splits, and the neck by its publishers' names in another arithmetic."""

import pytest
import torch
from published import MMACTION2_NAMES, SLOW_TIME_KERNELS, TPN_NAMES, Published, stage, stem
from torch import Tensor

from vidskim.account import count
from vidskim.backbones import create_backbone, load_backbone, split_at
from vidskim.backbones.layouts.tpn import AUTHORS, MMACTION2
from vidskim.backbones.tpn import TPN_TRANSFORM, TempoPyramid
from vidskim.errors import CheckpointError

FRAMES = {"tpn_r50_8x8": 8, "tpn_r50_16x4": 16, "tpn_r50_32x2": 32}


def _conv_module(name: str) -> tuple[str, str]:
    return f"{name}.conv", f"{name}.bn"


NECKS = {
    "TPN": {
        "spatial": _conv_module("necks.spatial_modulation.spatial_modulation.0.0"),
        "temporal": "necks.temporal_modulation_ops.{}.conv",
        "bottom_up": "necks.downsampling_ops.0.conv",
        "level": ("{}.ops.{}.conv", "{}.ops.{}.norm"),
        "fusion": ("{}.fusion_conv.0", "{}.fusion_conv.1"),
        "flows": ("necks.level_fusion_op2", "necks.level_fusion_op"),
        "last": ("necks.pyramid_fusion_op.0", "necks.pyramid_fusion_op.1"),
        "auxiliary": "necks.aux_head.convs",
    },
    "mmaction2": {
        "spatial": _conv_module("neck.spatial_modulation.spatial_modulation.0.0"),
        "temporal": "neck.temporal_modulation_ops.{}.conv.conv",
        "bottom_up": "neck.downsample_ops.0.conv.conv",
        "level": ("{}.downsamples.{}.conv.conv", "{}.downsamples.{}.conv.bn"),
        "fusion": ("{}.fusion_conv.conv", "{}.fusion_conv.bn"),
        "flows": ("neck.level_fusion_1", "neck.level_fusion_2"),
        "last": ("neck.pyramid_fusion.conv", "neck.pyramid_fusion.bn"),
        "auxiliary": "neck.aux_head.conv",
    },
}
TRUNKS = {"TPN": TPN_NAMES, "mmaction2": MMACTION2_NAMES}
LAYOUTS = {"TPN": AUTHORS, "mmaction2": MMACTION2}


def published_tpn(
    file: Published, publisher: str, x: Tensor, *, width: int, frames: int, num_classes: int
) -> Tensor:
    """Run TPN-50 by a publisher's names: clips ``[N, 3, T, H, W]`` to logits."""
    trunk, names = TRUNKS[publisher], NECKS[publisher]
    x = stem(file, trunk, x, width)
    for s, kernels in enumerate(SLOW_TIME_KERNELS, start=1):
        if s == 4:
            res4 = x
        x = stage(file, trunk, x, s, width, kernels)
    level, whole = 16 * width, 32 * width

    conv, norm = names["spatial"]
    low = file.norm(norm, file.conv(conv, res4, whole, kernel=(1, 3, 3), stride=(1, 2, 2)))
    levels = []
    for i, y in enumerate((low, x)):
        y = file.conv(names["temporal"].format(i), y, level, kernel=(3, 1, 1), groups=32)
        levels.append(torch.stack([part.amax(2) for part in y.split(frames, 2)], 2))
    # the authors' code overwrites the lower level by the sum before the bottom-up flow
    levels[0] = levels[0] + levels[1]
    flows = [_fuse_levels(file, names, names["flows"][0], levels, whole)]
    levels[1] = levels[1] + file.conv(names["bottom_up"], levels[0], level, kernel=(3, 1, 1))
    flows.append(_fuse_levels(file, names, names["flows"][1], levels, whole))
    fused = _fuse(file, *names["last"], flows, whole)

    aux = names["auxiliary"]  # for training: its tensors are in the file, its answer is not used
    file.norm(f"{aux}.bn", file.conv(f"{aux}.conv", res4, whole, kernel=(1, 3, 3)))
    file.head(aux.rpartition(".")[0] + ".fc", fused.mean((2, 3, 4)), num_classes)
    return file.head("cls_head.fc_cls", fused.mean((2, 3, 4)), num_classes)


def _fuse_levels(file, names, flow, levels, channels):
    convolved = []
    for i, y in enumerate(levels):
        conv, norm = (part.format(flow, i) for part in names["level"])
        y = file.conv(conv, y, y.shape[1], kernel=(1, 1, 1), groups=32)
        convolved.append(file.norm(norm, y))
    return _fuse(file, *(part.format(flow) for part in names["fusion"]), convolved, channels)


def _fuse(file, conv, norm, maps, channels):
    """Convolve two maps as if they were one: each by its half of the weight, then added."""
    weight = file.draw(f"{conv}.weight", (channels, 2 * maps[0].shape[1], 1, 1, 1), maps[0])
    halves = weight.flatten(1).chunk(2, 1)
    added = sum(torch.einsum("oc,ncthw->nothw", w, y) for w, y in zip(halves, maps, strict=True))
    return file.norm(norm, added)


@pytest.mark.parametrize("publisher", ["TPN", "mmaction2"])
@pytest.mark.parametrize(("name", "num_frames"), [("tpn_r50_8x8", 8), ("tpn_r50_16x4", 19)])
def test_published_files_give_the_published_logits(publisher, name, num_frames):
    torch.manual_seed(2)
    x = torch.randn(2, 3, num_frames, 48, 64)
    file = Published()
    expected = published_tpn(file, publisher, x, width=8, frames=FRAMES[name], num_classes=5)
    read = LAYOUTS[publisher].translate(file.state)
    network = create_backbone(name, width=8, num_classes=5).eval()
    network.load_state_dict(read.tensors, strict=False)
    assert set(read.tensors) == {k for k in network.state_dict() if "num_batches" not in k}
    assert read.left_out
    assert all(".aux_head." in key and "training only" in why for key, why in read.left_out.items())
    with torch.no_grad():
        logits = network(x)
    assert expected.std() > 0.1
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("publisher", ["TPN", "mmaction2"])
def test_a_file_of_full_width_is_recognized(publisher, tmp_path):
    file = Published()
    clip = torch.empty(1, 3, 8, 64, 64, device="meta")
    published_tpn(file, publisher, clip, width=64, frames=8, num_classes=400)
    # one stored number each: names and shapes are what is looked at
    state = {k: torch.ones(()).expand(v.shape) for k, v in file.state.items()}
    state["cls_head.new_cls.weight"] = torch.ones(()).expand(400, 2048, 1, 1, 1)
    torch.save({"meta": {"epoch": 150}, "state_dict": state}, tmp_path / "tpn.pth")
    network = load_backbone("tpn_r50_16x4", checkpoint=tmp_path / "tpn.pth")
    assert (network.name, network.num_classes) == ("tpn_r50_16x4", 400)
    assert network.transform == TPN_TRANSFORM
    with pytest.raises(CheckpointError, match=r"fits tpn_r50_8x8, tpn_r50_16x4, tpn_r50_32x2"):
        load_backbone(checkpoint=tmp_path / "tpn.pth")
    with pytest.raises(CheckpointError, match=r"does not fit slow_r50_8x8.*looks like tpn_r50"):
        load_backbone("slow_r50_8x8", checkpoint=tmp_path / "tpn.pth")


@pytest.mark.parametrize(
    ("name", "macs", "gmacs_with_norms"),
    [
        ("tpn_r50_8x8", 65_666_842_624, 65.90),  # x 30 views = 1977, the paper's own number
        ("tpn_r50_16x4", 130_049_409_024, 130.52),
        ("tpn_r50_32x2", 258_814_541_824, 259.75),
    ],
)
def test_counts(name, macs, gmacs_with_norms):
    with torch.device("meta"):
        network = create_backbone(name)
    counted = count(network, network.clip.input_shape)
    assert (counted.params, counted.macs) == (71_800_272, macs)
    assert round(counted.macs_with_2bn / 1e9, 2) == gmacs_with_norms
    if name == "tpn_r50_8x8":
        assert round(30 * counted.macs_with_2bn / 1e9) == 1977


def test_between_stages_goes_what_the_rest_needs():
    network = create_backbone("tpn_r50_8x8", width=8).eval()
    x = torch.randn(1, 3, 8, 64, 96)
    with torch.no_grad():
        res4 = split_at(network, "res4")[0](x)
        both = split_at(network, "res5")[0](x)
    assert res4.shape == (1, 128, 8, 4, 6)
    assert [tuple(m.shape) for m in both] == [(1, 128, 8, 4, 6), (1, 256, 8, 2, 3)]
    torch.testing.assert_close(both[0], res4, rtol=0, atol=0)


@pytest.mark.parametrize(("num_frames", "steps"), [(1, 1), (8, 1), (9, 2), (36, 5)])
def test_time_is_pooled_by_the_clip(num_frames, steps):
    network = create_backbone("tpn_r50_8x8", width=2).eval()
    with torch.no_grad():
        features = network.features(torch.randn(1, 3, num_frames, 32, 32))
    assert features.shape == (1, 64, steps, 1, 1)


def test_res5_reaches_every_part_of_the_neck():
    neck = TempoPyramid(64, pooled_frames=4)
    maps = torch.randn(2, 32, 4, 6, 6), torch.randn(2, 64, 4, 3, 3, requires_grad=True)
    fused = neck(maps)
    assert fused.shape == (2, 64, 1, 3, 3)
    fused.square().sum().backward()
    assert maps[1].grad.abs().amax((0, 2, 3, 4)).all()
    for name, parameter in neck.named_parameters():
        assert parameter.grad.any(), name


@pytest.mark.parametrize("width", [1, 3])
def test_odd_widths_have_fewer_groups(width):
    network = create_backbone("tpn_r50_8x8", width=width)
    assert network.neck.temporal[0].groups == 16
    assert network(torch.randn(2, 3, 8, 32, 32)).shape == (2, 400)
