"""Task "sfc" from a recipe to a file: what learns, restarts, videos and segments, refusals."""

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import vidskim
from tinynets import tiny_memory
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import load_backbone, save_backbone
from vidskim.backbones.registry import create_backbone
from vidskim.cli import main
from vidskim.data.cache.frames import frame_store
from vidskim.data.manifest import read_manifest, write_manifest
from vidskim.errors import CheckpointError, ManifestError, UsageError
from vidskim.evaluate.run import evaluate_manifest
from vidskim.model.file import load_model, read_metadata, save_model
from vidskim.model.presets import memory, sfc
from vidskim.train.recipe import read_recipe
from vidskim.train.tasks.compression import build, train_sfc, whole_answers
from vidskim.train.tasks.compression_recipe import SfcRecipe

CLASSES = ("left", "right")


@pytest.fixture
def sfc_recipe(tiny_csv, classifier, tmp_path_factory):
    """Make a recipe for a network that is four channels wide, twelve frames of four videos."""

    def make(out: Path, **changes) -> SfcRecipe:
        values = {
            "data": str(tiny_csv),
            "out": str(out),
            "init": classifier,
            "at": "res3",
            "scale": "features",
            "num_blocks": 1,
            "num_frames": 12,
            "short_side": 24,
            "crop_height": 24,
            "crop_width": 28,
            "test_height": 24,
            "test_width": 30,
            "flip": False,
            "batch_size": 4,
            "steps": 4,
            "warmup_steps": 1,
            "learning_rate": 0.01,
            "save_every": 2,
            "cache": str(tmp_path_factory.getbasetemp() / "cache"),
        }
        return SfcRecipe(**values | changes)

    return make


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_from_recipe_to_file(sfc_recipe, classifier, tmp_path):
    recipe = sfc_recipe(tmp_path / "run")
    metrics = train_sfc(recipe)
    assert metrics["protocol"].startswith("the whole video, stride 1, resize to 24x30, mean")
    assert metrics["protocol"].endswith("split test")
    assert (metrics["steps"], metrics["train_videos"], metrics["test_videos"]) == (4, 4, 2)
    path = tmp_path / "run" / "model.safetensors"
    model = load_model(path).networks[0]
    assert (model.at, model.segments, model.classes) == ("res3", None, CLASSES)
    assert model.compression.options["scale"] == "features"
    assert model.transform.resize_to == (24, 30)
    told = read_metadata(path)
    assert told["recipe"]["data"] == "tiny.csv"
    assert told["recipe"]["init"] == "classifier.safetensors"
    assert told["metrics"] == metrics
    with (tmp_path / "run" / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert metrics["test_accuracy"] == sum(row["right"] == "1" for row in rows) / 2
    assert log_of(tmp_path / "run")[-1]["step"] == 4
    before = path.read_bytes()
    assert train_sfc(recipe) == metrics  # a finished run is not run again
    assert path.read_bytes() == before


def test_only_the_compression_learns(sfc_recipe, classifier, tmp_path):
    """The backbone's numbers are those of its file, its norms' statistics and counters too."""
    recipe = sfc_recipe(tmp_path / "run", optimizer="adamw")
    torch.manual_seed(recipe.seed)
    start = build(recipe, CLASSES).compression.state_dict()
    train_sfc(recipe)
    frozen = load_backbone(checkpoint=classifier).state_dict()
    found = tensors(tmp_path / "run")
    assert {k for k in found if k.startswith("encoders.")} == {f"encoders.0.{k}" for k in frozen}
    for name, tensor in frozen.items():
        assert torch.equal(found[f"encoders.0.{name}"], tensor), name
    for name, tensor in start.items():
        assert not torch.equal(found[f"compressions.0.{name}"], tensor), name


def test_a_killed_run_goes_on(sfc_recipe, tmp_path):
    """At the exact step, to the same weights, whatever is varied."""
    varied = {"flip": True, "color": 0.3, "segments": 2}
    whole = sfc_recipe(tmp_path / "whole", **varied)
    parts = replace(whole, out=str(tmp_path / "parts"))
    metrics = train_sfc(whole)
    assert train_sfc(parts, stop_after=3) == {}
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    assert train_sfc(parts) == metrics
    one, other = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize(
    ("stride", "changes"),
    [
        (3, {"test_height": None, "test_width": None, "num_frames": 8, "at": "res4"}),
        (1, {"segments": 5, "num_frames": 40}),
        (1, {"stride": 3, "num_frames": 8, "segments": 2}),
    ],
)
def test_test_answers_are_those_of_recognize(
    sfc_recipe, classifier, tiny_csv, tmp_path, stride, changes
):
    """Of the same file: the same frames go in, whole, strided or in segments."""
    network = load_backbone(checkpoint=classifier)
    network.clip = ClipSpec(8, stride, (24, 24))
    network.fc.weight.data *= 5
    save_backbone(network, tmp_path / "start.safetensors")
    start = {"init": str(tmp_path / "start.safetensors"), "steps": 1, "warmup_steps": 0}
    recipe = sfc_recipe(tmp_path / "run", **start, **changes)
    metrics = train_sfc(recipe)
    path = str(tmp_path / "run" / "model.safetensors")
    model = load_model(path).networks[0]
    rows = read_manifest(tiny_csv, split="test").rows
    store = frame_store(rows, transform=model.transform, folder=Path(recipe.cache))
    answers = whole_answers(model, store, torch.tensor([0, 1]).numpy())
    assert metrics["test_accuracy"] == (answers.videos.argmax(1) == answers.targets).double().mean()
    for n, row in enumerate(rows):
        answer = vidskim.recognize(row.path, model=path)
        found = {score.label: score.score for score in answer.predictions}
        assert answers.videos[n].tolist() == pytest.approx([found[c] for c in CLASSES], abs=1e-6)
        assert 0.001 < found["left"] < 0.999
    if recipe.segments == 5:
        (row,) = evaluate_manifest(tiny_csv, methods=("sfc",), model=path, split="test").rows
        assert row.accuracy.estimate == metrics["test_accuracy"]
    assert model.clip.stride == changes.get("stride", stride)
    wanted = {2: (2, 4), 5: (5, 8)}
    assert model.segments == wanted.get(recipe.segments)


def test_on_from_a_compression(sfc_recipe, tmp_path):
    known = build(sfc_recipe(tmp_path / "a"), CLASSES)
    file = str(tmp_path / "a.safetensors")
    save_model(sfc(known), file)
    model = build(sfc_recipe(tmp_path / "b", init=file, at=None, ratio=2.0), CLASSES)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, known.state_dict()[name]), name
    for changes, told in (
        ({"at": "res4"}, "after res3, the recipe has"),
        ({"ratio": 4}, "'ratio': '2'"),
        ({"kernel": "1x1x1"}, "or start from the backbone alone"),
    ):
        with pytest.raises(UsageError, match="holds a compression of") as raised:
            build(sfc_recipe(tmp_path / "b", init=file, **changes), CLASSES)
        assert told in str(raised.value)


