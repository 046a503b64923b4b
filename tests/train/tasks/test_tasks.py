"""The two tasks from recipe to checkpoint, and data or weights that do not fit."""

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from vidskim.backbones.files.checkpoint import load_backbone, read_header, save_backbone
from vidskim.backbones.registry import create_backbone
from vidskim.backbones.resnet3d import ResNet3d
from vidskim.data.cache.frames import frame_store
from vidskim.data.folder import load_manifest, manifest_sha256
from vidskim.data.manifest import read_manifest, write_manifest
from vidskim.errors import CheckpointError, ManifestError, UsageError, VidskimError
from vidskim.train.batches.order import rows_of_step
from vidskim.train.tasks.clips import clip_accuracy, train_clips
from vidskim.train.tasks.saliency import train_saliency


@pytest.mark.parametrize(("num_rows", "batch_size"), [(7, 3), (5, 5), (3, 8), (1, 2), (10, 1)])
def test_every_epoch_holds_every_row_once(num_rows, batch_size):
    steps = 4 * num_rows
    drawn = np.concatenate(
        [rows_of_step(s, num_rows=num_rows, batch_size=batch_size, seed=3) for s in range(steps)]
    )
    assert len(drawn) == steps * batch_size
    epochs = drawn.reshape(-1, num_rows)
    assert all(sorted(epoch) == list(range(num_rows)) for epoch in epochs.tolist())
    if num_rows >= 5:
        assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1


