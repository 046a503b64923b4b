"""Recipes: flat files, checked key by key; what is wrong is one line with exit status 2."""

import io
import re
import time
from contextlib import redirect_stdout
from dataclasses import asdict, fields
from pathlib import Path
from types import NoneType
from typing import get_args, get_type_hints

import pytest
import torch
import yaml

from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.backbones.registry import create_backbone
from vidskim.cli import main
from vidskim.errors import CheckpointError, UsageError
from vidskim.train.clip_network import build_network
from vidskim.train.key import check_numbers, keys_of
from vidskim.train.recipe import TASKS, read_recipe
from vidskim.train.tasks.aggregator_recipe import FasterRecipe
from vidskim.train.tasks.clips import ClipRecipe
from vidskim.train.tasks.compression_recipe import SfcRecipe
from vidskim.train.tasks.joint import JointRecipe
from vidskim.train.tasks.memory_recipe import MemoryRecipe, check_memory
from vidskim.train.tasks.saliency_recipe import SaliencyRecipe

COMPLETE = {"task": "clips", "data": "set.csv", "out": "run"}


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(COMPLETE))
    return path


def refusal(arguments, capsys):
    """Run ``vidskim train``; return the one line it refuses with."""
    assert main(["train", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("vidskim: ")
    return line


def test_a_file_gives_its_values_and_the_defaults(recipe):
    found, run = read_recipe(recipe)
    assert found == ClipRecipe(data="set.csv", out="run")
    assert run is TASKS["clips"]


def test_flags_replace_single_values(recipe):
    found, _ = read_recipe(
        recipe, overrides=["--steps", "7", "--flip=false", "--learning_rate", "1e-3", "--init", "x"]
    )
    expected = {"steps": 7, "flip": False, "learning_rate": 1e-3, "init": "x"}
    assert found == ClipRecipe(data="set.csv", out="run", **expected)


def test_numbers_as_yaml_writes_them(recipe):
    recipe.write_text("task: clips\ndata: a\nout: b\nlearning_rate: 1e-3\nweight_decay: 1\n")
    found, _ = read_recipe(recipe)
    assert (found.learning_rate, found.weight_decay) == (0.001, 1.0)


def test_a_typo_in_a_flag_names_the_nearest_key(recipe, capsys):
    line = refusal([recipe, "--stepz", "3"], capsys)
    assert "'stepz'" in line
    assert "did you mean 'steps'?" in line


def test_a_typo_in_the_file_names_the_nearest_key(recipe, capsys):
    recipe.write_text(yaml.safe_dump({**COMPLETE, "learning_rat": 0.1}))
    line = refusal([recipe], capsys)
    assert str(recipe) in line
    assert "did you mean 'learning_rate'?" in line


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("task: clips\ndata: a\nout: b\nsteps: many\n", [], "steps"),
        ("task: clips\ndata: a\nout: b\nflip: 3\n", [], "flip"),
        ("task: clips\ndata: a\nout: b\noptimizer: adam\n", [], "optimizer"),
        ("task: clips\nout: b\n", [], "data"),
        ("task: clips\ndata: a\nout: b\n", ["--steps", "1.5"], "steps"),
        ("task: clips\ndata: a\nout: b\n", ["--steps"], "steps"),
        ("task: clips\ndata: a\nout: b\n", ["stray"], "stray"),
        ("task: clip\n", [], "recipe.yaml 'clip': did you mean 'clips'?"),
        ("task: [clips]\n", [], "task takes one value"),
        ("data: a\n", [], "no key 'task'; give one of clips, saliency"),
        ("task: saliency\ndata: a\nout: b\ncolor: 1\n", [], "'color'"),
        ("- a\n- b\n", [], "'key: value' lines"),
        ("", [], "'key: value' lines"),
        ("task: clips: [\n", [], "not valid YAML"),
        ("task: clips\ndata: a\nout: b\n", ["--config", "x"], "'config'"),
    ],
)
def test_a_recipe_that_cannot_be_meant(recipe, capsys, text, arguments, message):
    recipe.write_text(text)
    assert message in refusal([recipe, *arguments], capsys)


