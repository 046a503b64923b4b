"""Recipes: flat files, checked key by key; what is wrong is one line with exit status 2."""

import io
import re
import time
from contextlib import redirect_stdout
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml

from vidskim.cli import main
from vidskim.errors import UsageError
from vidskim.train.clips import ClipRecipe
from vidskim.train.examples import RANGES, check_numbers
from vidskim.train.faster_recipe import FasterRecipe
from vidskim.train.joint import JointRecipe
from vidskim.train.memory_recipe import MemoryRecipe, check_memory
from vidskim.train.recipe import TASKS, read_recipe
from vidskim.train.saliency_recipe import SaliencyRecipe

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
    assert run is TASKS["clips"][1]


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
        ("task: clip\n", [], "did you mean 'clips'?"),
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
    kind = TASKS[task][0]
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


@pytest.mark.parametrize("kind", [ClipRecipe, SaliencyRecipe, JointRecipe, FasterRecipe])
def test_every_number_of_a_recipe_has_a_range(kind):
    defaults = asdict(kind(data="a", out="b"))
    numbers = {k for k, v in defaults.items() if type(v) in (int, float)}
    assert numbers <= RANGES.keys()
    for name in numbers:
        low, high = RANGES[name]
        assert low <= defaults[name] <= high, name


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
    run = next(run for known, run in TASKS.values() if known is kind)
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
