"""Methods of a FASTER model side by side: one path of names to the recognizers that answer."""

import json

import pytest
import torch
from vidskim.evaluate.method_names import Variant, check_methods, is_trained, parse_variant

from parts import recognizer_for
from tinynets import CLASSES as TINY_CLASSES
from tinynets import tiny_compressed
from tinyset import CLASSES, write_tiny_set
from vidskim import presets
from vidskim.answer.build import make_faster
from vidskim.answer.lane import Head
from vidskim.answer.recognizer import Recognizer
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.registry import create_backbone
from vidskim.cli import main
from vidskim.clips.transform import Transform
from vidskim.data.manifest import read_manifest
from vidskim.errors import CheckpointError, UsageError
from vidskim.evaluate.benchmark import benchmark
from vidskim.evaluate.lineup import of_faster, of_sfc
from vidskim.evaluate.run import evaluate_manifest
from vidskim.look.oracle import OracleSaliency
from vidskim.model.adapter import map_shape
from vidskim.model.aggregate import Average, FastGru
from vidskim.model.file import load_model, save_model
from vidskim.model.schedule import Routed, parse_pattern

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
    model = faster(encoders, aggregator, pattern="1:1", num_clips=N)
    save_model(model.eval(), out / "faster.safetensors")
    return out


@pytest.fixture(scope="module")
def faster(folder):
    return load_model(folder / "faster.safetensors")


def nothing():
    raise AssertionError("no saliency network is needed")


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("faster", Variant("faster")),
        ("dense/all", Variant("dense", pattern="all")),
        ("faster16/motion", Variant("faster16", route="motion")),
        ("faster/average/1:3", Variant("faster", pattern="1:3", average=True)),
        ("faster/scsampler/ECC/average", Variant("faster", "ECC", "scsampler", average=True)),
        ("faster/oracle", Variant("faster", route="oracle")),
        ("oracle/all/average", Variant("oracle", "all", average=True)),
    ],
)
def test_names_are_read_in_any_order(name, variant):
    assert parse_variant(name) == variant
    assert variant.is_trained == ("scsampler" in name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fastre", "did you mean 'faster'"),
        ("faster/1;7", "'1;7' cannot stand there"),
        ("faster/", "'' cannot stand there"),
        ("faster/all/none", "'none' cannot stand there"),
        ("faster/motion/packets", "'packets' cannot stand there"),
        ("faster/average/average", "'average' cannot stand there"),
        ("faster/\x1b", r"'\\\\x1b' cannot stand there"),
        ("motion/packets", "only faster, faster16, faster32 can be routed"),
        ("oracle/oracle", "only faster, faster16, faster32 can be routed"),
    ],
)
def test_names_that_say_nothing_are_refused(name, message):
    with pytest.raises(UsageError, match=message):
        check_methods([name], of_faster=True)


@pytest.mark.parametrize("name", ["faster", "faster32/all", "dense/all", "oracle/average"])
def test_a_single_classifier_has_no_variants(name):
    with pytest.raises(UsageError, match="needs a FASTER model"):
        check_methods(["dense", name], of_faster=False)


def test_every_name_becomes_what_it_says(faster):
    names = ("faster", "faster/1:3", "faster/motion", "faster/all/average", "dense", "uniform/none")
    made = of_faster(faster, names, k=None, saliency=nothing)
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
        assert isinstance(recognizer.aggregator, Average if averaged else FastGru)
        assert all(isinstance(lane.adapter, Head) == averaged for lane in recognizer.lanes)
        assert recognizer.encoder is faster.encoders[0]
    fewer = of_faster(faster, ["faster", "random"], k=2, saliency=nothing)
    assert [r.look.k for r in fewer.fixed.values()] == [2, 2]
    with pytest.raises(UsageError, match="faster16 has clips of 16 frames, those of the model"):
        of_faster(faster, ["faster16"], k=None, saliency=nothing)


