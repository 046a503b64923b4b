"""FASTER's second stage: what is drawn, what is trained, what is measured, what is refused."""

import csv
import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tinynets import CLASSES as OTHER_CLASSES
from tinyset import CLASSES
from vidskim.account import count
from vidskim.backbones.contract import ClipSpec, Features
from vidskim.backbones.files.checkpoint import load_backbone, save_backbone
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.backbones.registry import create_backbone
from vidskim.clips.transform import Transform
from vidskim.data.cache.maps import Maps, VideoMaps
from vidskim.data.manifest import Row, read_manifest, write_manifest
from vidskim.errors import CheckpointError, ManifestError, UsageError, VideoError
from vidskim.model.file import load_model, read_metadata
from vidskim.model.schedule import Routed, parse_pattern
from vidskim.train.batches.maps import MapBatches, Turns, draw_in_order, gather, same_clips
from vidskim.train.tasks.aggregator import train_faster
from vidskim.train.tasks.aggregator_recipe import FasterRecipe
from vidskim.train.tasks.routing import route_scores
from vidskim.video import Video


def write_encoder(path, name, *, seed, num_frames=8, classes=CLASSES):
    """Write an untrained clip classifier whose answers differ from clip to clip."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = create_backbone(name, num_classes=len(classes), width=4)
    network.fc.weight.data *= 30
    network.classes = classes
    network.clip = ClipSpec(num_frames, 1, (32, 32))
    network.transform = Transform(short_side=32, crop=(32, 32))
    save_backbone(network, path)
    return str(path)


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """Checkpoints of an expensive and a cheap encoder: maps of 32 and of 128 channels."""
    folder = tmp_path_factory.mktemp("encoders")
    return {
        "expensive": write_encoder(folder / "expensive.safetensors", "r3d_18", seed=0),
        "cheap": write_encoder(folder / "cheap.safetensors", "r2d_26", seed=1),
    }


@pytest.fixture
def recipe_of(tiny_csv, encoders, tmp_path_factory):
    """Make a recipe; the maps are made once per session."""

    def make(out: Path, **changes) -> FasterRecipe:
        values = {
            "data": str(tiny_csv),
            "out": str(out),
            **encoders,
            "pattern": "1:3",
            "num_clips": 4,
            "batch_size": 3,
            "steps": 12,
            "warmup_steps": 2,
            "learning_rate": 0.01,
            "save_every": 5,
            "cache": str(tmp_path_factory.getbasetemp() / "cache"),
        }
        return FasterRecipe(**values | changes)

    return make


def test_videos_of_one_class_are_refused(recipe_of, tiny_csv, tmp_path):
    rows = [row for row in read_manifest(tiny_csv).rows if row.label == "left"]
    write_manifest(rows, tmp_path / "left.csv")
    with pytest.raises(ManifestError, match="all rows of split 'train' show 'left'"):
        train_faster(recipe_of(tmp_path / "run", data=str(tmp_path / "left.csv")))


def numbered(*, channels=1, clips=(5, 5, 5)):
    """Maps whose numbers tell row and clip, 100 * row + clip, and by their sign the encoder."""
    sign = 1 if channels == 1 else -1
    videos = []
    for n, number in enumerate(clips):
        values = sign * (100 * n + torch.arange(number).float())
        maps = values.reshape(-1, 1, 1, 1, 1).expand(-1, channels, 1, 1, 1)
        kept = {"maps": maps.half(), "logits": values.reshape(-1, 1)}
        videos.append(VideoMaps(Path("x"), tuple(range(number)), number, kept))
    rows = tuple(Row(Path(f"{n}.mp4"), ("a",)) for n in range(len(clips)))
    return Maps(rows, tuple(videos), frozenset({(channels, 1, 1, 1)}))


def batches(**changes):
    values = {
        "maps": (numbered(), numbered(channels=2)),
        "labels": np.array([7, 8, 9]),
        "turns": Turns(parse_pattern("1:2")),
        "num_clips": 4,
        "batch_size": 2,
        "seed": 0,
    }
    return MapBatches(**values | changes)


def test_a_batch_holds_clips_of_its_rows_in_order_of_time():
    for step in range(20):
        lanes, target = batches()(step)
        assert sorted(lanes) == [0, 1]
        expensive, at = lanes[0]
        cheap, rest = lanes[1]
        assert (expensive.shape, cheap.shape) == ((2, 2, 1, 1, 1, 1), (2, 2, 2, 1, 1, 1))
        assert (at.tolist(), rest.tolist()) == ([[0, 3]] * 2, [[1, 2]] * 2)
        for n in range(2):
            told = torch.empty(4)
            told[at], told[rest] = expensive[n].flatten(), -cheap[n, :, 0].flatten()
            assert set((told // 100).tolist()) == {float(target[n]) - 7}
            clips = (told % 100).tolist()
            assert clips == sorted(set(clips))


def test_a_batch_follows_the_step_and_the_seed():
    def clips(**changes):
        lanes, target = batches(**changes)(3)
        return [lanes[0][0].tolist(), lanes[1][0].tolist(), target.tolist()]

    assert clips() == clips() != clips(seed=1)
    drawn = {str(batches()(step)[0][1][0].tolist()) for step in range(9)}
    assert len(drawn) > 6


def test_all_rows_of_an_epoch_come_once():
    labels = [label for step in range(6) for label in batches()(step)[1].tolist()]
    assert Counter(labels) == {7: 4, 8: 4, 9: 4}


def test_clips_are_drawn_without_replacement_while_there_are_enough():
    generator = np.random.default_rng(0)
    assert draw_in_order(5, 5, generator) == [0, 1, 2, 3, 4]
    every = [draw_in_order(5, 2, generator) for _ in range(300)]
    assert all(a < b for a, b in every)
    assert len({tuple(pair) for pair in every}) == 10
    few = [draw_in_order(2, 5, generator) for _ in range(50)]
    assert all(drawn == sorted(drawn) and len(drawn) == 5 for drawn in few)
    assert {n for drawn in few for n in drawn} == {0, 1}


def test_maps_of_one_encoder_only():
    lanes = gather((numbered(),), [2, 0], [[1, 3], [0, 4]], turns=Turns(parse_pattern("all")))
    assert list(lanes) == [0]
    assert lanes[0][0].flatten().tolist() == [201, 203, 0, 4]


def test_encoders_must_have_seen_the_same_clips():
    first, second = numbered(), numbered(channels=2)
    fewer = second.of_rows(second.rows[1:])
    assert [maps.rows for maps in same_clips([first, fewer])] == [first.rows[1:]] * 2
    with pytest.raises(VideoError, match=r"0\.mp4.*different clips"):
        same_clips([first, numbered(channels=2, clips=(4, 5, 5))])
    with pytest.raises(ManifestError, match="no video"):
        same_clips([first, second.of_rows([])])
    with pytest.raises(UsageError, match="2 sizes"):
        same_clips([replace(first, shapes=frozenset({(1, 1, 1, 1), (1, 1, 2, 2)}))])


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """Training happens once for the tests that look at its results."""
    return tmp_path_factory.mktemp("finished"), {}


@pytest.fixture
def finished(cached, recipe_of):
    folder, known = cached
    recipe = recipe_of(folder / "run")
    if not known:
        known.update(train_faster(recipe))
    return recipe, known


def test_a_run_leaves_recipe_log_metrics_answers_and_model(finished):
    recipe, metrics = finished
    out = Path(recipe.out)
    assert sorted(p.name for p in out.iterdir()) == [
        "answers.csv", "log.jsonl", "metrics.json", "model.safetensors", "recipe.yaml"
    ]  # fmt: skip
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert (metrics["test_videos"], metrics["train_videos"]) == (2, 4)
    assert list(metrics["methods"]) == [
        "fast_gru", "average", "average_expensive", "average_cheap"
    ]  # fmt: skip
    assert metrics["test_accuracy"] == metrics["methods"]["fast_gru"]["accuracy"]
    assert "encoders 1:3" in metrics["protocol"]


def test_the_file_holds_encoders_adapters_and_aggregator_and_names_no_folder(finished, encoders):
    recipe, metrics = finished
    path = Path(recipe.out) / "model.safetensors"
    model = load_model(path)
    assert (str(model.pattern), model.card.num_clips, model.classes) == ("1:3", 4, CLASSES)
    assert (model.aggregator.name, model.aggregator.channels) == ("fast_gru", 32)
    told = read_metadata(path)
    assert told["metrics"] == metrics
    assert told["recipe"]["expensive"] == "expensive.safetensors"
    assert str(Path(recipe.out).parent) not in json.dumps(told)
    for place, name in enumerate(("expensive", "cheap")):
        known = load_backbone(checkpoint=encoders[name])
        assert told["trained_with"][place] == {
            "model": known.name, "weights_sha256": weights_sha256(known)
        }  # fmt: skip


def test_encoders_stay_as_they_are_bit_for_bit(finished, encoders):
    recipe, _ = finished
    state = load_file(Path(recipe.out) / "model.safetensors")
    for place, name in enumerate(("expensive", "cheap")):
        known = load_file(encoders[name])
        assert any("running_mean" in key for key in known)
        for key, tensor in known.items():
            assert torch.equal(state[f"encoders.{place}.{key}"], tensor), key


def test_adapter_and_aggregator_are_trained(finished, recipe_of, tmp_path):
    recipe, _ = finished
    after = load_file(Path(recipe.out) / "model.safetensors")
    train_faster(recipe_of(tmp_path / "run", steps=1, warmup_steps=0, learning_rate=1e-12))
    before = load_file(tmp_path / "run" / "model.safetensors")
    learned = [key for key in after if not key.startswith("encoders.")]
    assert "adapters.1.project.weight" in learned
    assert all(not torch.allclose(before[key], after[key], atol=1e-5) for key in learned)


def guesses_of(path):
    with (path / "answers.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_answers_are_those_of_the_videos(finished):
    """Every answer again from the files, without the store and without the training's code."""
    recipe, metrics = finished
    model = load_model(Path(recipe.out) / "model.safetensors")
    table = guesses_of(Path(recipe.out))
    rows = [row for row in read_manifest(recipe.data).rows if row.split == "test"]
    assert [line["path"] for line in table] == [str(row.path) for row in rows]
    assert [line["label"] for line in table] == [row.label for row in rows]
    for line, row in zip(table, rows):
        video = Video(row.path)
        grid = video.clips(num_frames=8)
        frames = video.frames([grid[n] for n in (0, 1, 3, 4)])  # middles of four parts of five
        with torch.inference_mode():
            seen = [e.features(e.transform(frames)) for e in model.networks]
            share = [torch.softmax(e.classify(m), 1) for e, m in zip(model.networks, seen)]
            joined = [a(m) for a, m in zip(model.adapters, seen)]
            mixed = torch.cat([joined[0][:1], joined[1][1:]])
            told = {
                "fast_gru": model.aggregator(mixed[None])[0],
                "average": torch.cat([share[0][:1], share[1][1:]]).mean(0),
                "average_expensive": share[0].mean(0),
                "average_cheap": share[1].mean(0),
            }
        for name, scores in told.items():
            assert line[f"{name}_guess"] == CLASSES[int(scores.argmax())], name
            assert line[name] == str(int(line[f"{name}_guess"] == row.label))
    for name, told in metrics["methods"].items():
        assert told["accuracy"] == np.mean([int(line[name]) for line in table])


