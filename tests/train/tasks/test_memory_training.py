"""Task "memory" from a recipe to a file: strategies, restarts, processes, labels, refusals."""

import csv
import json
import os
import subprocess
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tinynets import tiny_compressed, tiny_faster, tiny_memory
from tinyset import write_tiny_video
from vidskim.backbones.files.checkpoint import load_backbone, save_backbone
from vidskim.backbones.registry import create_backbone
from vidskim.clips.transform import Transform
from vidskim.data.cache.frames import frame_store
from vidskim.data.manifest import Row, read_manifest, write_manifest
from vidskim.errors import CheckpointError, ManifestError, UsageError, VidskimError
from vidskim.model.aggregate import create_aggregator
from vidskim.model.file import load_model, read_metadata, save_model
from vidskim.model.model import Model
from vidskim.model.presets import sfc
from vidskim.train.batches.videos import VideoBatches
from vidskim.train.length import schedule_of
from vidskim.train.loop import with_peers
from vidskim.train.measure import VideoAnswers, write_video_answers
from vidskim.train.multi_clip import MultiClip
from vidskim.train.run import Run
from vidskim.train.tasks.memory import build, train_memory
from vidskim.train.tasks.memory_recipe import MemoryRecipe


def loaded(path) -> MultiClip:
    """What a file of the task holds, as it is trained."""
    model = load_model(path)
    return MultiClip(
        model.networks[0], model.context, num_clips=2, is_multilabel=model.card.is_multilabel
    ).eval()


@pytest.fixture
def memory_recipe(tiny_csv, tmp_path_factory):
    """Make a recipe of a network that is four channels wide, two clips of each of four videos."""

    def make(out: Path, **changes) -> MemoryRecipe:
        values = {
            "data": str(tiny_csv),
            "out": str(out),
            "model": "r3d_18",
            "width": 4,
            "num_clips": 2,
            "num_frames": 4,
            "stride": 1,
            "short_side": 24,
            "crop_height": 24,
            "crop_width": 24,
            "flip": False,
            "dropout": 0.0,
            "batch_size": 8,
            "steps": 4,
            "warmup_steps": 1,
            "learning_rate": 0.01,
            "save_every": 2,
            "test_clips": 3,
            "cache": str(tmp_path_factory.getbasetemp() / "cache"),
        }
        return MemoryRecipe(**values | changes)

    return make


def difference(a: Path, b: Path) -> float:
    """The largest between two files of weights, running statistics included."""
    one, other = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    assert one.keys() == other.keys()
    return max(float((one[k] - other[k]).abs().max()) for k in one if one[k].is_floating_point())