def test_files_that_are_no_recipes(tmp_path, capsys):
    assert "gone.yaml: cannot read" in refusal([tmp_path / "gone.yaml"], capsys)
    assert "cannot read" in refusal([tmp_path], capsys)
    (tmp_path / "video.mp4").write_bytes(bytes(range(256)))
    assert "not valid YAML" in refusal([tmp_path / "video.mp4"], capsys)
    assert "give a recipe" in refusal([], capsys)
    assert "give a recipe" in refusal(["--steps", "3"], capsys)


@pytest.mark.parametrize("task", TASKS)
def test_print_config_is_the_complete_recipe(recipe, capsys, task):
    recipe.write_text(yaml.safe_dump({**COMPLETE, "task": task}))
    assert main(["train", str(recipe), "--steps", "9", "--print_config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    kind = TASKS[task].recipe
    assert printed == asdict(kind(data="set.csv", out="run", task=task, steps=9))
    recipe.write_text(yaml.safe_dump(printed))
    assert read_recipe(recipe)[0] == kind(data="set.csv", out="run", steps=9)


RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_project_s_recipes_are_complete_and_within_range(path):
    found, _ = read_recipe(path)
    written = yaml.safe_load(path.read_text())
    assert written == {key: value for key, value in asdict(found).items() if key in written}
    assert written.keys() == asdict(found).keys()
    check_numbers(found)
    assert max(map(len, path.read_text().splitlines())) <= 100


def test_help_names_every_key():
    out = io.StringIO()
    with redirect_stdout(out):
        assert main(["train", "--help"]) == 0
    for kind in (ClipRecipe, SaliencyRecipe, JointRecipe, FasterRecipe):
        assert all(field.name in out.getvalue() for field in fields(kind))


@pytest.mark.parametrize("kind", [task.recipe for task in TASKS.values()])
def test_every_number_of_a_recipe_has_a_range(kind):
    defaults = asdict(kind(data="a", out="b"))
    numbers = {k for k, v in defaults.items() if type(v) in (int, float)}
    for name in numbers:
        key = keys_of(kind)[name]
        assert key.low <= defaults[name] <= key.high, name


@pytest.mark.parametrize("kind", [task.recipe for task in TASKS.values()])
def test_every_key_says_what_it_does(kind):
    for name, key in keys_of(kind).items():
        assert key.help, name
        assert f"{name}: {key.help.split()[0]}" in kind.__doc__


@pytest.mark.parametrize("kind", [ClipRecipe, SaliencyRecipe])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; give a value of at least 1"),
        ({"width": 10**6}, "width is 1000000; give a value of at most 4096"),
        ({"steps": -5}, "steps is -5"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"label_smoothing": 1.5}, "between 0 and 1"),
        ({"seed": -1}, "seed is -1"),
        ({"steps": 50, "warmup_steps": 50}, "warmup_steps is 50 of 50 steps"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path, kind, change, message):
    values = {"data": str(tmp_path / "no.csv"), "out": str(tmp_path / "run")} | change
    run = next(task for task in TASKS.values() if task.recipe is kind)
    with pytest.raises(UsageError, match=message):
        run(kind(**values))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("key", ["data", "out", "cache"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_name_is_no_folder(tmp_path, monkeypatch, capsys, task, key, empty):
    """Every task, before anything is written; it would be the current folder."""
    (tmp_path / "here" / "a").mkdir(parents=True)
    (tmp_path / "here" / "a" / "v.mp4").write_bytes(b"")
    monkeypatch.chdir(tmp_path / "here")
    values = {**COMPLETE, "task": task, "steps": 60, key: empty}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    assert f"{key} is empty; give " in refusal([tmp_path / "recipe.yaml"], capsys)
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("written", "text"),
    [("16", "16"), ("16.5", "16.5"), ('"16"', "16"), ("16,20", "16,20"), ("null", None)],
)
def test_a_number_where_text_is_wanted_is_that_text(recipe, written, text):
    base = "task: memory\ndata: 0012\nout: 2024\nepochs: 24\nlearning_rate: 1e-3\n"
    recipe.write_text(f"{base}drop_epochs: {written}\n")
    found, _ = read_recipe(recipe)
    expected = {"epochs": 24.0, "learning_rate": 1e-3, "drop_epochs": text}
    assert found == MemoryRecipe(data="0012", out="2024", **expected)
    check_memory(found)
    if text is not None:
        recipe.write_text(base)
        assert read_recipe(recipe, overrides=["--drop_epochs", text])[0] == found


@pytest.mark.parametrize("word", ["none", "None"])
@pytest.mark.parametrize("key", ["interaction", "init", "width", "drop_epochs"])
def test_python_s_word_for_null(recipe, capsys, key, word):
    base = {**COMPLETE, "task": "memory"}
    told = f"{key} is '{word}': write null where there is to be none"
    recipe.write_text(yaml.safe_dump({**base, key: word}))
    assert told in refusal([recipe], capsys)
    recipe.write_text(yaml.safe_dump(base))
    assert told in refusal([recipe, f"--{key}", word], capsys)
    assert told in refusal([recipe, f"--{key}={word}"], capsys)
    assert getattr(read_recipe(recipe, overrides=[f"--{key}", "null"])[0], key) is None
    recipe.write_text(yaml.safe_dump({**base, "normalize": "none"}))
    assert read_recipe(recipe)[0].normalize == "none"  # where it is a word of ours


def names_of(kind, *, optional):
    """Return a recipe's keys but for its task: those that take null, or those that do not."""
    names = [
        f.name
        for f in fields(kind)
        if (NoneType in get_args(get_type_hints(kind)[f.name])) == optional
    ]
    assert len(names) > 1
    return [name for name in names if name != "task"]


@pytest.mark.parametrize("written", ["null", "~", ""])
@pytest.mark.parametrize("task", TASKS)
def test_null_where_there_must_be_something(recipe, capsys, monkeypatch, task, written):
    """In the file and as a flag, also where a flag would replace it; before anything is done."""
    monkeypatch.chdir(recipe.parent)
    base = {**COMPLETE, "task": task}
    for key in names_of(TASKS[task].recipe, optional=False):
        lines = [f"{k}: {v}" for k, v in base.items() if k != key] + [f"{key}: {written}"]
        recipe.write_text("\n".join(lines))
        told = f"vidskim: {recipe}: {key} is null; give "
        assert refusal([recipe], capsys).startswith(told)
        assert refusal([recipe, "--print_config"], capsys).startswith(told)
        assert refusal([recipe, f"--{key}", "1"], capsys).startswith(told)
        recipe.write_text(yaml.safe_dump(base))
        if written:
            assert refusal([recipe, f"--{key}", written], capsys).startswith(told)
            assert refusal([recipe, f"--{key}={written}"], capsys).startswith(told)
    assert list(recipe.parent.iterdir()) == [recipe]


@pytest.mark.parametrize("task", TASKS)
def test_null_where_it_may_stand(recipe, task):
    nulls = dict.fromkeys(names_of(TASKS[task].recipe, optional=True))
    recipe.write_text(yaml.safe_dump({**COMPLETE, "task": task, **nulls}))
    found = asdict(read_recipe(recipe)[0])
    assert nulls.items() <= found.items()
    flags = [word for key in nulls for word in (f"--{key}", "null")]
    assert asdict(read_recipe(recipe, overrides=flags)[0]) == found


@pytest.mark.parametrize(
    ("task", "key", "expected"),
    [
        ("clips", "data", "a manifest, or a folder with one folder per class"),
        ("clips", "model", "the name of a network (the default is r2plus1d_18)"),
        ("clips", "color", "a number (the default is 0.2)"),
        ("memory", "num_clips", "a whole number (the default is 4)"),
        ("memory", "flip", "true or false (the default is true)"),
        ("memory", "gradient", "one of full, own (the default is full)"),
        ("saliency", "freeze", "one of '', conv4_2, pool4, fc1"),
        ("saliency_joint", "audio", "the checkpoint of a network that listens"),
        ("faster", "pattern", "which encoder sees which clip, as in 1:7 (the default is '1:7')"),
        ("sfc", "ratio", "text or a number (the default is '2')"),
    ],
)
def test_what_is_expected_instead_of_null(recipe, capsys, task, key, expected):
    recipe.write_text(yaml.safe_dump({**COMPLETE, "task": task, key: None}))
    assert refusal([recipe], capsys) == f"vidskim: {recipe}: {key} is null; give {expected}"


@pytest.mark.parametrize("task", TASKS)
def test_empty_text_where_null_is_for_nothing(recipe, capsys, task):
    base = {**COMPLETE, "task": task}
    texts = [k for k, hint in get_type_hints(TASKS[task].recipe).items() if hint == str | None]
    assert texts
    for key in texts:
        told = f"vidskim: {recipe}: {key} is empty; give "
        for empty in ("", "  "):
            recipe.write_text(yaml.safe_dump({**base, key: empty}))
            line = refusal([recipe], capsys)
            assert line.startswith(told)
            assert ", or null " in line
        recipe.write_text(yaml.safe_dump(base))
        assert refusal([recipe, f"--{key}", " "], capsys).startswith(told)


@pytest.mark.parametrize(
    ("task", "wanted"),
    [
        ("clips", "a checkpoint to start from, or null to start from scratch"),
        ("memory", "a checkpoint to start from, or null to start from scratch"),
        ("sfc", "the checkpoint of a backbone, or null beside the name of one as model"),
    ],
)
def test_an_empty_start(recipe, capsys, task, wanted):
    recipe.write_text(yaml.safe_dump({**COMPLETE, "task": task, "init": ""}))
    assert refusal([recipe], capsys) == f"vidskim: {recipe}: init is empty; give {wanted}"


@pytest.mark.parametrize("change", [{"test_split": None}, {"save_every": None}, {"init": ""}])
@pytest.mark.parametrize(
    "kind", [ClipRecipe, SaliencyRecipe, FasterRecipe, MemoryRecipe, SfcRecipe]
)
def test_the_same_of_a_recipe_that_is_built_in_code(tmp_path, kind, change):
    values = {"steps": 90, "data": str(tmp_path / "no.csv"), "out": str(tmp_path / "run"), **change}
    run = next(task for task in TASKS.values() if task.recipe is kind)
    (key,) = change
    with pytest.raises(UsageError, match=f"^{key} is (null|empty); give "):
        run(kind(**values))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "change", "told"),
    [
        ("clips", {"color": 1.5}, "color is 1.5; give a value "),
        ("clips", {"train_split": "trian"}, "unknown split 'trian'"),
        ("clips", {"max_short_side": 20}, "max_short_side is 20, short_side 128; give "),
        ("saliency", {"freeze": "pool4"}, "freeze 'pool4' trains a layer on a trained network: "),
        (
            "saliency_joint",
            {"objective": "ac"},
            "joint training needs checkpoints: give 'visual' and 'audio'",
        ),
        ("faster", {"expensive": " "}, "expensive is empty; give the checkpoint of a clip class"),
        ("faster", {"expensive": "x", "max_clips": 3}, "max_clips is 3, but num_clips 16 of them"),
        ("memory", {"steps": None}, "steps and epochs are both null; give either steps or epochs"),
        (
            "memory",
            {"epochs": 3},
            "steps is 60, epochs is 3; give either steps or epochs, and null",
        ),
        ("memory", {"drop_epochs": "2"}, "warmup_epochs and drop_epochs go with epochs, not with"),
        ("memory", {"num_clips": 65}, "a pass of batch_size 64 clips holds no video of num_clips"),
        (
            "memory",
            {"steps": None, "epochs": 3, "drop_epochs": "2,x"},
            "drop_epochs is '2,x'; give rising numbers above 0 with commas between, as in '16,20'",
        ),
        (
            "memory",
            {"steps": None, "epochs": 3, "drop_epochs": "2,3"},
            "drop_epochs is '2,3', which is not all before epoch 3; give earlier ones, or more",
        ),
        (
            "memory",
            {"steps": None, "epochs": 3, "warmup_steps": 2},
            "warmup_steps is 2, but warmup_steps goes with steps and not with epochs; give 0",
        ),
        (
            "memory",
            {"multilabel": True, "label_smoothing": 0.1},
            "label_smoothing is 0.1, but goes with one label per video; give 0 beside multilabel",
        ),
        ("sfc", {}, "init and model are both null; give the backbone's checkpoint as init, or "),
        (
            "sfc",
            {"model": "r3d_18", "test_width": None},
            "give both test_height and test_width, or",
        ),
    ],
)
def test_values_that_cannot_be_meant_name_the_recipe(recipe, capsys, task, change, told):
    values = {**COMPLETE, "task": task, "steps": 60, "out": str(recipe.parent / "run"), **change}
    recipe.write_text(yaml.safe_dump(values))
    assert refusal([recipe], capsys).startswith(f"vidskim: {recipe}: {told}")


