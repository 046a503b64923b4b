"""Samplers from recipe to scores: every feature and objective, and data that does not fit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tinyset import CLASSES, write_tiny_video
from vidskim.backbones.files.checkpoint import load_backbone, read_header, save_backbone
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.backbones.network import Network
from vidskim.data.cache.answers import clip_answers
from vidskim.data.cache.inputs import feature_store
from vidskim.data.manifest import read_manifest, write_manifest
from vidskim.errors import CheckpointError, ManifestError, UsageError
from vidskim.io.write.video import write_video
from vidskim.look.network import NetworkSaliency
from vidskim.look.open import open_sampler
from vidskim.look.sampler import Sampler
from vidskim.look.sources import to_json
from vidskim.train.agreement import score_row, video_accuracy
from vidskim.train.recipe import read_recipe
from vidskim.train.tasks.joint import train_joint
from vidskim.train.tasks.saliency import train_saliency
from vidskim.train.tasks.saliency_recipe import source_of
from vidskim.video import Video

SIZES = {"motion": (3, 4), "residual": (24, 32), "keyframe": (24, 32), "audio": (40, 200)}
SHAPES = {kind: {"map_height": h, "map_width": w} for kind, (h, w) in SIZES.items()}


def only_network(path) -> NetworkSaliency:
    sampler = open_sampler([path])
    assert isinstance(sampler, Sampler)
    (saliency,) = sampler.networks
    return saliency


@pytest.mark.parametrize("feature", SIZES)
@pytest.mark.parametrize("objective", ["ac", "sal_cl", "sal_rank"])
def test_every_feature_and_objective_from_recipe_to_scores(
    saliency_recipe, sounding_csv, classifier, tmp_path, feature, objective
):
    recipe = saliency_recipe(
        tmp_path / "run",
        data=str(sounding_csv),
        classifier=classifier,
        feature=feature,
        objective=objective,
        network="vggish" if feature == "audio" else "resnet_18",
        steps=3,
        warmup_steps=1,
        clips_per_video=4,
        test_k=2,
        flip=feature != "audio",
        min_scale=0.8,
        time_shift=0.1,
        frequency_mask=0.1,
        **SHAPES[feature],
    )
    metrics = train_saliency(recipe)
    assert metrics["test_videos"] == 2
    assert 0 <= metrics["oracle_recall"] <= 1
    assert metrics["oracle_recall_by_chance"] == pytest.approx(2 / 5)
    assert ("test_accuracy" in metrics) == (objective == "ac")
    path = tmp_path / "run" / "model.safetensors"
    told = read_header(path).metadata
    source = source_of(recipe)
    assert told["source"] == json.loads(json.dumps(to_json(source)))
    assert (told["objective"], told["joint"]) == (objective, False)
    assert told["trained_with"] == {
        "model": "r3d_18",
        "weights_sha256": weights_sha256(load_backbone(checkpoint=classifier)),
        "manifest_sha256": read_manifest(sounding_csv).sha256,
    }
    assert str(tmp_path) not in json.dumps(told)
    saliency = only_network(path)
    assert (saliency.source, saliency.objective) == (source, objective)
    assert isinstance(saliency.network, Network)
    assert saliency.network.num_classes == (2 if objective == "ac" else 1)
    row = read_manifest(sounding_csv).rows[0]
    video = Video(row.path)
    scores = saliency(video, video.clips(num_frames=8))
    stored = feature_store(
        [row], source, num_frames=8, stride=1, folder=Path(recipe.cache)
    )  # what training saw is what is seen in use
    torch.testing.assert_close(score_row(saliency, stored, 0).scores, scores, atol=2e-3, rtol=0)
    assert video.warnings == []


def separable(tiny_csv, tmp_path):
    """Write videos whose picture moves in the second half only, and answers that say so."""
    rows = []
    for n, row in enumerate(read_manifest(tiny_csv).rows):
        path = tmp_path / f"{n}.mp4"
        write_half_moving(path, label=row.label, seed=n)
        rows.append(replace(row, path=path))
    write_manifest(rows, tmp_path / "half.csv")
    return str(tmp_path / "half.csv")


def write_half_moving(path, *, label, seed):
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 256, (8, 48, 3), dtype=np.uint8).repeat(6, axis=0).repeat(8, axis=1)
    step = {"left": -2, "right": 2}[label]
    starts = 160 + step * np.maximum(0, np.arange(48) - 24)
    frames = [np.ascontiguousarray(ground[:, x : x + 64]) for x in starts]
    write_video(path, frames, codec="mpeg4", options={"g": "12", "bf": "0", "q": "4"})


@pytest.mark.parametrize("objective", ["sal_cl", "sal_rank"])
def test_what_the_classifier_finds_telling_is_learned(
    saliency_recipe, tiny_csv, classifier, tmp_path, objective, monkeypatch
):
    """The answers are replaced: f_y is high where the picture moves, the last three of six."""
    data = separable(tiny_csv, tmp_path)
    truth = torch.tensor([0.1, 0.12, 0.14, 0.9, 0.8, 0.85])

    def of_label(self, row):
        return truth

    def answers(self, row):
        label = CLASSES.index(self.rows[row].label)
        return torch.stack([truth if n == label else 1 - truth for n in (0, 1)], dim=1)

    monkeypatch.setattr("vidskim.data.cache.answers.Answers.of_label", of_label)
    monkeypatch.setattr("vidskim.data.cache.answers.Answers.__getitem__", answers)
    recipe = saliency_recipe(
        tmp_path / "run",
        data=data,
        classifier=classifier,
        objective=objective,
        steps=60,
        clips_per_video=6,
        batch_size=24,
        test_k=3,
        margin=0.3,
    )
    metrics = train_saliency(recipe)
    assert metrics["oracle_recall"] == 1.0
    assert metrics["oracle_recall_by_chance"] == 0.5
    assert metrics["spearman"] > 0.5
    assert metrics["classifier_sampler_at_3"] == metrics["classifier_oracle_at_3"] == 1.0
    saliency = only_network(tmp_path / "run" / "model.safetensors")
    video = Video(tmp_path / "4.mp4")  # of the test split
    scores = saliency(video, video.clips(num_frames=8))
    assert scores[3:].min() > scores[:3].max()


def test_ac_learns_directions_and_can_be_opened(saliency_recipe, tmp_path, tiny_csv):
    recipe = saliency_recipe(tmp_path / "run", steps=60)
    metrics = train_saliency(recipe)
    assert metrics["test_accuracy"] == 1.0  # the sign of the mean motion tells the class
    assert "oracle_recall" not in metrics
    saliency = only_network(tmp_path / "run" / "model.safetensors")
    test = read_manifest(tiny_csv, split="test")
    stored = feature_store(
        test.rows, saliency.source, num_frames=16, stride=1, folder=Path(recipe.cache)
    )
    assert video_accuracy(saliency, stored, test.class_index) == 1.0
    assert video_accuracy(saliency, stored, {"left": 1, "right": 0}) == 0.0


def test_a_run_that_is_stopped_goes_on_to_the_same_weights(saliency_recipe, classifier, tmp_path):
    changes = {
        "objective": "sal_rank",
        "classifier": classifier,
        "clips_per_video": 4,
        "flip": True,
        "steps": 8,
        "save_every": 3,
        "schedule": "step",
        "drop_every": 4,
    }
    whole = train_saliency(saliency_recipe(tmp_path / "a", **changes))
    assert train_saliency(saliency_recipe(tmp_path / "b", **changes), stop_after=5) == {}
    assert train_saliency(saliency_recipe(tmp_path / "b", **changes)) == whole
    first, second = (
        weights_sha256(load_backbone(checkpoint=tmp_path / run / "model.safetensors"))
        for run in "ab"
    )
    assert first == second


@pytest.mark.parametrize(
    ("network", "feature", "width"),
    [
        ("shufflenet_26", "motion", 16),
        ("shufflenet_26", "residual", 16),
        ("l3_audio", "audio", 4),
        ("resnet_18", "audio", 4),
    ],
)
def test_other_networks(saliency_recipe, sounding_csv, tmp_path, network, feature, width):
    recipe = saliency_recipe(
        tmp_path / "run",
        data=str(sounding_csv),
        network=network,
        feature=feature,
        width=width,
        steps=3,
        **SHAPES[feature],
    )
    assert train_saliency(recipe)["test_videos"] == 2
    found = only_network(tmp_path / "run" / "model.safetensors").network
    assert isinstance(found, Network)
    assert (found.name, found.options["width"]) == (network, width)


def test_a_network_that_does_not_take_the_maps(saliency_recipe, tmp_path):
    recipe = saliency_recipe(tmp_path / "run", network="vggish")
    with pytest.raises(UsageError):
        train_saliency(recipe)


def body(path):
    state = load_backbone(checkpoint=path).state_dict()
    return {k: v for k, v in state.items() if not k.startswith("fc.") and "num_batches" not in k}


def test_init_starts_from_a_body_that_learns_slower(saliency_recipe, classifier, tmp_path):
    train_saliency(saliency_recipe(tmp_path / "a", steps=3))
    init = tmp_path / "a" / "model.safetensors"
    changes = {
        "objective": "sal_rank",
        "classifier": classifier,
        "clips_per_video": 4,
        "init": str(init),
        "steps": 3,
        "learning_rate": 0.5,
    }
    train_saliency(saliency_recipe(tmp_path / "b", body_rate=0.0, weight_decay=0, **changes))
    train_saliency(saliency_recipe(tmp_path / "c", body_rate=0.5, **changes))
    before = body(init)
    still, moved = (body(tmp_path / run / "model.safetensors") for run in "bc")
    weights = [name for name in before if "running" not in name]
    assert all(torch.equal(before[name], still[name]) for name in weights)
    assert any(not torch.equal(before[name], moved[name]) for name in weights)
    head = load_backbone(checkpoint=tmp_path / "b" / "model.safetensors").fc.weight
    assert head.abs().max() > 0.05  # drawn with a deviation of 0.01, then trained


def test_init_of_another_network_is_refused(saliency_recipe, tmp_path):
    train_saliency(saliency_recipe(tmp_path / "a", steps=3))
    init = str(tmp_path / "a" / "model.safetensors")
    with pytest.raises(UsageError, match="width 4 and not 8"):
        train_saliency(saliency_recipe(tmp_path / "b", init=init, width=8))
    with pytest.raises(UsageError, match=r"channels 2 and not 3"):
        train_saliency(saliency_recipe(tmp_path / "c", init=init, feature="residual"))


def test_a_classifier_of_other_classes(saliency_recipe, classifier, tmp_path):
    other = load_backbone(checkpoint=classifier)
    other.classes = ("left", "up")
    save_backbone(other, tmp_path / "other.safetensors")
    recipe = saliency_recipe(
        tmp_path / "run", objective="sal_rank", classifier=str(tmp_path / "other.safetensors")
    )
    with pytest.raises(ManifestError, match=r"does not know 1 of the manifest's classes \(right\)"):
        train_saliency(recipe)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "sal_rank"}, "give its checkpoint as 'classifier'"),
        ({"objective": "sal_cl", "classifier": "x", "batch_size": 4}, "batch_size is 4, clips_per"),
        ({"freeze": "pool4"}, "give its checkpoint as 'init'"),
        ({"freeze": "pool4", "init": "x"}, "or train feature 'audio'"),
        ({"margin": 0.0}, "margin is 0.0"),
        ({"map_height": 2000}, "each 1 to 1024"),
        ({"num_frames": 16, "classifier": "CLASSIFIER"}, "takes 8 and 1; give these, or null"),
    ],
)
def test_recipes_that_cannot_be_meant(saliency_recipe, classifier, tmp_path, changes, message):
    changes = {k: classifier if v == "CLASSIFIER" else v for k, v in changes.items()}
    with pytest.raises(UsageError, match=message):
        train_saliency(saliency_recipe(tmp_path / "run", **changes))


def test_typos_are_told(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("task: saliency\ndata: a\nout: b\nobjective: sal_rnk\n")
    with pytest.raises(UsageError, match="objective"):
        read_recipe(path)
    path.write_text("task: saliency\ndata: a\nout: b\noracle: 3\n")
    with pytest.raises(UsageError, match="did you mean 'oracle_k'"):
        read_recipe(path)


def with_path(csv, tmp_path, *, replaced):
    """Write a manifest in which some rows have another file."""
    rows = [
        replace(row, path=replaced.get(n, row.path))
        for n, row in enumerate(read_manifest(csv).rows)
    ]
    write_manifest(rows, tmp_path / "changed.csv")
    return str(tmp_path / "changed.csv")


def audio_recipe(make, out, **changes):
    return make(out, feature="audio", network="vggish", steps=3, **SHAPES["audio"], **changes)


def test_files_without_sound(saliency_recipe, tiny_csv, sounding_csv, tmp_path):
    with pytest.raises(ManifestError, match="none of 4 videos has sound"):
        train_saliency(audio_recipe(saliency_recipe, tmp_path / "a", data=str(tiny_csv)))
    silent = {n: row.path for n, row in enumerate(read_manifest(tiny_csv).rows) if n in (0, 1)}
    data = with_path(sounding_csv, tmp_path, replaced=silent)
    with pytest.warns(UserWarning, match=r"2 of 4 videos have no sound and were left out"):
        metrics = train_saliency(audio_recipe(saliency_recipe, tmp_path / "b", data=data))
    assert (metrics["train_videos"], metrics["test_videos"]) == (2, 2)


def test_a_video_of_one_clip_has_no_pairs(saliency_recipe, tiny_csv, classifier, tmp_path):
    write_tiny_video(tmp_path / "short.mp4", label="left", num_frames=9)
    data = with_path(tiny_csv, tmp_path, replaced={0: tmp_path / "short.mp4"})
    changes = {
        "data": data,
        "objective": "sal_rank",
        "classifier": classifier,
        "clips_per_video": 4,
        "steps": 3,
    }
    with pytest.warns(UserWarning, match=r"1 of 4 videos have not two clips.*short\.mp4"):
        assert train_saliency(saliency_recipe(tmp_path / "run", **changes))["train_videos"] == 4


@pytest.mark.parametrize("objective", ["sal_cl", "sal_rank"])
def test_a_classifier_that_finds_all_clips_alike(saliency_recipe, classifier, tmp_path, objective):
    even = load_backbone(checkpoint=classifier)
    even.fc.weight.data.zero_()
    save_backbone(even, tmp_path / "even.safetensors")
    recipe = saliency_recipe(
        tmp_path / "run", objective=objective, classifier=str(tmp_path / "even.safetensors")
    )
    with pytest.raises(ManifestError, match="none of 4 videos has two clips that the classifier"):
        train_saliency(recipe)


def test_measured_against_moments(saliency_recipe, tiny_csv, tmp_path):
    rows = read_manifest(tiny_csv).rows
    moments = [replace(row, start_seconds=0.0, end_seconds=0.64) for row in rows]
    write_manifest(moments, tmp_path / "moments.csv")
    recipe = saliency_recipe(
        tmp_path / "run", steps=3, moments=str(tmp_path / "moments.csv"), test_k=10
    )
    metrics = train_saliency(recipe)
    # 40 frames are three clips of 16, the last one half; the first is the moment
    assert metrics["moment_precision_sampler_at_10"] == pytest.approx(1 / 3, abs=1e-3)
    assert metrics["moment_recall_sampler_at_10"] == 1.0
    assert metrics["moment_precision_uniform_at_10"] == pytest.approx(1 / 3, abs=1e-3)


def test_joint_training_moves_every_network_and_is_known_as_joint(
    saliency_recipe, joint_recipe, sounding_csv, tmp_path
):
    data = str(sounding_csv)
    train_saliency(saliency_recipe(tmp_path / "m", data=data, steps=3, num_frames=8))
    residual = saliency_recipe(
        tmp_path / "r", data=data, steps=3, feature="residual", num_frames=8, **SHAPES["residual"]
    )
    train_saliency(residual)
    train_saliency(audio_recipe(saliency_recipe, tmp_path / "a", data=data, num_frames=8))
    before = {k: tmp_path / k / "model.safetensors" for k in "mra"}
    visual = f"{before['m']}, {before['r']}"
    for objective in ("ac", "sal_cl", "sal_rank"):
        out = tmp_path / f"joint-{objective}"
        recipe = joint_recipe(
            out, visual=visual, audio=str(before["a"]), objective=objective, learning_rate=0.05
        )
        assert train_joint(recipe, stop_after=3) == {}
        metrics = train_joint(recipe)
        assert (metrics["train_videos"], metrics["test_videos"]) == (4, 2)
        assert 0 <= metrics["oracle_recall"] <= 1
        assert train_joint(recipe) == metrics  # of the finished run
        for kind, short in {"motion": "m", "residual": "r", "audio": "a"}.items():
            path = out / f"{kind}.safetensors"
            old, new = body(before[short]), body(path)
            weights = [name for name in old if "running" not in name]
            assert any(not torch.equal(old[name], new[name]) for name in weights), kind
            told = read_header(path).metadata
            assert (told["joint"], told["objective"]) == (True, "ac")
            assert told["joint_objective"] == objective
        sampler = open_sampler([out / f"{k}.safetensors" for k in ("motion", "residual", "audio")])
        assert isinstance(sampler, Sampler)
        assert sampler.rule == "joint"
        video = Video(read_manifest(sounding_csv).rows[0].path)
        parts = sampler.parts(video, video.clips(num_frames=8))
        expected = ((parts["motion"] + parts["residual"]) / 2 + parts["audio"]) / 2
        torch.testing.assert_close(sampler.combine(parts), expected)


def test_joint_training_refuses_what_cannot_be_joined(
    saliency_recipe, joint_recipe, sounding_csv, classifier, tmp_path
):
    data = str(sounding_csv)
    train_saliency(saliency_recipe(tmp_path / "m", data=data, steps=3))
    ranked = {"objective": "sal_rank", "classifier": classifier, "clips_per_video": 4}
    train_saliency(audio_recipe(saliency_recipe, tmp_path / "a", data=data, **ranked))
    m, a = (str(tmp_path / k / "model.safetensors") for k in "ma")
    with pytest.raises(UsageError, match="the networks of audio have none"):
        train_joint(joint_recipe(tmp_path / "j", visual=m, audio=a, objective="ac"))
    with pytest.raises(UsageError, match="give 'visual' and 'audio'"):
        train_joint(joint_recipe(tmp_path / "j", visual=m, audio=""))
    with pytest.raises(CheckpointError, match="two look at the same"):
        train_joint(joint_recipe(tmp_path / "j", visual=m, audio=m))
    with pytest.raises(UsageError, match="give its checkpoint as 'classifier'"):
        train_joint(joint_recipe(tmp_path / "j", visual=m, audio=a, classifier=None))


def test_answers_are_shared_between_trainings(saliency_recipe, classifier, tmp_path, tiny_csv):
    recipe = saliency_recipe(
        tmp_path / "run",
        objective="sal_rank",
        classifier=classifier,
        clips_per_video=4,
        steps=3,
        cache=str(tmp_path / "cache"),
    )
    train_saliency(recipe)
    files = {f: f.stat().st_mtime_ns for f in (tmp_path / "cache").rglob("*.npy")}
    assert len(files) == 6
    clip_answers(
        read_manifest(tiny_csv).rows,
        load_backbone(checkpoint=classifier),
        folder=tmp_path / "cache",
    )
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "cache").rglob("*.npy")} == files


@pytest.mark.parametrize(
    ("network", "layer", "inputs"),
    [
        ("vggish", "conv4_2", 32 * 5 * 25),
        ("vggish", "pool4", 32 * 2 * 12),
        ("vggish", "fc1", 256),
        ("l3_audio", "conv4_2", 32 * 5 * 25),
    ],
)
def test_a_linear_layer_on_frozen_activations(
    saliency_recipe, sounding_csv, classifier, tmp_path, network, layer, inputs
):
    """Table 6: only the head moves, and it stands on what that layer of the trained net gives."""
    common = {"data": str(sounding_csv), "feature": "audio", "network": network, "steps": 3}
    train_saliency(saliency_recipe(tmp_path / "a", **common, **SHAPES["audio"]))
    init = tmp_path / "a" / "model.safetensors"
    ranked = {"objective": "sal_rank", "classifier": classifier, "clips_per_video": 4}
    frozen = {"init": str(init), "freeze": layer, "learning_rate": 0.1}
    train_saliency(saliency_recipe(tmp_path / "b", **common, **SHAPES["audio"], **ranked, **frozen))
    saliency = only_network(tmp_path / "b" / "model.safetensors")
    whole = load_backbone(checkpoint=init)
    assert isinstance(saliency.network, Network)
    assert saliency.network.fc.weight.shape == (1, inputs)
    state, before = saliency.network.state_dict(), whole.state_dict()
    assert all(torch.equal(state[k], before[k]) for k in state if not k.startswith("fc."))
    assert saliency.network.fc.bias.abs().item() > 0  # drawn as zero
    taken = {}
    module = {"conv4_2": whole.conv4[:4], "pool4": whole.conv4}.get(layer)
    if network == "l3_audio":
        module = whole.conv4
    x = torch.rand(2, 1, 40, 200, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        if layer == "fc1":
            pooled = torch.nn.Sequential(whole.conv1, whole.conv2, whole.conv3, whole.conv4)(x)
            taken = whole.embedding.layers[:2](pooled.flatten(1))
        else:
            taken = module(torch.nn.Sequential(whole.conv1, whole.conv2, whole.conv3)(x))
        expected = saliency.network.fc(taken.flatten(1))
        torch.testing.assert_close(saliency.network(x), expected)
    video = Video(read_manifest(sounding_csv).rows[0].path)
    assert saliency(video, video.clips(num_frames=8)).shape == (5,)


def test_a_layer_that_a_network_does_not_have(saliency_recipe, sounding_csv, tmp_path):
    common = {"data": str(sounding_csv), "feature": "audio", "network": "l3_audio", "steps": 3}
    train_saliency(saliency_recipe(tmp_path / "a", **common, **SHAPES["audio"]))
    init = str(tmp_path / "a" / "model.safetensors")
    recipe = saliency_recipe(tmp_path / "b", **common, **SHAPES["audio"], init=init, freeze="pool4")
    with pytest.raises(UsageError, match="unknown layer of l3_audio 'pool4'"):
        train_saliency(recipe)