def test_from_recipe_to_file(memory_recipe, tmp_path):
    recipe = memory_recipe(tmp_path / "run")
    metrics = train_memory(recipe)
    assert metrics["protocol"] == (
        "3 clips x 1 crop from the first to the last frame, overlapping in short videos, 4x1, "
        "24x24 pixels, split test"
    )
    assert (metrics["steps"], metrics["train_videos"], metrics["test_videos"]) == (4, 4, 2)
    model = loaded(tmp_path / "run" / "model.safetensors")
    assert model.memory.options == recipe.memory_options
    assert model.backbone.classes == ("left", "right")
    assert model.memory.output.weight.abs().max() > 0  # it has learned
    told = read_metadata(tmp_path / "run" / "model.safetensors")
    assert told["recipe"]["data"] == "tiny.csv"
    assert told["recipe"]["num_clips"] == 2
    with (tmp_path / "run" / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [len(row["clips"]) for row in rows] == [3, 3]
    right = sum(row["right"] == "1" for row in rows) / 2
    assert metrics["test_accuracy"] == right
    assert train_memory(recipe) == metrics  # a finished run is not run again


def test_strategies_learn_the_same(memory_recipe, tmp_path):
    train_memory(memory_recipe(tmp_path / "a"))
    turns = {"strategy": "multi_iteration", "batch_size": 4}
    train_memory(memory_recipe(tmp_path / "b", **turns))
    train_memory(memory_recipe(tmp_path / "c", **turns, gradient="own"))
    same = difference(tmp_path / "a", tmp_path / "b")
    assert same < 1e-5
    assert difference(tmp_path / "a", tmp_path / "c") > 4 * same


@pytest.mark.parametrize("strategy", ["batch_reduction", "multi_iteration"])
def test_a_killed_run_goes_on(memory_recipe, tmp_path, strategy):
    whole = memory_recipe(tmp_path / "whole", strategy=strategy, batch_size=4)
    parts = replace(whole, out=str(tmp_path / "parts"))
    train_memory(whole)
    assert train_memory(parts, stop_after=3) == {}
    train_memory(parts)
    assert difference(tmp_path / "whole", tmp_path / "parts") == 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"strategy": "multi_iteration", "batch_size": 4}, marks=pytest.mark.slow),
        pytest.param({"batch_size": 4}, marks=pytest.mark.slow),  # one video in each process
    ],
)
def test_two_processes_equal_one(memory_recipe, tmp_path, changes):
    """The same global batch under torchrun, batch norm over both: weights and statistics agree."""
    synced = {"batch_norm": "synchronized", **changes}
    if changes == {"batch_size": 4}:
        synced["batch_norm"] = "sub_batch"  # synchronizes by itself
    one = memory_recipe(tmp_path / "one", **synced)
    train_memory(one)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**asdict(one), "out": str(tmp_path / "two")}))
    program = f"from vidskim.cli import main; main(['train', {str(path)!r}])"
    script = tmp_path / "program.py"
    script.write_text(f"import sys\n{program.replace('main([', 'sys.exit(main([')})\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "--master-port", str(29500 + os.getpid() % 2000), str(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [answer["out"] for answer in answers] == [str(tmp_path / "two")]  # one process tells
    assert difference(tmp_path / "one", tmp_path / "two") < 1e-5


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
@pytest.mark.parametrize(("first", "second"), [(2, 1), pytest.param(1, 2, marks=pytest.mark.slow)])
def test_a_run_goes_on_in_another_number_of_processes(memory_recipe, tmp_path, first, second):
    whole = memory_recipe(tmp_path / "whole", batch_norm="synchronized")
    parts = replace(whole, out=str(tmp_path / "parts"))
    train_memory(whole)

    def run(devices, stop_after):
        recipe = replace(parts, devices=devices)
        if devices == 1:
            train_memory(recipe, stop_after=stop_after)
            return
        script = tmp_path / "program.py"
        script.write_text(
            "from vidskim.train.tasks.memory import train_memory\n"
            "from vidskim.train.tasks.memory_recipe import MemoryRecipe\n"
            f"train_memory(MemoryRecipe(**{asdict(recipe)!r}), stop_after={stop_after})\n"
        )
        subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=True,
            timeout=300,
        )

    run(first, 2)
    told = yaml.safe_load((tmp_path / "parts" / "recipe.yaml").read_text())
    assert told["devices"] == first
    assert not (tmp_path / "parts" / "metrics.json").exists()
    run(second, None)
    log = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 4
    assert difference(tmp_path / "whole", tmp_path / "parts") < 1e-5


def test_devices_alone_may_change(memory_recipe, tmp_path):
    recipe = memory_recipe(tmp_path / "run")
    train_memory(recipe, stop_after=2)
    run = Run(tmp_path / "run")
    run.begin(asdict(replace(recipe, devices=2)))
    with pytest.raises(UsageError, match=r"another recipe \(differs in seed\);"):
        run.begin(asdict(replace(recipe, devices=2, seed=1)))
    with pytest.raises(UsageError, match=r"another recipe \(differs in extra\);"):
        run.begin({**asdict(recipe), "extra": 1})
    with pytest.raises(UsageError, match=r"another recipe \(differs in color\);"):
        run.begin({key: value for key, value in asdict(recipe).items() if key != "color"})
    (tmp_path / "run" / "recipe.yaml").write_text("[")
    with pytest.raises(UsageError, match=r"another recipe \(differs in its keys\);"):
        run.begin(asdict(recipe))