def test_the_order_follows_the_seed():
    orders = [rows_of_step(2, num_rows=50, batch_size=20, seed=seed).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """Training happens once for the tests that look at its results."""
    return tmp_path_factory.mktemp("finished"), {}


@pytest.fixture
def finished(cached, clip_recipe):
    folder, known = cached
    recipe = clip_recipe(folder / "run")
    if not known:
        known.update(train_clips(recipe))
    return recipe, known


def test_a_run_leaves_recipe_log_metrics_and_network(finished):
    recipe, metrics = finished
    out = Path(recipe.out)
    assert sorted(p.name for p in out.iterdir()) == [
        "log.jsonl", "metrics.json", "model.safetensors", "recipe.yaml"
    ]  # fmt: skip
    assert yaml.safe_load((out / "recipe.yaml").read_text()) == asdict(recipe)
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert metrics["test_videos"] == 2
    assert metrics["train_videos"] == 4
    assert metrics["manifest_sha256"] == read_manifest(recipe.data).sha256
    assert metrics["protocol"].startswith("2 clips x 1 crop, 4x1, 24x24 pixels, split test")
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [sorted(r) for r in records] == [["learning_rate", "loss", "seconds_per_step", "step"]]
    assert records[0]["step"] == recipe.steps
    assert 0 < records[0]["loss"] < 10


def test_the_checkpoint_can_be_used_and_names_no_folder(finished):
    recipe, metrics = finished
    path = Path(recipe.out) / "model.safetensors"
    model = load_backbone(checkpoint=path)
    assert isinstance(model, ResNet3d)
    assert model.classes == ("left", "right")
    assert (model.clip.num_frames, model.clip.size) == (4, (24, 24))
    assert model.transform.short_side == 24
    test = read_manifest(recipe.data, split="test")
    frames = frame_store(test.rows, transform=model.transform, folder=Path(recipe.cache))
    accuracy = clip_accuracy(model, frames, test.class_index, num_clips=2)
    assert accuracy == metrics["test_accuracy"]
    header = read_header(path).metadata
    assert header["metrics"] == metrics
    assert header["recipe"]["data"] == "tiny.csv"
    assert str(Path(recipe.out).parent) not in json.dumps(header)


def test_accuracy_is_the_mean_probability_over_even_clips(finished):
    recipe, _ = finished
    model = load_backbone(checkpoint=Path(recipe.out) / "model.safetensors")
    rows = read_manifest(recipe.data, split="train").rows
    frames = frame_store(rows, transform=model.transform, folder=Path(recipe.cache))
    guesses = []
    for n in range(len(rows)):
        clips = torch.stack([torch.tensor(frames[n][s : s + 4]) for s in (0, 18, 36)])
        with torch.inference_mode():
            mean = torch.softmax(model(model.transform(clips)), 1).mean(0)
        guesses.append(model.classes[int(mean.argmax())])
    right = sum(guess == row.label for guess, row in zip(guesses, rows))
    index = {"left": 0, "right": 1}
    assert clip_accuracy(model, frames, index, num_clips=3) == right / len(rows)


def test_a_finished_run_is_not_trained_again(finished, monkeypatch):
    recipe, metrics = finished
    monkeypatch.setattr("vidskim.train.task.optimize", None)
    before = (Path(recipe.out) / "model.safetensors").stat().st_mtime_ns
    assert train_clips(recipe) == metrics
    assert (Path(recipe.out) / "model.safetensors").stat().st_mtime_ns == before


def test_a_finished_run_of_another_manifest_is_refused(clip_recipe, tiny_csv, tmp_path):
    data = changed(tiny_csv, tmp_path, lambda row: row)
    recipe = clip_recipe(tmp_path / "run", data=data, steps=3)
    metrics = train_clips(recipe)
    changed(tiny_csv, tmp_path, lambda row: None if row.path.name == "train_0.mp4" else row)
    with pytest.raises(UsageError, match="was trained on another manifest of this name"):
        train_clips(recipe)
    Path(data).unlink()
    assert train_clips(recipe) == metrics


@pytest.mark.parametrize("stop_after", [3, None])
def test_a_saliency_run_of_another_manifest_is_refused(
    saliency_recipe, tiny_csv, tmp_path, stop_after
):
    data = changed(tiny_csv, tmp_path, lambda row: row)
    recipe = saliency_recipe(tmp_path / "run", data=data, steps=4)
    train_saliency(recipe, stop_after=stop_after)
    changed(tiny_csv, tmp_path, lambda row: None if row.path.name == "train_0.mp4" else row)
    with pytest.raises(UsageError, match="was trained on another manifest of this name"):
        train_saliency(recipe)


def test_a_folder_is_hashed_as_it_is_read(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for n in range(3):
            (tmp_path / "set" / name / f"{n}.mp4").write_bytes(b"")
    found = manifest_sha256(tmp_path / "set")
    assert found == load_manifest(tmp_path / "set").sha256
    (tmp_path / "set" / "b" / "3.mp4").write_bytes(b"")
    assert manifest_sha256(tmp_path / "set") == load_manifest(tmp_path / "set").sha256 != found
    for gone in (tmp_path / "gone.csv", tmp_path / "set" / "a", Path("/dev/zero")):
        with pytest.raises(ManifestError, match=str(gone)):
            manifest_sha256(gone)


def test_another_recipe_in_the_same_folder_is_refused(finished):
    recipe, _ = finished
    with pytest.raises(UsageError, match=r"differs in steps, seed\); choose another out folder"):
        train_clips(replace(recipe, steps=7, seed=1))


def test_a_run_that_never_began_does_not_claim_its_folder(clip_recipe, tmp_path):
    with pytest.raises(ManifestError, match="no such manifest"):
        train_clips(clip_recipe(tmp_path / "run", data=str(tmp_path / "gone.csv")))
    assert train_clips(clip_recipe(tmp_path / "run", steps=3))["steps"] == 3


def test_a_diverged_training_is_not_published(clip_recipe, tmp_path, monkeypatch):
    """Weights and losses are numbers, what they answer in evaluation is none."""
    recipe = clip_recipe(tmp_path / "run", save_every=4)
    forward = ResNet3d.forward

    def late(self, x):
        return forward(self, x) * (1.0 if self.training else float("nan"))

    monkeypatch.setattr(ResNet3d, "forward", late)
    told = (
        "answers to the videos of step 5 are no numbers; .* lower learning_rate .* step 3 is kept"
    )
    with pytest.raises(VidskimError, match=told):
        train_clips(recipe)
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("change", [{"mixup": 0.4}, {"flip": True}, {"color": 0.0}])
def test_variants_run(clip_recipe, tmp_path, change):
    metrics = train_clips(clip_recipe(tmp_path / "run", steps=3, **change))
    assert metrics["steps"] == 3
    state = load_file(tmp_path / "run" / "model.safetensors")
    assert all(t.isfinite().all() for t in state.values() if t.is_floating_point())
    assert state["fc.weight"].dtype == torch.float32


def test_short_sides_are_drawn_in_training_alone(clip_recipe, tmp_path, monkeypatch):
    stored = []

    def counted(rows, *, transform, folder, source):
        stored.append(transform.short_side)
        return frame_store(rows, transform=transform, folder=folder)

    monkeypatch.setattr("vidskim.train.tasks.clips.frame_store", counted)
    train_clips(clip_recipe(tmp_path / "run", steps=3, max_short_side=32))
    assert stored == [32, 24]
    model = load_backbone(checkpoint=tmp_path / "run" / "model.safetensors")
    assert model.transform.short_side == 24


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_short_side": 20}, "max_short_side is 20, short_side 24; give the smaller one as"),
        ({"max_short_side": 32, "crop_width": 28}, "a crop of 24x28 does not fit in frames whose"),
    ],
)
def test_short_sides_that_cannot_be_drawn(clip_recipe, tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        train_clips(clip_recipe(tmp_path / "run", **changes))


@pytest.mark.skipif(torch.cuda.is_available(), reason="mixed precision works beside a CUDA device")
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_without_cuda_is_refused(clip_recipe, tmp_path, precision):
    with pytest.raises(UsageError, match=f"precision {precision} needs a CUDA device.*32-true"):
        train_clips(clip_recipe(tmp_path / "run", precision=precision))


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_trains_float32_weights_and_resumes(saliency_recipe, tmp_path, precision):
    recipe = saliency_recipe(tmp_path / "run", precision=precision)
    assert train_saliency(recipe, stop_after=13) == {}
    assert train_saliency(recipe)["test_accuracy"] == 1.0
    assert load_file(tmp_path / "run" / "model.safetensors")["fc.weight"].dtype == torch.float32


def changed(tiny_csv, tmp_path, change):
    """Write the tiny manifest with rows replaced by ``change(row)``, those of None left out."""
    rows = [change(row) for row in read_manifest(tiny_csv).rows]
    write_manifest([row for row in rows if row is not None], tmp_path / "changed.csv")
    return str(tmp_path / "changed.csv")


@pytest.mark.parametrize("task", ["clips", "saliency"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda row: replace(row, labels=("left", "right")),
            "train_0.mp4 has the labels left|right; training takes one label per row",
        ),
        (
            lambda row: replace(row, labels=("up",)) if row.split == "test" else row,
            "class 'up' is in split 'test' but not in 'train', so it cannot be learned",
        ),
        (lambda row: row if row.split == "train" else None, "no row is in split 'test'"),
        (lambda row: replace(row, split=None), "no row is in split 'train'"),
        (
            lambda row: row if row.labels == ("left",) else None,
            "all rows of split 'train' show 'left', so nothing is there to tell it from",
        ),
    ],
)
def test_rows_that_cannot_be_trained_on(
    clip_recipe, saliency_recipe, tiny_csv, tmp_path, task, change, message
):
    data = changed(tiny_csv, tmp_path, change)
    recipe = {"clips": clip_recipe, "saliency": saliency_recipe}[task](tmp_path / "run", data=data)
    train = {"clips": train_clips, "saliency": train_saliency}[task]
    with pytest.raises(ManifestError) as error:
        train(recipe)
    assert message in str(error.value)
    assert "changed.csv" in str(error.value)


