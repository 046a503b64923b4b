"""A backbone and its memory to a file and back, and every file that is none."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tinynets import CLASSES, tiny_classifier, tiny_faster, tiny_memory
from vidskim.backbones.files.checkpoint import load_backbone, save_backbone
from vidskim.errors import CheckpointError, UsageError
from vidskim.model.file import load_model, read_metadata, save_model
from vidskim.model.memory import CollaborativeMemory
from vidskim.train.multi_clip import MultiClip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("memory") / "model.safetensors"
    model = tiny_memory()
    save_model(model, path, metadata={"recipe": "tiny"})
    return model, path


def opened(path):
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["vidskim"])
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118


def clips() -> torch.Tensor:
    return torch.randn(1, 3, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("interaction", [None, "associative", "average"])
@pytest.mark.parametrize("is_multilabel", [False, True])
def test_a_file_gives_the_model_back_bit_for_bit(tmp_path, interaction, is_multilabel):
    model = tiny_memory(interaction=interaction, infusion="residual", is_multilabel=is_multilabel)
    path = tmp_path / "deep" / "model.safetensors"
    save_model(model, path)
    again = load_model(path)
    assert not again.training
    with torch.no_grad():
        assert torch.equal(model(clips()), again(clips()))
    assert (again.num_clips, again.is_multilabel) == (3, is_multilabel)
    assert again.backbone.classes == CLASSES
    assert (again.clip, again.backbone.transform) == (model.clip, model.backbone.transform)
    if interaction is not None:
        assert again.memory.options == model.memory.options


def test_metadata_and_kind(saved, tmp_path):
    _, path = saved
    assert read_metadata(path) == {"recipe": "tiny"}
    assert is_collaborative(path)
    save_backbone(tiny_classifier(), tmp_path / "b.safetensors")
    save_model(tiny_faster(), tmp_path / "f.safetensors")
    for name in ("b.safetensors", "f.safetensors"):
        assert not is_collaborative(tmp_path / name)
        with pytest.raises(CheckpointError, match="holds no backbone with a memory"):
            load_model(tmp_path / name)


def test_others_say_what_it_is(saved):
    _, path = saved
    with pytest.raises(CheckpointError, match="backbone with a memory"):
        load_backbone(checkpoint=path)
    with pytest.raises(CheckpointError, match="holds no FASTER model"):
        load_model(path)


CHANGES = {
    "no memory told": lambda h: h.update(memory=None),
    "other reduction": lambda h: h["memory"].update(reduction=2),
    "no reduction": lambda h: h["memory"].update(reduction=0),
    "word": lambda h: h["memory"].update(interaction="pickle"),
    "unknown option": lambda h: h["memory"].update(depth=2),
    "memory is text": lambda h: h.update(memory="x"),
    "clips": lambda h: h.update(num_clips=10**9),
    "clips are true": lambda h: h.update(num_clips=True),
    "no clips": lambda h: h.pop("num_clips"),
    "flag": lambda h: h.update(is_multilabel="yes"),
    "backbone is a list": lambda h: h.update(backbone=[1]),
    "backbone unknown": lambda h: h["backbone"].update(name="r3d_99"),
    "backbone without clip": lambda h: h["backbone"].update(clip=None),
    "backbone on images": lambda h: h["backbone"].update(name="resnet_18"),
    "wide": lambda h: h["backbone"]["options"].update(width=10**7),
}


@pytest.mark.parametrize("change", CHANGES)
def test_damaged_headers(saved, tmp_path, change):
    tensors, header = opened(saved[1])
    CHANGES[change](header)
    path = tmp_path / "m.safetensors"
    save_file(tensors, path, metadata={"vidskim": json.dumps(header)})
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        load_model(path)


@pytest.mark.parametrize("metadata", [None, 3, "x", [], [["a", 1]], "left out"])
def test_damaged_metadata(saved, tmp_path, metadata):
    tensors, header = opened(saved[1])
    header["metadata"] = metadata
    if metadata == "left out":
        del header["metadata"]
    path = tmp_path / "m.safetensors"
    save_file(tensors, path, metadata={"vidskim": json.dumps(header)})
    with pytest.raises(CheckpointError, match=r"m\.safetensors: its vidskim header is damaged"):
        read_metadata(path)


@pytest.mark.parametrize("what", ["missing", "left over", "shape", "nan", "integers"])
def test_damaged_tensors(saved, tmp_path, what):
    tensors, header = opened(saved[1])
    name = "memory.key.weight"
    if what == "missing":
        del tensors[name]
    elif what == "left over":
        tensors["head.weight"] = torch.zeros(1)
    elif what == "shape":
        tensors[name] = tensors[name][:3].clone()
    elif what == "nan":
        tensors[name][0, 0] = float("nan")
    else:
        tensors[name] = tensors[name].to(torch.int64)
    path = tmp_path / "m.safetensors"
    save_file(tensors, path, metadata={"vidskim": json.dumps(header)})
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        load_model(path)


def test_cut_short(saved, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(saved[1].read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        load_model(path)
    with pytest.raises(CheckpointError, match="none"):
        load_model(tmp_path / "none.safetensors")


def test_parts_that_do_not_fit():
    backbone = tiny_classifier()
    with pytest.raises(UsageError, match="acts on 32 channels, got 16"):
        MultiClip(backbone, CollaborativeMemory(16), num_clips=2)
    with pytest.raises(UsageError, match="at least 1 clip"):
        MultiClip(backbone, None, num_clips=0)
