"""Methods of one model side by side: from names to the recognizers that answer."""

import json
from dataclasses import replace

import pytest
import torch

from tinynets import tiny_classifier, tiny_compressed, tiny_memory
from tinyset import CLASSES, write_tiny_set
from vidskim.answer.build import Ask
from vidskim.answer.recognizer import Recognizer, Runtime
from vidskim.api import make_recognizer
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.registry import create_backbone
from vidskim.cli import main
from vidskim.clips.transform import Transform
from vidskim.data.manifest import read_manifest
from vidskim.errors import CheckpointError, UsageError
from vidskim.evaluate import lineup
from vidskim.evaluate.benchmark import benchmark
from vidskim.evaluate.lineup import asked_for, check_methods, is_trained, line_up
from vidskim.evaluate.run import evaluate_manifest, fingerprint
from vidskim.look import selection
from vidskim.look.look import Look
from vidskim.look.oracle import OracleSaliency
from vidskim.model import presets
from vidskim.model.adapter import Head, map_shape
from vidskim.model.aggregate import Average, FastGru
from vidskim.model.compressed import Compressed
from vidskim.model.file import load_model, save_model
from vidskim.model.schedule import Routed

N = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``tiny.csv`` with two test videos, and ``faster.safetensors``: 4 clips of 4 frames, 1:1."""
    out = tmp_path_factory.mktemp("faster")
    write_tiny_set(out, train=0, test=2, num_frames=48)
    torch.manual_seed(3)
    encoders = []
    for width in (4, 2):
        network = create_backbone("r3d_18", num_classes=2, width=width)
        network.classes = CLASSES
        network.clip = ClipSpec(4, 1, (16, 16))
        network.transform = Transform(short_side=16, crop=(16, 16))
        network.fc.weight.data *= 30
        encoders.append(network.eval())
    aggregator = FastGru(map_shape(encoders[0])[0], 2)
    aggregator.head.weight.data *= 30
    model = presets.faster(encoders, aggregator, pattern="1:1", num_clips=N)
    save_model(model.eval(), out / "faster.safetensors")
    return out


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder / "faster.safetensors")


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("faster", {}),
        ("faster/1:3", {"pattern": "1:3"}),
        ("faster/all/average", {"pattern": "all", "aggregator": "average"}),
        ("faster/average/all", {"pattern": "all", "aggregator": "average"}),
        ("motion/ECC/scsampler", {"pattern": "ECC", "route": "scsampler"}),
        ("sfc/8", {"k": 8}),
        ("sfc", {"k": None}),
        ("sfc/alone", {"context": "none", "compress": "none"}),
        ("uniform/join=2/context=memory", {"join": "2", "context": "memory"}),
        ("oracle/gru", {"aggregator": "gru"}),
    ],
)
def test_words_behind_a_name_are_options(name, given):
    base = Ask(k=5, sampler="x")
    asked = asked_for(name, base)
    expected = {"method": name.partition("/")[0], "k": 5, **given}
    for key, value in expected.items():
        assert getattr(asked, key) == value, key
    assert asked.sampler == "x"
    assert is_trained(name) == ("scsampler" in name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fastre", "did you mean 'faster'"),
        ("faster/1;7", "'1;7' cannot stand there"),
        ("faster/", "'' cannot stand there"),
        ("faster/all/none", "'none' cannot stand there"),
        ("faster/motion/packets", "'packets' cannot stand there"),
        ("faster/average/average", "'average' cannot stand there"),
        ("faster/device=cuda", "'device=cuda' cannot stand there"),
        ("faster/\x1b", r"'\\\\x1b' cannot stand there"),
    ],
)
def test_names_that_say_nothing_are_refused(name, message):
    with pytest.raises(UsageError, match=message):
        check_methods([name])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("faster", "method 'faster' needs a FASTER model"),
        ("memory", "method 'memory' needs a backbone with a memory"),
        ("sfc", "method 'sfc' needs a backbone with a compression"),
        ("dense/all", "a pattern or route shares clips between two encoders"),
        ("uniform/motion", "a pattern or route shares clips between two encoders"),
        ("uniform/fast_gru", "would have to be trained"),
        ("uniform/context=memory", "would have to be trained"),
    ],
)
def test_what_a_single_classifier_has_not(name, message):
    with pytest.raises(UsageError, match=message):
        line_up(presets.single(tiny_classifier()), [name], Ask())


def test_every_name_becomes_what_it_says(model):
    names = ("faster", "faster/1:3", "faster/motion", "faster/all/average", "dense", "uniform/none")
    made = line_up(model, names, Ask())
    assert made.name == "r3d_18 and r3d_18, fast_gru"
    assert made.classes == CLASSES
    found = {name: made.of(name, label="left") for name in names}
    assert {name: str(r.schedule) for name, r in found.items()} == {
        "faster": "1:1",
        "faster/1:3": "1:3",
        "faster/motion": "1:1 by saliency",
        "faster/all/average": "all",
        "dense": "1:1",
        "uniform/none": "none",
    }
    assert isinstance(found["faster/motion"].schedule, Routed)
    assert {name: r.look.k for name, r in found.items()} == {
        **dict.fromkeys(names, N),
        "dense": None,
    }
    for name, recognizer in found.items():
        averaged = name.endswith("average")
        assert isinstance(recognizer.model.aggregator, Average if averaged else FastGru)
        assert all(isinstance(lane.adapter, Head) == averaged for lane in recognizer.lanes)
        assert recognizer.lanes[0].encoder is model.networks[0]
    fewer = line_up(model, ["faster", "random"], Ask(k=2))
    assert [r.look.k for r in fewer.fixed.values()] == [2, 2]
    with pytest.raises(UsageError, match="faster16 has clips of 16 frames, those of the model"):
        line_up(model, ["faster16"], Ask())


def test_answers_are_those_of_recognize(folder, model):
    """The evaluation's answers are the command line's own, digit for digit, at the same cost."""
    manifest = read_manifest(folder / "tiny.csv")
    names = ("faster", "faster/all", "faster/packets", "faster/oracle")
    results = benchmark(manifest, model=model, methods=names)
    options = ({}, {"pattern": "all"}, {"route": "packets"})
    for result, more in zip(results, options):
        own = make_recognizer(model=str(folder / "faster.safetensors"), method="faster", **more)
        for video, row in zip(result.videos, manifest.rows):
            answer = own(row.path)
            (score,) = [p.score for p in answer.predictions if p.label == row.label]
            assert video.score_of_label == score
            assert video.macs == answer.cost.macs
    fixed, whole, routed, oracle = ([v.macs for v in r.videos] for r in results)
    assert fixed == routed  # the same cost: packet sizes need no network
    assert all(a < b < c for a, b, c in zip(fixed, whole, oracle))


def test_the_average_of_all_expensive_clips_is_the_expensive_classifier_s(folder, model):
    manifest = read_manifest(folder / "tiny.csv")
    (result,) = benchmark(manifest, model=model, methods=["uniform/all/average"], ask=Ask(k=3))
    (plain,) = benchmark(manifest, model=model.networks[0], methods=["uniform"], ask=Ask(k=3))
    for one, other in zip(result.videos, plain.videos):
        assert one.score_of_label == pytest.approx(other.score_of_label, abs=1e-6)


def test_the_oracle_asks_the_bare_first_encoder(model):
    joined = presets.sfc(tiny_compressed())
    for whole, label in ((model, "left"), (joined, "jump")):
        bare = whole.networks[0]
        bare = bare.backbone if isinstance(bare, Compressed) else bare
        made = line_up(whole, ("oracle",), Ask(k=3)).of("oracle", label=label)
        assert made.look.k == 3
        assert made.look.saliency.encoder is bare
        assert made.look.saliency.target == whole.classes.index(label)
    routed = line_up(model, ("faster/oracle",), Ask()).of("faster/oracle", label="right")
    assert isinstance(routed.schedule.by, OracleSaliency)
    assert routed.look.method == "faster, routed by oracle"


def test_of_a_compression_every_name_becomes_what_it_says():
    model = presets.sfc(tiny_compressed())
    names = ("sfc", "sfc/3", "sfc/alone", "uniform", "dense", "uniform/alone", "dense/alone")
    made = line_up(model, names, Ask())
    assert {name: (r.look.method, r.look.k) for name, r in made.fixed.items()} == {
        "sfc": ("sfc", None),
        "sfc/3": ("sfc", 3),
        "sfc/alone": ("uniform", 10),
        "uniform": ("uniform", 8),
        "dense": ("dense", None),
        "uniform/alone": ("uniform", 10),
        "dense/alone": ("dense", None),
    }
    for name, recognizer in made.fixed.items():
        assert recognizer.lanes[0].is_compressed == (not name.endswith("/alone"))
        assert recognizer.model.card.join == ((1,) if name.endswith("/alone") else (None,))
    fewer = line_up(model, ("uniform", "uniform/alone", "sfc/alone", "sfc"), Ask(k=4))
    assert [r.look.k for r in fewer.fixed.values()] == [4, 4, 4, None]
    cropped = Ask(runtime=Runtime(crops=3))
    crops = line_up(model, ("sfc", "dense/alone"), cropped)
    assert [r.runtime.crops for r in crops.fixed.values()] == [1, 3]


def test_of_a_memory_alone_leaves_it_out():
    made = line_up(tiny_memory(), ("memory", "memory/alone", "motion"), Ask())
    assert [r.model.context is None for r in made.fixed.values()] == [False, True, False]
    assert [r.look.overlaps for r in made.fixed.values()] == [True, True, False]


def test_the_command_compares_with_what_is_named_first(folder, capsys, tmp_path):
    status = main(
        ["evaluate", "--data", str(folder / "tiny.csv"), "--model",
         str(folder / "faster.safetensors"), "--methods", "faster/all/average,faster,faster/motion",
         "--out", str(tmp_path / "out")]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert status == 0
    head = printed.splitlines()[0]
    assert "vs faster/all/average" in head
    assert "vs dense" not in head
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["protocol"]["views"]["num_clips"] == N
    first, *others = record["rows"]
    assert first["difference_to_first"] is None
    for row in others:
        difference = row["accuracy"]["estimate"] - first["accuracy"]["estimate"]
        assert row["difference_to_first"]["estimate"] == pytest.approx(difference)
        assert row["gmacs"] < first["gmacs"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"methods": ("faster/up",)}, UsageError, "'up' cannot stand there"),
        ({"methods": ()}, UsageError, "at least one method of dense"),
        ({"fast": "bf16"}, UsageError, "single classifier"),
        ({"num_crops": 2}, UsageError, "crop"),
        ({"model": "gone.safetensors"}, CheckpointError, "gone.safetensors"),
        ({"methods": ("faster/scsampler",), "sampler": "gone.pth"}, CheckpointError, "gone.pth"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder, changes, error, message):
    values = {"methods": ("faster",), "model": str(folder / "faster.safetensors")}
    with pytest.raises(error, match=message):
        evaluate_manifest(folder / "tiny.csv", **(values | changes))


def test_a_model_s_fingerprint_holds_what_its_answers_depend_on(folder, model):
    assert fingerprint(load_model(folder / "faster.safetensors")) == fingerprint(model)
    other = load_model(folder / "faster.safetensors")
    other.card = replace(other.card, schedule="1:3")
    assert fingerprint(other) != fingerprint(model)


class First:
    """A saliency of one's own: the first clips."""

    def __call__(self, video, clips):
        return torch.linspace(1, 0, len(clips))