def test_a_finished_run_stays_what_it_is(memory_recipe, tmp_path, tiny_csv):
    """With other devices or without its data; not where the manifest has changed."""
    rows = read_manifest(tiny_csv).rows
    write_manifest(rows, tmp_path / "mine.csv")
    recipe = memory_recipe(tmp_path / "run", data=str(tmp_path / "mine.csv"))
    metrics = train_memory(recipe)
    assert train_memory(replace(recipe, devices=2)) == metrics
    assert yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text()) == asdict(recipe)
    write_manifest(rows[1:], tmp_path / "mine.csv")
    with pytest.raises(UsageError, match="was trained on another manifest of this name"):
        train_memory(recipe)
    (tmp_path / "mine.csv").unlink()
    assert train_memory(recipe) == metrics
    write_manifest(rows, tmp_path / "mine.csv")
    assert train_memory(recipe) == metrics


def test_without_a_memory_it_is_a_plain_backbone(memory_recipe, tmp_path):
    train_memory(memory_recipe(tmp_path / "run", interaction=None))
    backbone = load_backbone(checkpoint=tmp_path / "run" / "model.safetensors")
    assert (backbone.name, backbone.classes) == ("r3d_18", ("left", "right"))


def test_frozen_backbone_keeps_every_number(memory_recipe, tmp_path):
    first = memory_recipe(tmp_path / "first", interaction=None)
    train_memory(first)
    start = tmp_path / "first" / "model.safetensors"
    for strategy in ("batch_reduction", "multi_iteration"):
        out = tmp_path / strategy
        changes = {"freeze_backbone": True, "strategy": strategy, "batch_size": 4}
        train_memory(memory_recipe(out, init=str(start), **changes))
        before = load_backbone(checkpoint=start).state_dict()
        after = loaded(out / "model.safetensors")
        for name, tensor in after.backbone.state_dict().items():
            if name.startswith("fc."):
                assert not torch.equal(tensor, before[name])
            else:
                assert torch.equal(tensor, before[name]), name
        assert after.memory.key.weight.abs().max() > 0