def test_answers_are_those_of_recognize(folder, faster):
    """The evaluation's answers are the command line's own, digit for digit, at the same cost."""
    manifest = read_manifest(folder / "tiny.csv")
    names = ("faster", "faster/all", "faster/packets", "faster/oracle")
    results = benchmark(manifest, encoder=faster, methods=names, k=None, saliency=nothing)
    path = str(folder / "faster.safetensors")
    told = {
        "faster": (None, None),
        "faster/all": ("all", None),
        "faster/packets": (None, "packets"),
    }
    for result in results[:3]:
        pattern, route = told[result.method]
        made = make_faster(
            path,
            method="faster",
            k=None,
            sampler=None,
            options=None,
            pattern=pattern,
            route=route,
            random_weights=False,
        )
        own = recognizer_for(
            made.encoders[0],
            others=made.encoders[1:],
            look=made.look,
            schedule=made.schedule,
            adapters=made.adapters,
            aggregator=made.aggregator,
        )
        for video, row in zip(result.videos, manifest.rows):
            answer = own(row.path)
            (score,) = [p.score for p in answer.predictions if p.label == row.label]
            assert video.score_of_label == score
            assert video.macs == answer.cost.macs
    fixed, whole, routed, oracle = ([v.macs for v in r.videos] for r in results)
    assert fixed == routed  # the same cost: packet sizes need no network
    assert all(a < b < c for a, b, c in zip(fixed, whole, oracle))


def test_the_average_of_all_expensive_clips_is_the_expensive_classifier_s(folder, faster):
    manifest = read_manifest(folder / "tiny.csv")
    (result,) = benchmark(
        manifest, encoder=faster, methods=["uniform/all/average"], k=3, saliency=nothing
    )
    alone = recognizer_for(faster.networks[0], look=presets.uniform(k=3), batch_size=1)
    for video, row in zip(result.videos, manifest.rows):
        answer = alone(row.path)
        (score,) = [p.score for p in answer.predictions if p.label == row.label]
        assert video.score_of_label == pytest.approx(score, abs=1e-6)
        assert video.dense_macs == answer.cost.dense_macs


def test_the_oracle_asks_the_expensive_encoder(faster):
    made = of_faster(faster, ["oracle", "faster/oracle"], k=None, saliency=nothing)
    for name in ("oracle", "faster/oracle"):
        recognizer = made.of(name, label="right")
        saliency = recognizer.look.saliency
        assert isinstance(saliency, OracleSaliency)
        assert saliency.encoder is faster.encoders[0]
        assert saliency.target == CLASSES.index("right")
    assert str(made.of("faster/oracle", label="left").schedule) == "1:1 by saliency"
    assert str(made.of("oracle", label="left").schedule) == "1:1"


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
        ({"methods": ()}, UsageError, "at least one method of faster"),
        ({"fast": "bf16"}, UsageError, "no FASTER model"),
        ({"num_crops": 2}, UsageError, "crop"),
        ({"model": "gone.safetensors"}, CheckpointError, "gone.safetensors"),
        ({"methods": ("faster/scsampler",), "sampler": "gone.pth"}, CheckpointError, "gone.pth"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder, changes, error, message):
    values = {"methods": ("faster",), "model": str(folder / "faster.safetensors")}
    with pytest.raises(error, match=message):
        evaluate_manifest(folder / "tiny.csv", **(values | changes))


def test_an_interrupted_evaluation_of_another_pattern_is_not_taken_up(folder, faster, tmp_path):
    from vidskim.evaluate.run import _told

    before = _told(faster)
    other = load_model(folder / "faster.safetensors")
    assert _told(other) == before
    other.pattern = parse_pattern("1:3")
    assert _told(other) != before


SFC = ("sfc", "sfc/3", "sfc/alone", "uniform", "dense", "uniform/alone", "dense/alone")