def test_a_classifier_s_answers_need_no_second_class(
    saliency_recipe, classifier, tiny_csv, tmp_path
):
    data = changed(tiny_csv, tmp_path, lambda row: row if row.labels == ("left",) else None)
    recipe = saliency_recipe(
        tmp_path / "run", data=data, objective="sal_rank", classifier=classifier, steps=3, test_k=2
    )
    assert train_saliency(recipe)["train_videos"] == 2


def test_an_unknown_split(clip_recipe, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'train'"):
        train_clips(clip_recipe(tmp_path / "run", train_split="trian"))


def test_names_of_networks(clip_recipe, saliency_recipe, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'r3d_18'"):
        train_clips(clip_recipe(tmp_path / "run", model="r3d18"))
    with pytest.raises(UsageError, match="did you mean 'resnet_18'"):
        train_saliency(saliency_recipe(tmp_path / "run", network="resnet18"))


def body_of(path):
    return {k: v for k, v in load_file(path).items() if not k.startswith("fc.")}


def test_init_keeps_the_body_and_the_head_of_equal_classes(finished, clip_recipe, tmp_path):
    recipe, _ = finished
    init = str(Path(recipe.out) / "model.safetensors")
    train_clips(clip_recipe(tmp_path / "run", init=init, steps=1, warmup_steps=0,
                            learning_rate=1e-12))  # fmt: skip
    before, after = load_file(init), load_file(tmp_path / "run" / "model.safetensors")
    weights = [k for k in before if "running" not in k and "num_batches" not in k]
    assert all(torch.allclose(before[k], after[k], atol=1e-6) for k in weights)


@pytest.mark.parametrize("names", [("up", "down"), ("one", "two", "three")])
def test_init_replaces_the_head_of_other_classes(finished, clip_recipe, tmp_path, tiny_csv, names):
    recipe, _ = finished
    init = str(Path(recipe.out) / "model.safetensors")
    counts: Counter = Counter()

    def rename(row):
        counts[row.split] += 1
        return replace(row, labels=(names[(counts[row.split] - 1) % len(names)],))

    data = changed(tiny_csv, tmp_path, rename)
    train_clips(clip_recipe(tmp_path / "run", init=init, data=data, steps=1, warmup_steps=0,
                            learning_rate=1e-12))  # fmt: skip
    path = tmp_path / "run" / "model.safetensors"
    before, after = load_file(init), load_file(path)
    assert after["fc.weight"].shape[0] == len(names)
    assert load_backbone(checkpoint=path).classes == tuple(sorted(names))
    if len(names) == 2:
        assert not torch.allclose(before["fc.weight"], after["fc.weight"], atol=1e-3)
    for key, tensor in body_of(path).items():
        if "running" not in key and "num_batches" not in key:
            assert torch.allclose(tensor, before[key], atol=1e-6), key


def test_init_that_does_not_fit(finished, clip_recipe, tmp_path):
    recipe, _ = finished
    init = str(Path(recipe.out) / "model.safetensors")
    with pytest.raises(UsageError, match=r"width is 8, that of .* is 4"):
        train_clips(clip_recipe(tmp_path / "a", init=init, width=8))
    with pytest.raises(CheckpointError, match=r"gone\.safetensors"):
        train_clips(clip_recipe(tmp_path / "b", init=str(tmp_path / "gone.safetensors")))
    with pytest.raises(CheckpointError, match="r3d_18"):
        train_clips(clip_recipe(tmp_path / "c", init=init, model="mc3_18"))


def test_clips_that_a_network_does_not_take_are_refused(clip_recipe, tmp_path):
    with pytest.raises(UsageError, match=r"8 fast frames for each slow one.*got 4"):
        train_clips(clip_recipe(tmp_path / "a", model="slowfast_r50_4x16", width=8, num_frames=4))
    with pytest.raises(UsageError, match=r"does not take an input of shape \[1, 3, 4, "):
        train_clips(clip_recipe(tmp_path / "b", model="r2d_26", width=8, num_frames=4))


def test_what_the_first_weights_were_fed_is_kept(clip_recipe, tmp_path):
    network = create_backbone("slow_r50_4x16", num_classes=3, width=8)
    network.transform = replace(network.transform, channel_order="bgr", mean=(0.4, 0.5, 0.6))
    save_backbone(network, tmp_path / "first.safetensors")
    recipe = clip_recipe(
        tmp_path / "run",
        model="slow_r50_4x16",
        width=None,
        init=str(tmp_path / "first.safetensors"),
        steps=3,
    )
    train_clips(recipe)
    transform = load_backbone(checkpoint=tmp_path / "run" / "model.safetensors").transform
    assert (transform.channel_order, transform.mean) == ("bgr", (0.4, 0.5, 0.6))
    assert transform.short_side == recipe.short_side