def test_stage_wise_and_on_from_a_memory(memory_recipe, tmp_path):
    train_memory(memory_recipe(tmp_path / "a"))
    file = str(tmp_path / "a" / "model.safetensors")
    known = loaded(file)
    model = build(memory_recipe(tmp_path / "b", init=file), ("left", "right"))
    for mine, theirs in zip(model.state_dict().values(), known.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    other = build(memory_recipe(tmp_path / "b", init=file), ("left", "right", "up"))
    assert other.backbone.num_classes == 3
    torch.testing.assert_close(other.memory.key.weight, known.memory.key.weight)
    with pytest.raises(UsageError, match="holds a memory of"):
        build(memory_recipe(tmp_path / "b", init=file, reduction=2), ("left", "right"))


def test_multilabel(tiny_csv, memory_recipe, tmp_path):
    rows = read_manifest(tiny_csv).rows
    both = [replace(row, labels=(*row.labels, "moves")) for row in rows]
    write_manifest(both, tmp_path / "both.csv")
    changes = {"data": str(tmp_path / "both.csv")}
    with pytest.raises(ManifestError, match="training takes one label per row"):
        train_memory(memory_recipe(tmp_path / "a", **changes))
    metrics = train_memory(memory_recipe(tmp_path / "b", **changes, multilabel=True))
    assert 0 < metrics["test_map"] <= 1
    model = loaded(tmp_path / "b" / "model.safetensors")
    assert model.is_multilabel
    assert model.backbone.classes == ("left", "moves", "right")


@pytest.mark.parametrize("multilabel", [False, True])
def test_videos_of_one_class_are_refused(tiny_csv, memory_recipe, tmp_path, multilabel):
    rows = [replace(row, labels=("moves",)) for row in read_manifest(tiny_csv).rows]
    write_manifest(rows, tmp_path / "one.csv")
    with pytest.raises(ManifestError, match=r"one\.csv: all rows of split 'train' show 'moves'"):
        train_memory(
            memory_recipe(tmp_path / "run", data=str(tmp_path / "one.csv"), multilabel=multilabel)
        )


def test_linear_scaling_and_epochs(memory_recipe, tmp_path):
    recipe = memory_recipe(
        tmp_path, steps=None, warmup_steps=0, epochs=15, warmup_epochs=2.25, batch_size=64,
        num_clips=8, learning_rate=0.1, reference_videos=64,
    )  # fmt: skip
    schedule = schedule_of(recipe, num_videos=800)
    assert schedule.learning_rate == pytest.approx(0.0125)  # appendix B.1
    assert (schedule.steps, schedule.warmup_steps) == (1500, 225)
    drops = replace(recipe, epochs=24, warmup_epochs=2, drop_epochs="16,20")
    schedule = schedule_of(drops, num_videos=80)
    assert [round(schedule(step) / schedule.learning_rate, 6) for step in (20, 159, 160, 200)] == [
        1.0, 1.0, 0.1, 0.01,
    ]  # fmt: skip
    assert replace(recipe, strategy="multi_iteration").videos_per_step == 64


def test_processes_share_a_batch(memory_recipe, tmp_path, tiny_csv):
    """What two processes are given is, together and in order, what one is given."""
    recipe = memory_recipe(tmp_path / "run")
    train_memory(recipe, stop_after=1)
    from vidskim.train.clip_network import augmentation_of

    transform = Transform(short_side=24, crop=(24, 24))
    rows = read_manifest(tiny_csv, split="train").rows
    frames = frame_store(rows, transform=transform, folder=Path(recipe.cache))

    def batches(place: int, processes: int, num_videos: int = 4) -> VideoBatches:
        import numpy as np

        return VideoBatches(
            frames, np.arange(len(rows)), num_clips=2, num_videos=num_videos, num_frames=4,
            stride=1, augmentation=augmentation_of(recipe), transform=transform, seed=3,
            share=(place, processes),
        )  # fmt: skip

    whole, target = batches(0, 1)(5)
    assert whole.shape == (4, 2, 3, 4, 24, 24)
    parts = [batches(place, 2)(5) for place in range(2)]
    torch.testing.assert_close(torch.cat([x for x, _ in parts]), whole, rtol=0, atol=0)
    assert torch.cat([t for _, t in parts]).tolist() == target.tolist()
    one_by_one, again = batches(0, 1).one_by_one(5)
    for n in range(2):
        torch.testing.assert_close(one_by_one.draw(n), whole[:, n : n + 1], rtol=0, atol=0)
    assert (one_by_one.num_clips, again.tolist()) == (2, target.tolist())
    assert not torch.equal(whole, batches(0, 1)(6)[0])
    assert not torch.equal(whole[:, 0], whole[:, 1])
    with pytest.raises(UsageError, match="3 videos per step cannot be shared"):
        batches(0, 2, num_videos=3)


def test_a_video_shorter_than_a_clip(memory_recipe, tmp_path):
    """Forty frames, and clips of 8 frames at stride 8: the last frame is repeated."""
    metrics = train_memory(memory_recipe(tmp_path / "run", num_frames=8, stride=8, num_clips=4))
    assert metrics["test_videos"] == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch_size": 3, "num_clips": 4}, "holds no video of num_clips 4"),
        ({"steps": None, "warmup_steps": 0}, "either steps or epochs"),
        ({"epochs": 3}, "either steps or epochs"),
        ({"warmup_epochs": 1}, "go with epochs"),
        ({"steps": None, "epochs": 3}, "warmup_steps goes with steps"),
        ({"steps": None, "warmup_steps": 0, "epochs": 3, "drop_epochs": "2,1"}, "rising"),
        ({"steps": None, "warmup_steps": 0, "epochs": 3, "drop_epochs": "1,x"}, "rising"),
        ({"steps": None, "warmup_steps": 0, "epochs": 3, "drop_epochs": "5"}, "before epoch 3"),
        ({"steps": None, "warmup_steps": 0, "epochs": 3, "warmup_epochs": 3}, "give fewer"),
        ({"warmup_steps": 4}, "warmup_steps is 4 of 4"),
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"batch_size": 10}, "5 different videos, split 'train' has 4 .* batch_size of at most 8"),
        ({"batch_size": 5, "strategy": "multi_iteration"}, "5 different videos.* at most 4"),
        ({"batch_norm": "whole", "strategy": "multi_iteration"}, "all clips in one pass"),
        ({"multilabel": True, "label_smoothing": 0.1}, "one label per video"),
        ({"model": "r3d_19"}, "did you mean 'r3d_18'"),
        ({"reduction": 7}, "reduction 7"),
        ({"max_short_side": 20}, "max_short_side is 20"),
    ],
)
def test_refused(memory_recipe, tmp_path, changes, told):
    with pytest.raises(UsageError, match=told):
        train_memory(memory_recipe(tmp_path / "run", **changes))