def test_costs_count_what_each_method_runs(finished, encoders):
    _, metrics = finished
    networks = [load_backbone(checkpoint=encoders[name]) for name in ("expensive", "cheap")]
    shape = (1, 3, 8, 32, 32)
    whole = [count(network, shape).macs for network in networks]
    body = [count(Features(network), shape).macs for network in networks]
    places, C, r = 1, 32, 4  # maps of the cheap encoder have one place: 8 frames of 32x32 pixels
    step = places * (2 * (2 * C * C // r + C // r * C) + 2 * C * C)
    expected = {
        "fast_gru": body[0] + 3 * body[1] + 3 * places * 128 * C + 3 * step + 2 * C,
        "average": whole[0] + 3 * whole[1],
        "average_expensive": 4 * whole[0],
        "average_cheap": 4 * whole[1],
    }
    assert {n: m["macs_per_video"] for n, m in metrics["methods"].items()} == expected


@pytest.mark.parametrize("stops", [(7,), (5, 6, 11)])
def test_a_stopped_run_ends_like_an_unbroken_one(finished, recipe_of, tmp_path, stops):
    recipe, metrics = finished
    for stop in stops:
        assert train_faster(recipe_of(tmp_path / "run"), stop_after=stop) == {}
        assert (tmp_path / "run" / "state.pt").exists()
    assert train_faster(recipe_of(tmp_path / "run")) == metrics
    whole = load_file(Path(recipe.out) / "model.safetensors")
    parts = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert (tmp_path / "run" / "answers.csv").read_text() == (
        Path(recipe.out) / "answers.csv"
    ).read_text()


def test_a_finished_run_is_not_trained_again(finished, monkeypatch):
    recipe, metrics = finished
    monkeypatch.setattr("vidskim.train.task.optimize", None)
    assert train_faster(recipe) == metrics


def test_what_the_expensive_encoder_tells_is_learned(recipe_of, tmp_path):
    """The tiny set's classes differ in motion: a few hundred steps fit the training videos."""
    recipe = recipe_of(tmp_path / "run", steps=150, batch_size=4, test_split="train")
    metrics = train_faster(recipe)
    assert metrics["methods"]["fast_gru"]["accuracy"] == 1.0
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in log]
    assert losses[-1] < 0.1 < losses[0]


@pytest.mark.parametrize("aggregator", ["gru", "lstm", "concat"])
def test_every_aggregator(recipe_of, tmp_path, aggregator):
    metrics = train_faster(recipe_of(tmp_path / "run", aggregator=aggregator, dropout=0.2))
    assert next(iter(metrics["methods"])) == aggregator
    model = load_model(tmp_path / "run" / "model.safetensors")
    assert (model.aggregator.name, model.aggregator.options) == (aggregator, {"dropout": 0.2})


@pytest.mark.parametrize(
    "changes",
    [
        {"num_clips": 1},
        {"num_clips": 9},
        {"pattern": "first"},
        {"pattern": "1:7"},
        {"pattern": "none"},
        {"channels": 8, "reduction": 2},
        {"max_clips": 4},
        {"schedule": "step", "drop_every": 4},
    ],
    ids=str,
)
def test_variants_run(recipe_of, tmp_path, changes):
    recipe = recipe_of(tmp_path / "run", steps=4, warmup_steps=0, **changes)
    metrics = train_faster(recipe)
    model = load_model(tmp_path / "run" / "model.safetensors")
    assert model.card.num_clips == recipe.num_clips
    assert model.aggregator.channels == (recipe.channels or 32)
    clips = min(recipe.num_clips, 5)
    alone = metrics["methods"]["average_expensive"]["macs_per_video"]
    expensive = load_backbone(checkpoint=recipe.expensive)
    assert alone == clips * count(expensive, (1, 3, 8, 32, 32)).macs


def test_one_encoder_alone(recipe_of, tmp_path):
    recipe = recipe_of(tmp_path / "run", cheap=None, pattern="all", steps=4, warmup_steps=0)
    metrics = train_faster(recipe)
    assert list(metrics["methods"]) == ["fast_gru", "average", "average_expensive"]
    assert len(load_model(tmp_path / "run" / "model.safetensors").encoders) == 1


def test_init_starts_from_the_aggregator_of_a_file(finished, recipe_of, tmp_path, encoders):
    recipe, _ = finished
    init = str(Path(recipe.out) / "model.safetensors")
    still = {"steps": 1, "warmup_steps": 0, "learning_rate": 1e-12, "init": init}
    train_faster(recipe_of(tmp_path / "a", **still))
    before, after = load_file(init), load_file(tmp_path / "a" / "model.safetensors")
    assert all(torch.allclose(before[k], after[k], atol=1e-6) for k in before)
    for changes, message in (
        ({"aggregator": "gru"}, "holds aggregator fast_gru, the recipe has gru"),
        ({"channels": 8}, "not of the recipe's form"),
        ({"reduction": 8}, "not of the recipe's form"),
        ({"init": encoders["cheap"]}, "holds no FASTER model"),
    ):
        with pytest.raises((UsageError, CheckpointError), match=message):
            train_faster(recipe_of(tmp_path / "b", **still | changes))


def test_init_of_other_classes_replaces_the_head(finished, recipe_of, tmp_path, tiny_csv):
    recipe, _ = finished
    init = str(Path(recipe.out) / "model.safetensors")
    names = ("left", "other", "right")
    others = {
        "expensive": write_encoder(tmp_path / "e.safetensors", "r3d_18", seed=2, classes=names),
        "cheap": write_encoder(tmp_path / "c.safetensors", "r2d_26", seed=3, classes=names),
    }
    train_faster(
        recipe_of(
            tmp_path / "run", **others, init=init, steps=1, warmup_steps=0, learning_rate=1e-12
        )
    )
    before, after = load_file(init), load_file(tmp_path / "run" / "model.safetensors")
    assert after["aggregator.head.weight"].shape == (3, 32)
    kept = [k for k in before if k.startswith(("adapters.", "aggregator.cell."))]
    assert kept
    assert all(torch.allclose(before[k], after[k], atol=1e-6) for k in kept)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expensive": ""}, "expensive is empty; give the checkpoint"),
        ({"max_clips": 3}, "max_clips is 3, but num_clips 4 of them are drawn"),
        ({"cheap": None}, "pattern 1:3 needs a cheap encoder"),
        ({"pattern": "7"}, "pattern"),
        ({"num_clips": 0}, "num_clips is 0; give a value of at least 1"),
        ({"reduction": 64}, "between 1 and 32 channels, got 64"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"expensive": "gone.safetensors"}, r"gone\.safetensors"),
    ],
)
def test_recipes_that_cannot_be_meant(recipe_of, tmp_path, changes, message):
    with pytest.raises((UsageError, CheckpointError), match=message):
        train_faster(recipe_of(tmp_path / "run", **changes))


