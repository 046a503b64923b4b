"""mmaction2's files, and TPN's of its baseline, by their names in another arithmetic."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from published import (
    MMACTION2_NAMES,
    MMACTION2_PARTS,
    SLOW_TIME_KERNELS,
    TPN_NAMES,
    Names,
    Published,
    stage,
    stem,
)
from torch import Tensor

from vidskim.account import count
from vidskim.backbones import create_backbone, load_backbone
from vidskim.backbones.layouts import LAYOUTS
from vidskim.backbones.mmaction2_r34 import MMACTION2_TRANSFORM
from vidskim.errors import CheckpointError, UsageError

I3D_TIME_KERNELS = ((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1))
FAST = MMACTION2_PARTS.at("backbone.fast_path.")
SLOW = MMACTION2_PARTS.at("backbone.slow_path.")
HEAD = "cls_head.fc_cls"


def slow_only(names: Names) -> Callable[..., Tensor]:
    def run(file: Published, x: Tensor, width: int, num_classes: int) -> Tensor:
        x = stem(file, names, x, width)
        for s, kernels in enumerate(SLOW_TIME_KERNELS, start=1):
            x = stage(file, names, x, s, width, kernels)
        return file.head(HEAD, x.mean((2, 3, 4)), num_classes)

    return run


def i3d(file: Published, x: Tensor, width: int, num_classes: int) -> Tensor:
    x = stem(file, MMACTION2_NAMES, x, width, time_kernel=5, step=2)
    for s, kernels in enumerate(I3D_TIME_KERNELS, start=1):
        x = stage(file, MMACTION2_NAMES, x, s, width, kernels)
        if s == 1:  # the larger of each two frames
            x = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
    return file.head(HEAD, x.mean((2, 3, 4)), num_classes)


def slowfast(*, alpha: int, fusion_kernel: int, res4: int) -> Callable[..., Tensor]:
    def run(file: Published, x: Tensor, width: int, num_classes: int) -> Tensor:
        def joined(slow: Tensor, fast: Tensor, name: str) -> Tensor:
            lateral = file.conv(
                f"backbone.slow_path.{name}_lateral.conv",
                fast,
                2 * fast.shape[1],
                kernel=(fusion_kernel, 1, 1),
                stride=(alpha, 1, 1),
            )
            return torch.cat((slow, lateral), 1)

        fast = stem(file, FAST, x, width // 8, time_kernel=5)
        slow = stem(file, SLOW, x[:, :, 0::alpha], width)
        slow = joined(slow, fast, "conv1")
        for s, depth in enumerate((3, 4, res4, 3), start=1):
            fast = stage(file, FAST, fast, s, width // 8, (3,) * depth)
            slow = stage(file, SLOW, slow, s, width, ((3,) if s > 2 else (1,)) * depth)
            if s < 4:
                slow = joined(slow, fast, f"layer{s}")
        pooled = torch.cat((fast.mean((2, 3, 4)), slow.mean((2, 3, 4))), 1)  # fast first
        return file.head(HEAD, pooled, num_classes)

    return run


@dataclass(frozen=True, kw_only=True)
class Case:
    """A published network, the backbone that it is, and what the publisher says of its size."""

    backbone: str
    publisher: str
    run: Callable[..., Tensor]
    num_frames: int
    width: int = 8
    params_millions: float
    """As printed in configs/recognition/*/metafile.yml."""

    def __str__(self) -> str:
        return f"{self.publisher}-{self.backbone}"


CASES = [
    Case(
        backbone="slow_r50_8x8",
        publisher="TPN",
        run=slow_only(TPN_NAMES),
        num_frames=8,
        params_millions=32.45,
    ),
    Case(
        backbone="slow_r50_4x16",
        publisher="mmaction2",
        run=slow_only(MMACTION2_NAMES),
        num_frames=4,
        params_millions=32.45,
    ),
    Case(
        backbone="i3d_r50_8x8",
        publisher="mmaction2",
        run=i3d,
        num_frames=32,
        params_millions=28.0,
    ),
    Case(
        backbone="slowfast_r50_4x16",
        publisher="mmaction2",
        run=slowfast(alpha=8, fusion_kernel=5, res4=6),
        num_frames=32,
        width=16,
        params_millions=34.5,
    ),
    Case(
        backbone="slowfast_r50_8x8",
        publisher="mmaction2",
        run=slowfast(alpha=4, fusion_kernel=7, res4=6),
        num_frames=32,
        width=16,
        params_millions=34.6,
    ),
    Case(
        backbone="slowfast_r101_8x8",
        publisher="mmaction2",
        run=slowfast(alpha=4, fusion_kernel=7, res4=23),
        num_frames=32,
        width=16,
        params_millions=62.9,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_published_files_give_the_published_logits(case):
    torch.manual_seed(1)
    x = torch.randn(2, 3, case.num_frames, 48, 64)
    file = Published()
    expected = case.run(file, x, case.width, 5)
    (read,) = (
        layout.translate(file.state)
        for layout in LAYOUTS[case.backbone]
        if layout.publisher == case.publisher and layout.matches(file.state)
    )
    network = create_backbone(case.backbone, width=case.width, num_classes=5, **read.options).eval()
    network.load_state_dict(read.tensors, strict=False)
    assert set(read.tensors) == {k for k in network.state_dict() if "num_batches" not in k}
    assert read.left_out == {}
    assert expected.std() > 0.1
    with torch.no_grad():
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def published_file(tmp_path):
    """Write the file of a case at full width; each tensor is one stored number."""

    def write(case: Case, **extra: Tensor) -> str:
        file = Published()
        with torch.no_grad():
            case.run(file, torch.empty(1, 3, 32, 64, 64, device="meta"), 64, 400)
        state = {k: torch.ones(()).expand(v.shape) for k, v in file.state.items()}
        torch.save({"meta": {"epoch": 1}, "state_dict": {**state, **extra}}, tmp_path / "file.pth")
        return tmp_path / "file.pth"

    return write


@pytest.mark.parametrize("case", CASES, ids=str)
def test_files_of_full_width_are_recognized(case, published_file):
    network = load_backbone(case.backbone, checkpoint=published_file(case))
    assert network.num_classes == 400
    assert network.transform == MMACTION2_TRANSFORM
    assert network.clip.num_frames == case.num_frames
    digits = len(str(case.params_millions).partition(".")[2])
    params = sum(p.numel() for p in network.parameters())
    assert round(params / 1e6, digits) == case.params_millions


def test_what_is_left_over_is_named(published_file):
    """Non-local blocks of mmaction2 pool and scale otherwise than ours: such files are refused."""
    name = "backbone.layer2.1.non_local_block.theta.conv.weight"
    path = published_file(CASES[2], **{name: torch.ones(256, 512, 1, 1, 1)})
    with pytest.raises(CheckpointError, match=rf"1 left over \({name}\)"):
        load_backbone("i3d_r50_8x8", checkpoint=path)


def test_i3d_strides_time_in_its_stem():
    network = create_backbone("i3d_r50_8x8", layout="mmaction2", width=8).eval()
    assert str(network.clip) == "32x2, 224x224 pixels"
    with torch.no_grad():
        assert network.features(torch.randn(1, 3, 32, 32, 32)).shape == (1, 256, 4, 1, 1)
    with torch.device("meta"):
        full = create_backbone("i3d_r50_8x8", layout="mmaction2")
    counted = count(full, (1, 3, 32, 256, 256))
    assert round(counted.macs_with_2bn / 1e9, 1) == 43.5  # as metafile.yml says


@pytest.mark.parametrize("name", ["i3d_r50_8x8", "slowfast_r50_4x16"])
def test_unknown_layouts_are_refused(name):
    with pytest.raises(UsageError, match=r"unknown layout 'mmaction3'.*mmaction2"):
        create_backbone(name, layout="mmaction3")