def test_wrong_starts(memory_recipe, tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        train_memory(memory_recipe(tmp_path / "a", init=str(tmp_path / "none.safetensors")))
    network = create_backbone("r2plus1d_18", num_classes=2, width=4)
    save_backbone(network, tmp_path / "other.safetensors")
    with pytest.raises((UsageError, CheckpointError), match="r2plus1d_18"):
        train_memory(memory_recipe(tmp_path / "b", init=str(tmp_path / "other.safetensors")))


@pytest.mark.parametrize("kind", ["faster", "sfc", "memory of sfc", "memory and gru"])
def test_no_part_of_another_model_is_a_start(memory_recipe, tmp_path, kind):
    """Nothing of a file is left out unseen: an expensive encoder alone is no start."""
    memory = tiny_memory()
    learned = create_aggregator("gru", channels=32, num_classes=4)
    models = {
        "faster": tiny_faster,
        "sfc": lambda: sfc(tiny_compressed()),
        "memory of sfc": lambda: Model([tiny_compressed()], context=memory.context),
        "memory and gru": lambda: Model(
            memory.networks, context=memory.context, aggregator=learned
        ),
    }
    save_model(models[kind](), tmp_path / "m.safetensors")
    recipe = memory_recipe(
        tmp_path / "run", model="r3d_18", init=str(tmp_path / "m.safetensors"), num_frames=8
    )
    with pytest.raises(CheckpointError, match="holds a model of several parts"):
        build(recipe, ("left", "right"))


def test_other_tasks_refuse_several_processes(clip_recipe, tmp_path, monkeypatch):
    from vidskim.train.tasks.clips import train_clips

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="trains in one process, 2 were started"):
        train_clips(clip_recipe(tmp_path / "run"))


