"""Hugging Face video classifiers give the library's own logits, as maps in stages."""

import subprocess
import sys

import pytest
import torch

import vidskim
from tiny_hf import FAMILIES, NAMES, SMALL, build, clips, write
from vidskim.account import count
from vidskim.backbones import (
    Backbone,
    create_backbone,
    load_backbone,
    read_header,
    save_backbone,
    split_at,
)
from vidskim.backbones.open import open_model
from vidskim.cost.model import cost_of
from vidskim.errors import UsageError

GRIDS = {"videomae": (2, 2, 3), "timesformer": (3, 2, 2), "vivit": (2, 2, 3), "vjepa2": (3, 2, 2)}


@pytest.fixture(scope="module", params=FAMILIES)
def case(request, tmp_path_factory):
    """(family, folder as the library saves it, the library's model)."""
    model = build(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    write(model, folder)
    return request.param.split("-")[0], folder, model


@pytest.fixture
def vivit(tmp_path):
    model = build("vivit")
    write(model, tmp_path)
    return tmp_path, model


def test_logits_are_the_librarys(case):
    family, folder, model = case
    network = load_backbone(f"hf:{folder}")
    assert isinstance(network, Backbone)
    assert network.name == f"hf:{family}"
    assert (network.num_classes, network.classes) == (5, NAMES)
    assert not network.training
    x = clips(network)
    with torch.no_grad():
        expected = model(x.transpose(1, 2)).logits
        features = network.features(x)
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-5)
        assert torch.equal(network(x), network.classify(features))
    assert features.shape == (2, network.num_features, *GRIDS[family])
    assert network.num_features == (48 if family in ("timesformer", "vivit") else 24)


def test_splits_at_every_stage(case):
    _, folder, _ = case
    network = load_backbone(f"hf:{folder}")
    assert network.stages == ("embed", "block1", "block2")
    x = clips(network)
    with torch.no_grad():
        whole = network.features(x)
        for stage in network.stages:
            early, late = split_at(network, stage)
            between = early(x)
            maps = between if isinstance(between, tuple) else (between,)
            assert all(m.ndim == 5 for m in maps)
            torch.testing.assert_close(late(between), whole, rtol=0, atol=0)


def test_each_place_of_the_map_is_its_patch(case):
    family, folder, _ = case
    network = load_backbone(f"hf:{folder}")
    x = clips(network, batch=1)
    T, H, W = GRIDS[family]
    step = x.shape[2] // T
    t, h, w = T - 1, 0, 1
    changed = x.clone()
    changed[:, :, t * step, h * 16 : h * 16 + 16, w * 16 : w * 16 + 16] += 1
    embed = network.stage_modules()[0]
    before, after = (m[0] if isinstance(m := embed(v), tuple) else m for v in (x, changed))
    moved = (before != after).any(1)[0]
    assert moved.shape == (T, H, W)
    assert moved.nonzero().tolist() == [[t, h, w]]


def test_every_parameter_gets_a_gradient(case):
    _, folder, _ = case
    network = load_backbone(f"hf:{folder}").train()
    network(clips(network)).square().sum().backward()
    without = [
        k for k, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ]
    assert without == []


def test_a_tuned_network_needs_neither_hub_nor_folder(case, tmp_path, monkeypatch):
    _, folder, _ = case
    network = load_backbone(f"hf:{folder}", num_classes=3)
    assert (network.num_classes, network.classes) == (3, None)
    network.classes = ("a", "b", "c")
    path = tmp_path / "tuned.safetensors"
    save_backbone(network, path)
    monkeypatch.setattr("vidskim.backbones.hf.create.find_source", None)
    again = load_backbone(checkpoint=path)
    assert (again.name, again.classes, again.clip) == (network.name, ("a", "b", "c"), network.clip)
    assert again.transform == network.transform
    x = clips(network)
    with torch.no_grad():
        torch.testing.assert_close(again(x), network(x), rtol=0, atol=0)
    untrained = create_backbone(network.name, num_classes=3, **read_header(path).options)
    shapes = {k: v.shape for k, v in untrained.state_dict().items()}
    assert shapes == {k: v.shape for k, v in network.state_dict().items()}


def test_exports_with_a_dynamic_batch(case):
    _, folder, _ = case
    network = load_backbone(f"hf:{folder}")
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(
        network, (clips(network),), dynamic_shapes={"x": {0: batch}}, strict=False
    )
    x = clips(network, batch=3)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), network(x), rtol=0, atol=1e-6)


