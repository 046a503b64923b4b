"""FASTER models to files and back, and every file that is none."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from tinynets import CLASSES, tiny_classifier, tiny_faster
from vidskim.backbones.files.checkpoint import load_backbone, read_header, save_backbone
from vidskim.errors import CheckpointError, UsageError
from vidskim.model.aggregate import FastGru
from vidskim.model.file import load_model, read_metadata, save_model
from vidskim.model.presets import faster


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model and its file."""
    path = tmp_path_factory.mktemp("faster") / "model.safetensors"
    model = tiny_faster()
    save_model(model, path, metadata={"recipe": "tiny", "top1": 0.5})
    return model, path


def opened(path) -> tuple[dict[str, torch.Tensor], dict]:
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["vidskim"])
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118


def answers(model: Faster) -> list[torch.Tensor]:
    """What each encoder, adapter and the aggregator give."""
    generator = torch.Generator().manual_seed(7)
    found = []
    with torch.no_grad():
        for encoder, adapter in zip(model.networks, model.adapters, strict=True):
            x = torch.randn(encoder.clip.input_shape, generator=generator)
            found += [encoder(x), adapter(encoder.features(x))]
        found.append(model.aggregator(torch.stack([found[1], found[3], found[1]], dim=1)))
    return found


@pytest.mark.parametrize("aggregator", ["fast_gru", "gru", "lstm", "concat"])
@pytest.mark.parametrize("pattern", ["1:2", "first", "ECCEC"])
def test_a_file_gives_the_model_back_bit_for_bit(tmp_path, aggregator, pattern):
    model = tiny_faster(aggregator=aggregator, pattern=pattern, num_clips=5)
    for buffer in model.aggregator.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2)
    path = tmp_path / "deep" / "model.safetensors"
    save_model(model, path, metadata={"note": "x"})
    again = load_model(path)
    assert not again.training
    for old, new in zip(answers(model), answers(again), strict=True):
        assert torch.equal(old, new)
    assert set(again.state_dict()) == set(model.state_dict())
    assert again.pattern(12) == model.pattern(12)
    assert (again.num_clips, again.classes, again.clip) == (5, CLASSES, model.clip)
    assert again.aggregator.name == aggregator
    assert again.aggregator.options == model.aggregator.options
    assert [a.places for a in again.adapters] == [a.places for a in model.adapters]
    assert [(e.name, e.clip, e.transform) for e in again.networks] == [
        (e.name, e.clip, e.transform) for e in model.networks
    ]
    assert not any(p.requires_grad for p in again.encoders.parameters())
    assert all(p.requires_grad for p in again.aggregator.parameters())
    assert {p.device.type for p in again.parameters()} == {"cpu"}
    assert read_metadata(path) == {"note": "x"}


def test_options_of_the_aggregator_are_kept(tmp_path):
    aggregator = FastGru(32, 4, reduction=2, dropout=0.3)
    model = faster([tiny_classifier()], aggregator, pattern="all", num_clips=3)
    save_model(model, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert again.aggregator.options == {"dropout": 0.3, "reduction": 2}
    assert len(again.encoders) == 1
    assert read_metadata(tmp_path / "m.safetensors") == {}


def test_half_precision_files_become_float32(saved, tmp_path):
    tensors, header = opened(saved[1])
    halved = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    write(tmp_path / "half.safetensors", halved, header)
    model = load_model(tmp_path / "half.safetensors")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def write(path, tensors, header) -> None:
    text = header if isinstance(header, str) else json.dumps(header)
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata={"vidskim": text})


def without(*names):
    def change(tensors, header):
        for name in names:
            del tensors[name]

    return change


def with_tensor(name, value):
    def change(tensors, header):
        tensors[name] = value(tensors[name]) if callable(value) else value

    return change


def told(*keys, value):
    """A header whose entry at a path of keys is another one."""

    def change(tensors, header):
        place = header
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def untold(*keys):
    def change(tensors, header):
        place = header
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return change


def filled_with(number):
    def change(weights):
        damaged = weights.clone()
        damaged.view(-1)[0] = number
        return damaged

    return change


CANDIDATE = "aggregator.cell.candidate_clip.weight"
PROJECTION = "adapters.1.project.weight"