def test_processes_that_cannot_be(memory_recipe, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="devices is 1024, this machine has"):
        train_memory(memory_recipe(tmp_path / "a", devices=1024, batch_size=2048))
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UsageError, match="4 videos per step cannot be shared evenly by 3"):
        train_memory(memory_recipe(tmp_path / "b"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="whole goes with one process"):
        train_memory(memory_recipe(tmp_path / "c", batch_norm="whole"))
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(UsageError, match="WORLD_SIZE in the environment is 'many'"):
        train_memory(memory_recipe(tmp_path / "d"))


def test_a_run_does_not_go_on_with_other_data(memory_recipe, tmp_path, tiny_csv):
    rows = read_manifest(tiny_csv).rows
    write_manifest(rows, tmp_path / "mine.csv")
    recipe = memory_recipe(tmp_path / "run", data=str(tmp_path / "mine.csv"), batch_size=4)
    train_memory(recipe, stop_after=2)
    write_manifest(rows[1:], tmp_path / "mine.csv")
    with pytest.raises(UsageError, match="another manifest of this name"):
        train_memory(recipe)


def test_a_memory_that_is_left_out_is_told(memory_recipe, tmp_path):
    train_memory(memory_recipe(tmp_path / "a"))
    file = str(tmp_path / "a" / "model.safetensors")
    with pytest.warns(UserWarning, match="its memory is left out"):
        build(memory_recipe(tmp_path / "b", init=file, interaction=None), ("left", "right"))


def test_unreadable_test_videos_are_told_before_training(memory_recipe, tmp_path, tiny_csv):
    rows = list(read_manifest(tiny_csv).rows)
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    rows[-1] = replace(rows[-1], path=broken)
    write_manifest(rows, tmp_path / "mine.csv")
    told = r"mine\.csv: 1 of 2 videos cannot be read.*broken\.mp4.* out of the manifest"
    with pytest.raises(ManifestError, match=told):
        train_memory(memory_recipe(tmp_path / "run", data=str(tmp_path / "mine.csv")))
    assert not (tmp_path / "run" / "log.jsonl").exists()


def many(tiny_csv: Path) -> list[Row]:
    """Twelve training rows, stretches of the four videos, and the test videos."""
    rows = read_manifest(tiny_csv).rows
    train = [row for row in rows if row.split == "train"]
    stretches = [replace(row, start_seconds=s) for s in (0.0, 0.4, 0.8) for row in train]
    return [*stretches, *(row for row in rows if row.split == "test")]


@pytest.mark.filterwarnings("ignore:.*1 of 13 videos were left out")
def test_a_class_whose_videos_cannot_be_read_is_refused(memory_recipe, tmp_path, tiny_csv):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    lost = Row(broken, ("up",), split="train")
    recipe = memory_recipe(tmp_path / "run", data=str(tmp_path / "mine.csv"))
    write_manifest([*many(tiny_csv), lost], tmp_path / "mine.csv")
    told = r"mine\.csv: no training video of class 'up' can be read, the first: .*broken\.mp4; rep"
    with pytest.raises(ManifestError, match=told):
        train_memory(recipe)
    assert not (tmp_path / "run" / "log.jsonl").exists()
    write_manifest([*many(tiny_csv), replace(lost, labels=("left",))], tmp_path / "mine.csv")
    assert train_memory(recipe)["train_videos"] == 12


def test_a_class_of_an_unused_split_is_no_output(memory_recipe, tmp_path, tiny_csv):
    rows = read_manifest(tiny_csv).rows
    other = replace(rows[0], labels=("aside",), split="val", start_seconds=0.4)
    write_manifest([*rows, other], tmp_path / "mine.csv")
    recipe = memory_recipe(tmp_path / "run", data=str(tmp_path / "mine.csv"))
    assert train_memory(recipe)["num_classes"] == 2
    model = loaded(tmp_path / "run" / "model.safetensors")
    assert model.backbone.classes == ("left", "right")


def test_damaged_videos_are_told_and_counted(memory_recipe, tmp_path, tiny_csv):
    cut = tmp_path / "cut.mkv"
    write_tiny_video(cut, label="left")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 3 // 5])
    rows = [*read_manifest(tiny_csv).rows, Row(cut, ("left",), split="test")]
    write_manifest(rows, tmp_path / "mine.csv")
    recipe = memory_recipe(tmp_path / "run", data=str(tmp_path / "mine.csv"))
    with pytest.warns(UserWarning, match=r"mine\.csv: 1 of 3 videos are damaged .*cut\.mkv"):
        assert train_memory(recipe)["damaged_videos"] == 1
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["damaged_videos"] == 1


@pytest.mark.parametrize("multilabel", [False, True])
def test_answers_that_are_no_numbers_are_refused(memory_recipe, tmp_path, multilabel):
    """The best class of NaN would be the first one, and half of the videos show that."""
    recipe = memory_recipe(
        tmp_path / "run", learning_rate=1e6, optimizer="sgd", multilabel=multilabel, warmup_steps=0
    )
    with pytest.raises(VidskimError, match=r"no numbers.*lower learning_rate or a longer warm-up"):
        train_memory(recipe)
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_whole_answers_that_are_no_numbers_are_not_written(memory_recipe, tmp_path, tiny_csv):
    store = frame_store(
        read_manifest(tiny_csv).rows[:2], transform=Transform(short_side=24), folder=tmp_path
    )
    clips = torch.tensor([[[0.5, 0.5]], [[float("nan"), 0.5]]])
    answers = VideoAnswers(clips[:, 0], clips, torch.tensor([0, 1]))
    with pytest.raises(VidskimError, match=f"{store.rows[1].path}: .* are no numbers"):
        write_video_answers(answers, store, classes=("left", "right"), folder=tmp_path)
    assert not (tmp_path / "answers.csv").exists()


@pytest.mark.parametrize(
    ("changes", "remedies"),
    [
        ({}, "a batch_size of at least 4, fewer num_clips, batch_norm whole or freeze_backbone"),
        ({"batch_norm": "synchronized"}, "fewer num_clips, batch_norm whole or"),
        (
            {"strategy": "multi_iteration", "batch_size": 1},
            "a batch_size of at least 2 or freeze_backbone true",
        ),
        ({"num_clips": 1, "batch_size": 1}, "a batch_size of at least 2 or freeze_backbone true"),
        ({"batch_norm": "whole"}, None),
        ({"freeze_backbone": True}, None),
        ({"batch_size": 4}, None),
    ],
)
def test_statistics_of_single_clips_are_told(memory_recipe, tmp_path, changes, remedies):
    recipe = memory_recipe(tmp_path / "run", **{"batch_size": 2, **changes})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train_memory(recipe, stop_after=1)
    told = [str(one.message) for one in caught if "statistics of single clips" in str(one.message)]
    assert len(told) == (remedies is not None)
    assert remedies is None or remedies in told[0]


@pytest.mark.parametrize("interaction", ["associative", None])
def test_nonlocal_blocks_are_added_to_what_was_trained_with_a_memory(
    memory_recipe, tmp_path, interaction
):
    """As to a plain backbone; the memory comes along, and answers are what they were."""
    plain = {"model": "slow_r50_8x8", "interaction": "associative"}
    train_memory(memory_recipe(tmp_path / "a", **plain, batch_size=4, steps=2))
    file = str(tmp_path / "a" / "model.safetensors")
    known = loaded(file)
    recipe = memory_recipe(
        tmp_path / "b", model="slow_r50_8x8_nl", init=file, interaction=interaction
    )
    if interaction is None:
        with pytest.warns(UserWarning, match="its memory is left out"):
            model = build(recipe, ("left", "right"))
        assert model.memory is None
        return
    model = build(recipe, ("left", "right"))
    assert model.backbone.name == "slow_r50_8x8_nl"
    clips = torch.randn(1, 2, 3, 4, 24, 24)
    with torch.inference_mode():
        torch.testing.assert_close(model.eval()(clips), known.eval()(clips))
    with pytest.raises((UsageError, CheckpointError), match="holds slow_r50_8x8"):
        build(replace(recipe, model="slow_r50_4x16_nl"), ("left", "right"))


def test_a_lost_process_is_one_line():
    class Two:
        world_size = 2

    with (
        pytest.raises(VidskimError, match="another process of this training has ended"),
        with_peers(Two()),
    ):
        raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer [127.0.0.1]")
    with pytest.raises(RuntimeError, match="shape"), with_peers(Two()):
        raise RuntimeError("shape mismatch")