def test_a_route_of_all_methods_takes_the_sampler_that_is_given(model):
    own = First()
    made = line_up(model, ("uniform", "scsampler"), Ask(route="scsampler", sampler=own, k=3))
    assert [r.schedule.by for r in made.fixed.values()] == [own, own]
    assert made.fixed["uniform"].look.saliency is None
    assert made.fixed["scsampler"].look.saliency is own


def test_a_saliency_of_one_s_own_is_measured(folder, tmp_path):
    values = {"model": str(folder / "faster.safetensors"), "sampler": First(), "k": 2}
    report = evaluate_manifest(
        folder / "tiny.csv", methods=("scsampler", "uniform"), out=tmp_path / "out", **values
    )
    video = read_manifest(folder / "tiny.csv").rows[0].path
    look = Look("first", selection.by_score(2), First(), k=2)
    answer = Recognizer(load_model(folder / "faster.safetensors"), look=look)(video)
    (score,) = [p.score for p in answer.predictions if p.label == report.results[0].videos[0].label]
    assert report.results[0].videos[0].score_of_label == score


def test_models_are_put_together_once_however_many_videos_the_oracle_sees(model, monkeypatch):
    calls = []
    compose = lineup.composed
    monkeypatch.setattr(lineup, "composed", lambda *given: calls.append(1) or compose(*given))
    made = line_up(model, ("oracle/average", "faster/oracle"), Ask())
    for label in (*CLASSES, *CLASSES):
        made.of("oracle/average", label=label)
        made.of("faster/oracle", label=label)
    assert len(calls) == 2