def test_other_clips_are_refused(case):
    family, folder, _ = case
    network = load_backbone(f"hf:{folder}")
    frames = network.clip.num_frames
    for x in (clips(network)[:, :, 1:], clips(network)[..., :-1], clips(network)[0]):
        with pytest.raises(UsageError, match=rf"hf:{family} takes clips \[N, 3, .*got \["):
            network(x)
    assert count(network, (3, *clips(network).shape[2:])).input_shape == (
        1,
        *clips(network).shape[1:],
    )
    assert network.clip.num_frames == frames


def test_rotary_positions_take_clips_of_any_length(tmp_path):
    model = build("vjepa2")
    write(model, tmp_path)
    network = load_backbone(f"hf:{tmp_path}")
    x = torch.randn(1, 3, 10, 32, 32)
    with torch.no_grad():
        assert network.features(x).shape == (1, 24, 5, 2, 2)
        torch.testing.assert_close(network(x), model(x.transpose(1, 2)).logits, rtol=0, atol=1e-5)


def layer_macs(tokens: int, width: int) -> int:
    """Multiply-adds of a layer by hand: four projections, two products, a fourfold MLP."""
    return 12 * tokens * width**2 + 2 * tokens**2 * width


@pytest.mark.parametrize("family", ["videomae", "timesformer", "vivit", "vjepa2"])
def test_macs_are_those_counted_by_hand(family):
    d = 768
    match family:
        case "videomae":  # 8 x 14 x 14 tokens
            expected = 1568 * 1536 * d + 12 * layer_macs(1568, d) + d * 400
        case "vivit":  # and a class token
            expected = 3136 * 1536 * d + 12 * layer_macs(3137, d) + d * 400
        case "timesformer":  # over time at each of 196 places, then over space with the class token
            time = 1568 * 4 * d**2 + 2 * 196 * 8**2 * d + 1568 * d**2
            space = 8 * 197 * 4 * d**2 + 2 * 8 * 197**2 * d
            expected = 1568 * 768 * d + 12 * (time + space + 1569 * 8 * d**2) + d * 400
        case _:  # three pooler layers, then one query attends to all tokens
            d, tokens = 1024, 32 * 16 * 16
            query = d**2 + 2 * tokens * d**2 + 2 * tokens * d + 8 * d**2
            expected = tokens * 1536 * d + 27 * layer_macs(tokens, d) + query + d * 400
    assert cost_of(f"hf:{family}").macs == expected


def test_without_the_library_it_says_what_to_install(vivit, monkeypatch):
    folder, _ = vivit
    network = load_backbone(f"hf:{folder}")
    save_backbone(network, folder / "ours.safetensors")
    monkeypatch.setitem(sys.modules, "transformers", None)
    for call in (
        lambda: load_backbone(f"hf:{folder}"),
        lambda: create_backbone("hf:vivit"),
        lambda: load_backbone(checkpoint=folder / "ours.safetensors"),
    ):
        with pytest.raises(UsageError, match=r'pip install "vidskim\[hf\]"'):
            call()


def test_the_library_is_not_imported_before_it_is_needed():
    code = (
        "import sys, vidskim, vidskim.cli, vidskim.backbones.open; "
        "sys.exit(bool({'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hf:vivit", {"config": {"hiden_size": 8}}, "unknown size of hf:vivit 'hiden_size'"),
        ("hf:vivit", {"config": {"hidden_size": 0}}, "0 channels"),
        ("hf:vivid", {"config": {}}, "unknown architecture 'hf:vivid': did you mean 'hf:vivit'"),
        ("hf:vivit", {"num_classes": 0}, "at least one class, got 0"),
    ],
)
def test_wrong_sizes_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        create_backbone(name, **options)
    with pytest.raises(UsageError, match="an architecture without weights"):
        load_backbone("hf:vivit")


def test_strides_are_those_of_the_papers():
    def stride(family, **sizes):
        with torch.device("meta"):
            return create_backbone(f"hf:{family}", config={**SMALL, **sizes}).clip.stride

    assert stride("videomae", image_size=32) == 4
    assert [stride("timesformer", num_frames=n) for n in (8, 16, 96)] == [32, 16, 4]
    assert stride("vivit") == 2
    assert [stride("vjepa2", frames_per_clip=n) for n in (16, 32, 64)] == [4, 2, 2]


def test_a_video_is_recognized(vivit, sample_video):
    folder, _ = vivit
    answer = vidskim.recognize(sample_video, model=f"hf:{folder}", k=2)
    assert {p.label for p in answer.predictions} <= set(NAMES)
    assert answer.to_json()["model"] == f"hf:{folder} (hf:vivit)"
    (folder / "model.safetensors").unlink()
    network, origin = open_model(f"hf:{folder}", random_weights=True)
    assert network.classes == NAMES
    assert origin.model == f"hf:{folder} (hf:vivit), random weights"
    assert cost_of(f"hf:{folder}").macs == count(network, network.clip.input_shape).macs