@pytest.mark.parametrize(
    ("task", "remedy"),
    [
        ("clips", "give model: r3d_18, or another init"),
        ("memory", "give model: r3d_18, or another init"),
        ("sfc", "give model: r3d_18, or model: null"),
    ],
)
def test_a_start_of_another_network(recipe, capsys, tiny_csv, classifier, task, remedy):
    values = {**COMPLETE, "task": task, "data": str(tiny_csv), "steps": 60, "batch_size": 4}
    values |= {"out": str(recipe.parent / "run"), "model": "mc3_18", "init": classifier}
    recipe.write_text(yaml.safe_dump(values))
    assert main(["train", str(recipe)]) == CheckpointError.exit_code
    told = f"vidskim: {classifier}: holds r3d_18, not mc3_18: {remedy}\n"
    assert capsys.readouterr() == ("", told)


@pytest.mark.parametrize("task", ["clips", "memory"])
def test_a_start_that_takes_no_clips(recipe, capsys, tiny_csv, task):
    init = recipe.with_name("image.safetensors")
    save_backbone(create_backbone("resnet_18", num_classes=2, width=4), init)
    values = {**COMPLETE, "task": task, "data": str(tiny_csv), "steps": 60, "batch_size": 4}
    values |= {"out": str(recipe.parent / "run"), "model": "r3d_18", "init": str(init)}
    recipe.write_text(yaml.safe_dump(values))
    assert main(["train", str(recipe)]) == CheckpointError.exit_code
    told = f"{init}: holds resnet_18, not r3d_18: it takes no clips, give the checkpoint of "
    assert told in capsys.readouterr().err


