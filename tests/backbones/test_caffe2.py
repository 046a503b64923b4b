"""Caffe2's files: names and shapes written down anew, and a forward pass over the blobs alone."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pathways_by_frames import Net, logits, random_state, shapes
from test_slow import I3D_NL, SLOW_NL
from test_slowfast import R50_NL, R101_NL, plan
from torch.nn.functional import batch_norm, conv3d, max_pool3d

from vidskim.backbones import create_backbone, load_backbone
from vidskim.backbones.files.identify import identify
from vidskim.backbones.layouts import LAYOUTS
from vidskim.errors import CheckpointError

DEPTHS = {2: 3, 3: 4, 4: 6, 5: 3}
TIME = {2: 1, 3: 1, 4: 3, 5: 3}
Shape = tuple[int, ...]


def _norm(name: str, channels: int) -> Iterator[tuple[str, Shape]]:
    for part in ("s", "b", "rm", "riv"):
        yield f"{name}_bn_{part}", (channels,)


def slow_blobs(num_classes: int) -> Iterator[tuple[str, Shape]]:
    """Yield the name and shape of every blob of Slow-only R50."""
    yield "conv1_w", (64, 3, 1, 7, 7)
    yield from _norm("res_conv1", 64)
    channels = 64
    for stage, depth in DEPTHS.items():
        inside = 64 * 2 ** (stage - 2)
        for block in range(depth):
            name = f"res{stage}_{block}"
            if block == 0:
                yield f"{name}_branch1_w", (4 * inside, channels, 1, 1, 1)
                yield from _norm(f"{name}_branch1", 4 * inside)
            yield f"{name}_branch2a_w", (inside, channels, TIME[stage], 1, 1)
            yield from _norm(f"{name}_branch2a", inside)
            yield f"{name}_branch2b_w", (inside, inside, 1, 3, 3)
            yield from _norm(f"{name}_branch2b", inside)
            yield f"{name}_branch2c_w", (4 * inside, inside, 1, 1, 1)
            yield from _norm(f"{name}_branch2c", 4 * inside)
            channels = 4 * inside
    yield "pred_w", (num_classes, channels)
    yield "pred_b", (num_classes,)


def _random(shapes: Iterator[tuple[str, Shape]]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    blobs = {}
    for name, shape in shapes:
        if name.endswith("_riv"):
            value = generator.uniform(0.5, 2, shape)
        elif len(shape) > 1:
            value = generator.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        else:
            value = generator.normal(float(name.endswith("_s")), 0.2, shape)
        blobs[name] = value.astype(np.float32)
    return blobs


def slow_forward(blobs: dict[str, np.ndarray], x: torch.Tensor) -> torch.Tensor:
    """Run Slow-only R50 straight from its blobs; the network of the paper's table 1."""
    tensors = {k: torch.from_numpy(v) for k, v in blobs.items()}

    def conv(x, name, norm, *, stride=1, relu=True):
        weight = tensors[f"{name}_w"]
        pad = [n // 2 for n in weight.shape[2:]]
        x = conv3d(x, weight, stride=(1, stride, stride), padding=pad)
        scale, bias, mean, var = (tensors[f"{norm}_bn_{part}"] for part in ("s", "b", "rm", "riv"))
        x = batch_norm(x, mean, var, scale, bias, eps=1e-5)
        return x.relu() if relu else x

    x = conv(x, "conv1", "res_conv1", stride=2)
    x = max_pool3d(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
    for stage, depth in DEPTHS.items():
        for block in range(depth):
            name = f"res{stage}_{block}_branch"
            stride = 2 if block == 0 and stage > 2 else 1
            across = x
            if block == 0:
                across = conv(x, f"{name}1", f"{name}1", stride=stride, relu=False)
            inner = conv(x, f"{name}2a", f"{name}2a")
            inner = conv(inner, f"{name}2b", f"{name}2b", stride=stride)
            x = (across + conv(inner, f"{name}2c", f"{name}2c", relu=False)).relu()
    return x.mean((2, 3, 4)) @ tensors["pred_w"].T + tensors["pred_b"]


@pytest.fixture(scope="module")
def blobs():
    return _random(slow_blobs(5))


def _write(path, blobs) -> None:
    path.write_bytes(pickle.dumps({"blobs": blobs, "cfg": "MODEL: slow"}, protocol=2))


def test_a_caffe2_file_gives_what_its_blobs_compute(tmp_path, blobs, caplog):
    path = tmp_path / "SLOWONLY_8x8_R50.pkl"
    state_of_training = {
        "conv1_w_momentum": np.zeros((64, 3, 1, 7, 7), np.float32),
        "lr": np.float32(0.1),
        "model_iter": np.int64(9),
    }
    _write(path, {**blobs, **state_of_training})
    network = load_backbone("slow_r50_8x8", checkpoint=path)
    assert network.num_classes == 5
    momentum, training = (record.getMessage() for record in caplog.records)
    assert momentum.endswith(
        "1 tensors are not loaded, momentum of the optimizer (conv1_w_momentum)"
    )
    assert training.endswith("2 tensors are not loaded, state of the training (lr, model_iter)")
    x = torch.randn(2, 3, 4, 40, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = network(x), slow_forward(blobs, x)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_blob_we_do_not_know_is_named(tmp_path, blobs):
    _write(tmp_path / "net.pkl", {**blobs, "res9_0_branch2a_w": np.zeros(3, np.float32)})
    with pytest.raises(CheckpointError, match=r"left over \(res9_0_branch2a_w\)"):
        load_backbone("slow_r50_8x8", checkpoint=tmp_path / "net.pkl")
    fewer = {k: v for k, v in blobs.items() if k != "res4_5_branch2b_bn_riv"}
    _write(tmp_path / "net.pkl", fewer)
    with pytest.raises(CheckpointError, match=r"missing \(layer3\.5\.conv2\.1\.running_var\)"):
        load_backbone("slow_r50_8x8", checkpoint=tmp_path / "net.pkl")


def test_names_that_share_their_tensors_are_listed(tmp_path, blobs):
    _write(tmp_path / "net.pkl", blobs)
    with pytest.raises(CheckpointError, match=r"fits slow_r50_4x16, slow_r50_8x8,.*give the back"):
        load_backbone(checkpoint=tmp_path / "net.pkl")


@dataclass(frozen=True)
class Caffe2:
    """Names of layers as in Caffe2's files, for `pathways_by_frames`."""

    net: Net

    def stem(self, pathway: int) -> tuple[str, str]:
        fast = "t_" * pathway
        return f"{fast}conv1", f"{fast}res_conv1_bn"

    def fusion(self, stage: int) -> tuple[str, str]:
        if stage == 1:
            return "t_pool1_subsample", "t_pool1_subsample_bn"
        last = len(self.net.kernels[1][stage - 2]) - 1
        at = f"t_res{stage}_{last}_branch2c_bn_subsample"
        return at, f"{at}_bn"

    def block(self, pathway: int, stage: int, block: int, part: str) -> tuple[str, str]:
        at = f"{'t_' * pathway}res{stage}_{block}_branch"
        at += "1" if part == "shortcut" else f"2{part}"
        return at, f"{at}_bn"

    def attention(self, stage: int, block: int) -> tuple[str, ...]:
        at = f"nonlocal_conv{stage}_{block}_"
        return tuple(f"{at}{part}" for part in ("theta", "phi", "g", "out", "bn"))

    @property
    def head(self) -> str:
        return "pred"


def _blob_name(key: str) -> str:
    layer, part = key.rsplit(".", 1)
    if layer.endswith("_bn"):
        short = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
        return f"{layer}_{short[part]}"
    return f"{layer}_{part[0]}"


@pytest.mark.parametrize(
    ("name", "net", "told"),
    [
        ("slowfast_r50_8x8", plan(), {}),
        ("slowfast_r50_4x16_nl", plan(alpha=8, fusion=5, attention=R50_NL), {}),
        (
            "slowfast_r101_8x8_nl",
            plan(101, fusion=5, res4=(23, 23), attention=R101_NL),
            {"res4_kernels": "101_101"},
        ),
        ("i3d_r50_8x8_nl", I3D_NL, {}),
        ("slow_r50_8x8_nl", SLOW_NL, {"nonlocal_pool": "1x2x2"}),
    ],
)
def test_two_pathways_and_non_local_blocks_are_read_by_caffe2_names(name, net, told):
    names = Caffe2(net)
    full = Caffe2(replace(net, width=64))
    kept = [(key, shape) for key, shape in shapes(full) if not key.endswith("_tracked")]
    shown = {_blob_name(key): torch.empty(shape, device="meta") for key, shape in kept}
    assert len(shown) == len(kept)
    found = identify(shown, name=name, path=Path("net.pkl"))
    assert (found.publisher, found.share, found.num_classes) == ("Caffe2", 1, 5)
    assert told.items() <= found.options.items()

    layout = next(
        known
        for known in LAYOUTS[name]
        if (known.publisher, dict(known.options)) == ("Caffe2", found.options)
    )
    state = {k: v for k, v in random_state(names).items() if not k.endswith("_tracked")}
    for key in state:
        if "_theta" in key or "_phi" in key:  # or attention outgrows the map it reads
            state[key] *= 0.1
    tensors = layout.translate({_blob_name(k): v for k, v in state.items()}).tensors
    network = create_backbone(name, num_classes=5, **{**layout.options, "width": net.width})
    network.load_state_dict(tensors, strict=False)
    x = torch.randn(1, 3, 16, 64, 64)
    with torch.no_grad():
        ours, theirs = network.eval()(x), logits(names, state, x)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