def test_where_it_is_cut_by_itself(sfc_recipe, tmp_path):
    assert build(sfc_recipe(tmp_path, at=None), CLASSES).at == "res3"


def test_epochs(sfc_recipe, tmp_path):
    """The paper's 15 epochs that drop after 8 and 12, here of four videos in steps of two."""
    metrics = train_sfc(
        sfc_recipe(
            tmp_path / "run", steps=None, warmup_steps=0, epochs=3, batch_size=2, drop_epochs="1,2"
        )
    )
    assert metrics["steps"] == 6
    assert log_of(tmp_path / "run")[-1]["learning_rate"] == pytest.approx(0.0001)


def test_recipes_as_people_write_them(sfc_recipe, tmp_path, capsys):
    path = tmp_path / "r.yaml"
    values = asdict(sfc_recipe(tmp_path / "run", steps=1, warmup_steps=0))
    for written, overrides, read in (
        ("4/3", [], "4/3"),
        (2, [], 2),
        (1.5, [], 1.5),
        (2, ["--ratio=4/3", "--segments", "3"], "4/3"),
    ):
        path.write_text(yaml.safe_dump({**values, "ratio": written}))
        recipe, _ = read_recipe(path, overrides=overrides)
        assert str(recipe.ratio).removesuffix(".0") == str(read).removesuffix(".0")
    assert main(["train", str(path), "--ratio", "4/3"]) == 0
    assert json.loads(capsys.readouterr().out)["test_videos"] == 2
    trained = load_model(tmp_path / "run" / "model.safetensors").networks[0]
    assert trained.compression.options["ratio"] == "4/3"
    assert main(["train", str(path), "--ratio", "half"]) == 2
    assert "text such as 4/3, got 'half'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"init": None}, "give the backbone's checkpoint as init, or the name of one as model"),
        ({"ratio": "0.5"}, "a number from 1 to 10000, or text such as 4/3, got '0.5'"),
        ({"ratio": "4/0"}, "got '4/0'"),
        ({"num_frames": 7}, "num_frames is 7, r3d_18 with a ratio of 2 takes at least 8"),
        ({"ratio": 8, "at": "res4"}, "with a ratio of 8 takes at least 32, a multiple of 1"),
        ({"segments": 13}, "12 frames cannot be shared by 13 segments: give num_frames 13"),
        ({"segments": 5}, "12 frames cannot be shared by 5 segments: give num_frames 15"),
        ({"segments": 0}, "segments is 0; give a value of at least 1"),
        ({"test_width": None}, "give both test_height and test_width, or null"),
        ({"test_height": None}, "give both test_height and test_width, or null"),
        ({"max_short_side": 20}, "crop_height 24 <= short_side 24 <= max_short_side 20 must hold"),
        ({"short_side": 20, "max_short_side": 30}, "must hold"),
        ({"at": "res5"}, "res5 is the last stage of r3d_18, .*give one of stem, res2, res3, res4"),
        ({"at": "res6"}, r"unknown stage of r3d_18 'res6'.*\(valid: res2, res3, res4, stem\)"),
        ({"pooling": "topK"}, "did you mean 'topk'"),
        ({"value": "abstracted", "abstraction": False}, "needs an abstraction"),
        ({"steps": None, "warmup_steps": 0}, "either steps or epochs"),
        ({"epochs": 3}, "either steps or epochs"),
        ({"num_blocks": 0}, "num_blocks is 0"),
        ({"stride": 0}, "stride is 0"),
        ({"warmup_steps": 4}, "warmup_steps is 4 of 4"),
        ({"precision": "bf16-mixed"}, "needs a CUDA device"),
    ],
)
def test_refused(sfc_recipe, tmp_path, changes, told):
    if "precision" in changes and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UsageError, match=told) as raised:
        train_sfc(sfc_recipe(tmp_path / "run", **changes))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_wrong_starts(sfc_recipe, classifier, tmp_path):
    def start(**changes):
        train_sfc(sfc_recipe(tmp_path / "run", **changes))

    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such file"):
        start(init=str(tmp_path / "none.safetensors"))
    path = tmp_path / "other.safetensors"
    network = create_backbone("r3d_18", num_classes=3, width=4)
    network.clip = ClipSpec(8, 1, (24, 24))
    save_backbone(network, path)
    with pytest.raises(UsageError, match="tells 3 classes apart, not the 2 of the data") as raised:
        start(init=str(path))
    assert "train it on these with a recipe of task 'clips' first" in str(raised.value)
    network.reset_classifier(2, classes=("right", "left"))
    save_backbone(network, path)
    with pytest.raises(UsageError, match="tells 2 classes apart, not the 2 of the data"):
        start(init=str(path))
    network.reset_classifier(2)
    save_backbone(network, path)
    assert build(sfc_recipe(tmp_path, init=str(path)), CLASSES).classes == CLASSES
    with pytest.raises(CheckpointError, match="holds r3d_18, not r2plus1d_18"):
        start(model="r2plus1d_18", init=str(path))
    save_backbone(create_backbone("resnet_18", num_classes=2, width=4), path)
    with pytest.raises(UsageError, match="holds resnet_18, which takes no clips"):
        start(init=str(path))
    path.write_bytes(Path(classifier).read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"other\.safetensors"):
        start(init=str(path))