def test_encoders_that_do_not_fit(recipe_of, tmp_path):
    other = write_encoder(tmp_path / "c.safetensors", "r2d_26", seed=1, classes=OTHER_CLASSES)
    with pytest.raises(ManifestError, match="does not know 2 of the manifest's classes"):
        train_faster(recipe_of(tmp_path / "a", cheap=other))
    longer = write_encoder(tmp_path / "l.safetensors", "r2d_26", seed=1, num_frames=16)
    with pytest.raises(UsageError, match="take the same time span"):
        train_faster(recipe_of(tmp_path / "b", cheap=longer))


def test_the_recipe_is_the_record_of_the_run(finished):
    recipe, _ = finished
    with pytest.raises(UsageError, match=r"differs in pattern\); choose another out folder"):
        train_faster(replace(recipe, pattern="1:1"))
    assert asdict(recipe)["task"] == "faster"


def test_the_expensive_encoder_goes_where_saliency_sends_it():
    scores = (torch.tensor([0.1, 0.9, 0.2, 0.8, 0.0, 0.3]),) * 3
    turns = Turns(Routed(parse_pattern("1:1")), scores)
    maps = (numbered(), numbered(channels=2))
    lanes = gather(maps, [0, 1], [[0, 1, 2, 3], [1, 2, 3, 4]], turns=turns)
    assert lanes[0][1].tolist() == [[1, 3], [0, 2]]
    assert lanes[1][1].tolist() == [[0, 2], [1, 3]]
    assert lanes[0][0].flatten().tolist() == [
        *maps[0][0].maps([1, 3]).flatten().tolist(),
        *maps[0][1].maps([1, 3]).flatten().tolist(),
    ]