DAMAGED = {
    "a missing weight of the aggregator": without(CANDIDATE),
    "a missing projection": without(PROJECTION),
    "a missing weight of an encoder": without("encoders.1.fc.weight"),
    "no head": without("aggregator.head.weight", "aggregator.head.bias"),
    "a left-over tensor": with_tensor("thing", torch.zeros(2)),
    "a left-over weight of the aggregator": with_tensor("aggregator.more", torch.zeros(2)),
    "a left-over adapter": with_tensor("adapters.0.project.weight", torch.zeros(32, 32, 1, 1, 1)),
    "a third encoder's tensor": with_tensor("encoders.2.fc.weight", torch.zeros(2)),
    "another shape": with_tensor(CANDIDATE, lambda w: w[:16]),
    "another shape of as many numbers": with_tensor(CANDIDATE, lambda w: w.view(16, 64, 1, 1, 1)),
    "another projection": with_tensor(PROJECTION, lambda w: w.transpose(0, 1)),
    "another shape in an encoder": with_tensor("encoders.0.fc.weight", lambda w: w[:2]),
    "whole numbers for weights": with_tensor(CANDIDATE, lambda w: w.int()),
    "no numbers": with_tensor(CANDIDATE, filled_with(float("nan"))),
    "an infinite weight": with_tensor("encoders.0.fc.weight", filled_with(float("inf"))),
    "an infinite projection": with_tensor(PROJECTION, filled_with(-float("inf"))),
    "no encoder": told("encoders", value=[]),
    "encoders that are none": told("encoders", value=3),
    "an encoder that is none": told("encoders", 0, value="r3d_18"),
    "an unknown encoder": told("encoders", 0, "name", value="r4d_18"),
    "an encoder of other width": told("encoders", 0, "options", value={"width": 8}),
    "one encoder of two": lambda tensors, header: header["encoders"].pop(),
    "three encoders": lambda tensors, header: header["encoders"].append(header["encoders"][0]),
    "an encoder without a clip": told("encoders", 1, "clip", value=None),
    "an encoder without a transform": told("encoders", 0, "transform", value=None),
    "encoders of different clips": told("encoders", 1, "clip", "num_frames", value=16),
    "a clip that no network takes": told("encoders", 1, "clip", "size", value=[4097, 4097]),
    "a clip of one frame": lambda tensors, header: [
        e["clip"].update(num_frames=1) for e in header["encoders"]
    ],
    "other classes": told("encoders", 1, "classes", value=["a", "b", "c", "d"]),
    "no adapters": told("adapters", value=[]),
    "one adapter": lambda tensors, header: header["adapters"].pop(),
    "adapters that are none": told("adapters", value=[1, 2]),
    "places of too few dimensions": told("adapters", 0, "places", value=[1, 2]),
    "no place": told("adapters", 0, "places", value=[1, 0, 2]),
    "places in words": told("adapters", 0, "places", value="122"),
    "places that differ": told("adapters", 0, "places", value=[1, 1, 1]),
    "more places than the maps have": lambda tensors, header: [
        adapter.update(places=[4, 9, 9]) for adapter in header["adapters"]
    ],
    "too many places": told("adapters", 1, "places", value=[10**9, 10**9, 10**9]),
    "an unknown aggregator": told("aggregator", "name", value="fast_gur"),
    "an aggregator that is none": told("aggregator", value="fast_gru"),
    "another aggregator": told("aggregator", "name", value="gru"),
    "an unknown option": told("aggregator", "options", "depth", value=2),
    "a reduction of zero": told("aggregator", "options", "reduction", value=0),
    "another reduction": told("aggregator", "options", "reduction", value=2),
    "a reduction in words": told("aggregator", "options", "reduction", value="four"),
    "a dropout above one": told("aggregator", "options", "dropout", value=2),
    "absurdly many channels": told("aggregator", "channels", value=65536),
    "more channels than any": told("aggregator", "channels", value=10**30),
    "channels below zero": told("aggregator", "channels", value=-32),
    "broken channels": told("aggregator", "channels", value=32.5),
    "infinite channels": told("aggregator", "channels", value=float("inf")),
    "other classes of the aggregator": told("aggregator", "num_classes", value=5),
    "no pattern": told("pattern", value=""),
    "an unknown pattern": told("pattern", value="1:7:3"),
    "a pattern that is a number": told("pattern", value=8),
    "a pattern that is null": told("pattern", value=None),
    "no clips": told("num_clips", value=0),
    "absurdly many clips": told("num_clips", value=10**18),
    "infinitely many clips": told("num_clips", value=float("inf")),
    "clips in words": told("num_clips", value="six"),
    "nothing of the aggregator": untold("aggregator"),
    "nothing of the clips": untold("num_clips"),
    "nothing of the pattern": untold("pattern"),
    "nothing of the adapters": untold("adapters"),
    "no channels": untold("aggregator", "channels"),
    "a newer version": told("version", value=99),
    "no version": untold("version"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_one_clear_error(saved, tmp_path, what):
    tensors, header = opened(saved[1])
    DAMAGED[what](tensors, header)
    path = tmp_path / "damaged.safetensors"
    write(path, tensors, header)
    with pytest.raises(CheckpointError) as error:
        load_model(path)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value)) < 1000
    assert "\n" not in str(error.value)


