"""Method memory on files, against a loop over decoded frames that knows nothing of recognizers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import vidskim
from parts import recognizer_for
from tinynets import CLASSES, tiny_classifier, tiny_memory, tiny_multi_clip
from tinyset import write_tiny_set
from vidskim import Recognizer, presets
from vidskim.account import count
from vidskim.backbones.contract import Features
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.cli import main
from vidskim.clips.views import views_of
from vidskim.data.manifest import read_manifest, write_manifest
from vidskim.errors import UsageError
from vidskim.evaluate.run import evaluate_manifest
from vidskim.io.write.video import write_video
from vidskim.model.aggregate import TemporalMax
from vidskim.model.file import save_model
from vidskim.train.multi_clip import MultiClip
from wholes import decoded

FRAMES = 60
STARTS = range(0, FRAMES, 8)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """60 frames whose content differs from clip to clip: seven clips of 8, and a rest of 4."""
    path = tmp_path_factory.mktemp("memory") / "v.mp4"
    grounds = np.random.default_rng(4).integers(0, 256, (8, 6, 8, 3), dtype=np.uint8)
    frames = (
        np.roll(grounds[n // 8].repeat(16, 0).repeat(16, 1), n, axis=1) for n in range(FRAMES)
    )
    write_video(path, frames, options={"g": "12"})
    return path


@pytest.fixture(scope="module")
def frames(video) -> torch.Tensor:
    return decoded(video)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "memory.safetensors"
    save_model(tiny_memory(), path)
    return path


@torch.no_grad()
def by_hand(model: MultiClip, frames: torch.Tensor, starts, *, num_crops: int = 1) -> list[float]:
    """Scores ``[K]``: center crops write, all crops read; softmax mean or largest sigmoid."""
    views = []
    for start in starts:
        clip = frames[[min(start + t, len(frames) - 1) for t in range(8)]]
        views.append(views_of(clip, transform=model.backbone.transform, num_crops=num_crops))
    x = torch.stack(views, dim=1)  # [V, N, 3, T, h, w]
    maps = torch.stack([torch.stack([model.backbone.features(c[None])[0] for c in v]) for v in x])
    if model.memory is not None:
        center = num_crops // 2
        written = model.memory.write(maps[center : center + 1])
        maps = torch.cat([model.memory.read(maps[v : v + 1], written) for v in range(num_crops)])
    logits = torch.stack([model.backbone.classify(of_crop) for of_crop in maps])  # [V, N, K]
    if model.is_multilabel:
        return logits.sigmoid().amax(1).mean(0).tolist()
    return logits.softmax(2).mean((0, 1)).tolist()


def recognizer_of(model: MultiClip, **options) -> Recognizer:
    options.setdefault("look", presets.dense())
    return recognizer_for(model.published(), **options)


def by_label(prediction) -> list[float]:
    found = {score.label: score.score for score in prediction.predictions}
    return [found[name] for name in CLASSES]


@pytest.mark.parametrize("num_crops", [1, 3])
@pytest.mark.parametrize("max_kept_bytes", [0, 2**28])
@pytest.mark.parametrize("interaction", ["associative", "average", None])
def test_center_crops_write_and_all_crops_read(
    video, frames, interaction, num_crops, max_kept_bytes
):
    model = tiny_multi_clip(interaction=interaction)
    answer = recognizer_of(model, num_crops=num_crops, max_kept_bytes=max_kept_bytes)(video)
    wanted = by_hand(model, frames, STARTS, num_crops=num_crops)
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    assert len(answer.clips) == 8
    assert answer.warnings == ()


def test_the_memory_changes_answers_and_each_clip_hears_of_all(video):
    """Or the tests above would pass whatever was remembered."""
    with_memory = by_label(recognizer_of(tiny_multi_clip())(video))
    alone = by_label(recognizer_of(tiny_multi_clip(interaction=None))(video))
    few = by_label(recognizer_of(tiny_multi_clip(), look=presets.uniform(k=2))(video))
    assert np.abs(np.subtract(with_memory, alone)).max() > 1e-3
    assert np.abs(np.subtract(with_memory, few)).max() > 1e-3


def test_two_scans_encode_twice_and_say_so(video):
    """What keeping no maps costs is in the account: center crops once more, and their decoding."""
    model = tiny_multi_clip()
    kept = recognizer_of(model, num_crops=3)(video)
    again = recognizer_of(model, num_crops=3, max_kept_bytes=0)(video)
    one = count(Features(model.backbone), model.clip.input_shape).macs
    assert again.cost.macs - kept.cost.macs == 8 * one
    assert again.cost.frames_decoded >= kept.cost.frames_decoded + FRAMES


def test_multilabel_scores_are_the_largest_over_time(video, frames):
    model = tiny_multi_clip(is_multilabel=True)
    answer = recognizer_of(model, num_crops=3)(video)
    assert by_label(answer) == pytest.approx(by_hand(model, frames, STARTS, num_crops=3), abs=2e-5)
    assert answer.is_multilabel
    assert answer.to_json()["is_multilabel"] is True
    assert sum(by_label(answer)) > 1.001


def test_temporal_max_in_parts_as_at_once():
    torch.manual_seed(0)
    maps = torch.randn(2, 5, 32, 1, 2, 2)
    whole = TemporalMax(tiny_classifier().classify)
    state = whole.step(whole.step(whole.start(), maps[:, :2]), maps[:, 2:])
    logits = torch.stack([whole.classify(maps[:, n]) for n in range(5)])
    torch.testing.assert_close(whole.read(state), logits.amax(0))
    torch.testing.assert_close(whole(maps), logits.amax(0))
    with pytest.raises(UsageError, match="at least one clip"):
        whole.read(whole.start())


def test_by_name(video, file, frames):
    answer = vidskim.recognize(video, model=str(file), k=4)
    assert answer.method == "memory"
    assert "associative memory, gating" in answer.model
    starts = [clip.clip.start_frame for clip in answer.clips]
    assert len(starts) == 4
    assert by_label(answer) == pytest.approx(by_hand(tiny_multi_clip(), frames, starts), abs=2e-5)


@pytest.mark.parametrize("method", ["scsampler", "motion", "uniform", "dense"])
def test_clips_that_another_method_chooses_share_the_memory(video, file, frames, method):
    k = None if method == "dense" else 3
    answer = vidskim.recognize(video, model=str(file), method=method, k=k)
    assert answer.method == method
    starts = [clip.clip.start_frame for clip in answer.clips]
    assert by_label(answer) == pytest.approx(by_hand(tiny_multi_clip(), frames, starts), abs=2e-5)


def test_command_line(video, file, capsys):
    assert main(["recognize", str(video), "--model", str(file), "--crops", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["method"] == "memory"
    assert told["num_crops"] == 3
    assert told["is_multilabel"] is False
    assert main(["cost", str(file), "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    model = tiny_multi_clip()
    with_head = count(model.backbone, model.clip.input_shape).macs
    C, D, P = 32, 8, 4
    assert counted["macs"] == with_head + P * (3 * C * D + 2 * D * D) + D * C
    assert main(["cost", str(file), "--sampler", "residual", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["minute"]


def test_untrained(video, capsys):
    words = ["--method", "memory", "--model", "r3d_18", "--random-weights", "--k", "1"]
    assert main(["recognize", str(video), *words, "--size", "32"]) == 0
    assert "random weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--method", "memory", "--model", "demo"], "needs a backbone with a memory"),
        (["--method", "memory", "--model", "none.safetensors"], "none.safetensors"),
        (["--method", "memory", "--model", "r3d_18"], "needs a backbone with a memory"),
        (["--model", "FILE", "--pattern", "1:7"], "two encoders"),
        (["--model", "FILE", "--method", "faster"], "FASTER"),
        (["--model", "FILE", "--method", "memry"], "did you mean"),
        (["--model", "FILE", "--method", "memory/alone"], "as 'vidskim evaluate' names it"),
        (["--model", "FILE", "--sampler", "x.safetensors"], "takes no sampler"),
        (["--model", "FILE", "--random-weights"], "random weights go with"),
        (["--model", "FILE", "--k", "0"], "k"),
        (["--model", "FILE", "--stream"], "recognize it when it is finished"),
        (["--model", "FILE", "--fast", "bf16"], "no second encoder, memory"),
        (["--model", "slow_r50_8x8:FILE"], "give the file alone as --model"),
    ],
)
def test_refused(video, file, capsys, words, told):
    words = [word.replace("FILE", str(file)) for word in words]
    assert main(["recognize", str(video), *words]) in (1, 2)
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("k", "starts"), [(None, [0, 6, 12, 17, 23, 29, 35, 40, 46, 52]), (9, None)]
)
def test_ten_clips_overlap_where_they_do_not_fit_side_by_side(video, file, frames, k, starts):
    """60 frames hold eight clips of eight frames side by side; the paper tests ten."""
    answer = vidskim.recognize(video, model=str(file), k=k, crops=3)
    found = [clip.clip.start_frame for clip in answer.clips]
    assert found == (starts or [round(n * 52 / 8) for n in range(9)])
    assert answer.cost.dense_macs * len(found) == pytest.approx(8 * answer.cost.macs, rel=0.05)
    assert not answer.warnings
    expected = by_hand(tiny_multi_clip(), frames, found, num_crops=3)
    assert by_label(answer) == pytest.approx(expected, abs=2e-5)
    other = vidskim.recognize(video, model=str(file), method="uniform", k=k or 10)
    assert len(other.clips) == 8


def test_a_file_may_have_any_name(video, file, tmp_path):
    for name in ("renamed.ckpt", "model", "R.SAFETENSORS"):
        other = tmp_path / name
        other.write_bytes(file.read_bytes())
        answer = vidskim.recognize(video, model=str(other), k=3)
        assert answer.method == "memory"


def test_a_short_video_has_fewer_clips_than_asked(tmp_path, file):
    path = tmp_path / "short.mp4"
    rng = np.random.default_rng(0)
    write_video(path, (rng.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(5)))
    answer = vidskim.recognize(path, model=str(file))
    assert len(answer.clips) == 1
    assert any("shorter than one clip" in warning for warning in answer.warnings)


def test_evaluate(tmp_path, file):
    manifest = read_manifest(write_tiny_set(tmp_path, train=0, test=2))
    rows = [replace(row, labels=(label,)) for row, label in zip(manifest.rows, CLASSES)]
    write_manifest(rows, tmp_path / "named.csv")
    methods = ("memory", "memory/alone", "uniform", "oracle", "scsampler/alone")
    report = evaluate_manifest(
        tmp_path / "named.csv", methods=methods, model=str(file), k=2, out=tmp_path / "out"
    )
    assert tuple(row.method for row in report.rows) == methods
    macs = {row.method: row.gmacs for row in report.rows}
    assert macs["memory"] > macs["memory/alone"]
    with pytest.raises(UsageError, match=r"no sampler.*memory, uniform: leave it out"):
        evaluate_manifest(
            tmp_path / "named.csv", methods=("memory", "uniform"), model=str(file), sampler="x"
        )
    plain = tmp_path / "plain.safetensors"
    save_backbone(tiny_classifier(), plain)
    for given, model, told in (
        ("memory", plain, "needs a backbone with a memory"),
        ("memory/1:3", file, "two encoders"),
        ("memory/1;3", file, "cannot stand there"),
        ("memroy", file, "did you mean"),
    ):
        with pytest.raises(UsageError, match=told):
            evaluate_manifest(tmp_path / "named.csv", methods=(given,), model=str(model))