def test_a_start_without_the_non_local_blocks(tmp_path):
    """They are added to the plain kind of the same network, and to no other."""
    plain = create_backbone("slow_r50_8x8", num_classes=2, width=8)
    save_backbone(plain, tmp_path / "plain.safetensors")
    sizes = {"num_frames": 8, "crop_height": 32, "crop_width": 32, "width": 8}
    recipe = ClipRecipe(data="a", out="b", model="slow_r50_8x8_nl", **sizes)
    network = build_network(recipe, ("a", "b"), init=str(tmp_path / "plain.safetensors"))
    assert network.name == "slow_r50_8x8_nl"
    assert torch.equal(network.state_dict()["stem.0.weight"], plain.state_dict()["stem.0.weight"])
    with pytest.raises(CheckpointError, match="holds slow_r50_8x8, not i3d_r50_8x8_nl: give model"):
        build_network(
            ClipRecipe(data="a", out="b", model="i3d_r50_8x8_nl", **sizes),
            ("a", "b"),
            init=str(tmp_path / "plain.safetensors"),
        )


MERGED = "".join(f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}\n" for i in range(1, 12))
LAUGHS = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("width: 8\nwidth: 9\n", "key 'width' stands twice, keep one"),
        ("a0: &a0 [x]\n" + LAUGHS + "data: *a11\n", "write the value itself"),
        ("m0: &m0 {x: 1}\n" + MERGED, "write the value itself"),
        ("data: " + "[" * 5000 + "]" * 5000, "not valid YAML"),
        ("data: [1, 2]\n", "data takes one value, got a list"),
        ("1: 2\n", "key 1 is no text"),
        ("#" + "x" * 200_000, "is larger than 100 kB"),
    ],
)
def test_a_hostile_recipe_costs_nothing(tmp_path, text, reason):
    path = tmp_path / "recipe.yaml"
    path.write_text("task: clips\n" + text)
    start = time.process_time()
    with pytest.raises(UsageError, match=re.escape(reason)):
        read_recipe(path)
    assert time.process_time() - start < 5


def test_a_device_is_no_recipe():
    with pytest.raises(UsageError, match="not a regular file"):
        read_recipe("/dev/zero")