def test_an_undamaged_copy_is_read(saved, tmp_path):
    write(tmp_path / "copy.safetensors", *opened(saved[1]))
    assert load_model(tmp_path / "copy.safetensors").num_clips == 6


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"version": 1}', '"encoders"'])
def test_a_header_that_is_no_object_is_one_clear_error(saved, tmp_path, text):
    path = tmp_path / "h.safetensors"
    write(path, opened(saved[1])[0], text)
    with pytest.raises(CheckpointError, match=r"h\.safetensors: "):
        load_model(path)


@pytest.mark.parametrize("metadata", [None, 3, "x", [], [["a", 1]], "left out"])
def test_metadata_that_are_no_object_are_one_clear_error(saved, tmp_path, metadata):
    tensors, header = opened(saved[1])
    header["metadata"] = metadata
    if metadata == "left out":
        del header["metadata"]
    path = tmp_path / "m.safetensors"
    write(path, tensors, json.dumps(header))
    with pytest.raises(CheckpointError, match=r"m\.safetensors: its vidskim header is damaged"):
        read_metadata(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5, 0.999])
def test_a_truncated_file_is_one_clear_error(saved, tmp_path, share):
    content = saved[1].read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[: int(share * len(content))])
    for read in (load_faster, read_metadata, is_faster):
        if read is is_faster and share == 0.001:
            continue
        with pytest.raises(CheckpointError, match=r"cut\.safetensors: "):
            read(path)


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        for read in (load_faster, is_faster, read_metadata):
            with pytest.raises(CheckpointError, match=str(path)):
                read(path)


def test_a_backbone_is_no_faster_model_and_the_reverse(saved, tmp_path):
    path = tmp_path / "backbone.safetensors"
    save_backbone(tiny_classifier(), path)
    assert not is_faster(path)
    for read in (load_faster, read_metadata):
        with pytest.raises(CheckpointError, match=r"backbone\.safetensors: holds no FASTER model"):
            read(path)
    assert is_faster(saved[1])
    for read in (read_header, lambda p: load_backbone(checkpoint=p)):
        with pytest.raises(CheckpointError, match="holds a FASTER model of several networks"):
            read(saved[1])


def test_foreign_weights_are_no_faster_model(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "plain.safetensors")
    torch.save({"a": torch.zeros(2)}, tmp_path / "plain.pth")
    for name in ("plain.safetensors", "plain.pth"):
        assert not is_faster(tmp_path / name)
        with pytest.raises(CheckpointError, match="holds no FASTER model"):
            load_model(tmp_path / name)


def test_what_cannot_be_written_is_refused(tmp_path):
    model = tiny_faster(pattern="all")
    with pytest.raises(UsageError, match="plain JSON"):
        save_model(model, tmp_path / "m.safetensors", metadata={"x": torch.zeros(1)})
    model.adapters[0] = nn.Identity()
    with pytest.raises(UsageError, match="use Adapter"):
        save_model(model, tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_model(tiny_faster(), tmp_path / "file" / "m.safetensors")