def test_a_memory_is_no_start(sfc_recipe, tmp_path):
    save_model(tiny_memory(), tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="holds a model of several parts"):
        train_sfc(sfc_recipe(tmp_path / "run", init=str(tmp_path / "m.safetensors")))


def test_a_compression_with_a_memory_is_no_start(sfc_recipe, tmp_path):
    model = build(sfc_recipe(tmp_path), CLASSES)
    save_model(memory(model), tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="holds a model of several parts"):
        build(sfc_recipe(tmp_path / "run", init=str(tmp_path / "m.safetensors")), CLASSES)


def test_a_compression_is_no_start_of_other_tasks(sfc_recipe, tmp_path):
    model = build(sfc_recipe(tmp_path), CLASSES)
    save_model(sfc(model), tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="holds a model of several parts"):
        load_backbone(checkpoint=tmp_path / "m.safetensors")


def test_a_run_does_not_go_on_with_other_data_or_another_recipe(sfc_recipe, tiny_csv, tmp_path):
    rows = read_manifest(tiny_csv).rows
    write_manifest(rows, tmp_path / "mine.csv")
    recipe = sfc_recipe(tmp_path / "run", data=str(tmp_path / "mine.csv"))
    train_sfc(recipe, stop_after=2)
    with pytest.raises(UsageError, match="a run of another recipe"):
        train_sfc(replace(recipe, ratio=4))
    write_manifest(rows[1:], tmp_path / "mine.csv")
    with pytest.raises(UsageError, match="another manifest of this name"):
        train_sfc(recipe)


def test_unusable_data_is_told_before_training(sfc_recipe, tiny_csv, tmp_path):
    rows = list(read_manifest(tiny_csv).rows)
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    write_manifest([*rows[:-1], replace(rows[-1], path=broken)], tmp_path / "mine.csv")
    with pytest.raises(ManifestError, match="cannot be read"):
        train_sfc(sfc_recipe(tmp_path / "run", data=str(tmp_path / "mine.csv")))
    assert not (tmp_path / "run" / "log.jsonl").exists()
    both = [replace(row, labels=(*row.labels, "moves")) for row in rows]
    write_manifest(both, tmp_path / "both.csv")
    with pytest.raises(ManifestError, match="one label per row"):
        train_sfc(sfc_recipe(tmp_path / "run", data=str(tmp_path / "both.csv")))


def test_short_videos_and_sizes(sfc_recipe, tmp_path):
    """Forty frames, of which sixty go in; a short side that is drawn, and whole shapes."""
    metrics = train_sfc(
        sfc_recipe(
            tmp_path / "run", num_frames=60, max_short_side=40, test_height=None, test_width=None,
            steps=2, crop_width=24,
        )
    )  # fmt: skip
    assert metrics["test_videos"] == 2
    assert "resize short side to 24" in metrics["protocol"]