def test_a_routed_run_differs_from_its_pattern_and_costs_the_same(recipe_of, tmp_path):
    fixed = train_faster(recipe_of(tmp_path / "fixed", pattern="1:3"))
    routed = train_faster(recipe_of(tmp_path / "routed", pattern="1:3", route="packets"))
    assert routed["protocol"].endswith("encoders 1:3 by saliency, split test")
    cost = [run["methods"]["fast_gru"]["macs_per_video"] for run in (fixed, routed)]
    assert cost[0] == cost[1]
    heads = [
        load_model(tmp_path / name / "model.safetensors").aggregator.head.weight
        for name in ("fixed", "routed")
    ]
    assert not torch.equal(*heads)


def test_a_video_that_cannot_be_looked_at_any_more_is_named(tiny_csv, tmp_path):
    fine = read_manifest(tiny_csv).rows[0]
    maps = numbered(clips=(2, 2))
    maps = replace(maps, rows=(fine, Row(tmp_path / "gone.mp4", ("a",))))
    with pytest.raises(VideoError) as caught:
        route_scores(
            maps, "packets", sampler=None, k=1, clip=ClipSpec(8, 1, (32, 32)), folder=tmp_path
        )
    assert caught.value.path == str(tmp_path / "gone.mp4")
    assert str(caught.value).count("gone.mp4") == 1


def test_a_sampler_without_its_route_is_refused(recipe_of, tmp_path):
    with pytest.raises(UsageError, match="sampler is for route 'scsampler'"):
        train_faster(recipe_of(tmp_path / "run", sampler="x.safetensors"))