def test_of_a_compression_every_name_becomes_what_it_says():
    """Joined or, with /alone, the backbone by itself; all of the same weights."""
    model = tiny_compressed()
    made = of_sfc(model, SFC, k=None, saliency=nothing)
    assert made.name == "r3d_18, compressed 2 to 1 after res3"
    assert made.classes == TINY_CLASSES
    assert tuple(made.fixed) == tuple(sorted(SFC, key=lambda name: name.endswith("/alone")))
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
        assert isinstance(recognizer, WholeRecognizer) == (not name.endswith("/alone"))
        assert recognizer.encoder is model.backbone
        assert made.of(name, label="wave") is recognizer
    assert made.fixed["sfc"].model is made.fixed["uniform"].model is model
    fewer = of_sfc(model, ("uniform", "uniform/alone", "sfc/alone", "sfc"), k=4, saliency=nothing)
    assert [r.look.k for r in fewer.fixed.values()] == [4, None, 4, 4]
    model.segments = (5, 6)
    joined = of_sfc(model, ("sfc", "dense"), k=None, saliency=nothing)
    assert joined.fixed["sfc"].look.k == 5
    assert joined.fixed["dense"].clip.num_frames == 6


def test_single_clips_of_a_compressed_model_have_crops():
    made = of_sfc(tiny_compressed(), ("sfc", "dense/alone"), k=None, saliency=nothing, num_crops=3)
    assert [r.num_crops for r in made.fixed.values()] == [1, 3]


def test_the_oracle_of_a_compressed_model_scores_single_clips():
    model = tiny_compressed()
    made = of_sfc(model, ("oracle", "oracle/alone"), k=None, saliency=nothing)
    assert not made.fixed
    for name, k, kind in (("oracle", 8, WholeRecognizer), ("oracle/alone", 10, Recognizer)):
        recognizer = made.of(name, label="jump")
        assert type(recognizer) is kind
        assert recognizer.look.k == k
        assert recognizer.look.saliency.encoder is model.backbone
        assert recognizer.look.saliency.target == TINY_CLASSES.index("jump")


def test_which_names_of_a_compressed_model_need_saliency_networks():
    asked = []
    trained = {"scsampler": True, "scsampler/alone": True, "cascade/alone": True}
    trained |= dict.fromkeys((*SFC, "oracle", "motion/alone", "sfc/16"), False)
    assert {name: is_trained(name) for name in trained} == trained

    def saliency():
        asked.append(1)
        return presets.packets(k=1).saliency

    of_sfc(tiny_compressed(), SFC, k=None, saliency=saliency)
    assert not asked
    made = of_sfc(tiny_compressed(), ("scsampler", "sfc"), k=2, saliency=saliency)
    assert len(asked) == 1
    assert made.fixed["scsampler"].look.k == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sfc/0", "a number of segments"),
        ("sfc/-1", "'-1' cannot stand there"),
        ("sfc/1000000", "'1000000' cannot stand there"),
        ("sfc/2/alone", "'2/alone' cannot stand there"),
        ("sfc/", "'' cannot stand there"),
        ("sfc/²", "cannot stand there"),
        ("dense/8", "'8' cannot stand there"),
        ("memory", "needs a backbone with a memory"),
        ("faster", "unknown method 'faster'"),
        ("sfcc", "did you mean 'sfc'"),
    ],
)
def test_names_that_a_compressed_model_does_not_have(name, told):
    with pytest.raises(UsageError, match=told):
        of_sfc(tiny_compressed(), (name,), k=None, saliency=nothing)


def test_other_models_have_no_compression():
    with pytest.raises(UsageError, match="needs a backbone with a compression inside"):
        check_methods(("sfc",))
    with pytest.raises(UsageError, match="needs a backbone with a compression inside"):
        check_methods(("sfc/8",), of_memory=True)
    check_methods(("sfc/8", "sfc/alone", "uniform/alone", "oracle"), of_sfc=True)
    with pytest.raises(UsageError, match="name at least one method of sfc, dense"):
        check_methods((), of_sfc=True)
