"""Method sfc on files by name, and what it is refused for, against frames put in by hand."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import vidskim
from tinynets import CLASSES, tiny_classifier, tiny_compressed
from tinyset import write_tiny_set
from vidskim.account import count
from vidskim.api import make_recognizer
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.backbones.registry import create_backbone, shapes_of
from vidskim.cli import main
from vidskim.clips.transform import Transform
from vidskim.data.manifest import read_manifest, write_manifest
from vidskim.errors import UsageError
from vidskim.evaluate.run import evaluate_manifest
from vidskim.look import methods
from vidskim.look.methods import METHODS, Asked
from vidskim.model.file import save_model
from vidskim.model.presets import compressed, default_stage, sfc
from wholes import decoded, numbers_of, whole_answer, write_varied

FRAMES = 60


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_varied(tmp_path_factory.mktemp("sfc") / "v.mp4", FRAMES)


@pytest.fixture(scope="module")
def frames(video):
    return decoded(video)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "sfc.safetensors"
    save_model(sfc(tiny_compressed()), path)
    return path


def by_label(prediction) -> list[float]:
    found = {score.label: score.score for score in prediction.predictions}
    return [found[name] for name in CLASSES]


def indices(prediction) -> list[int]:
    return [c.clip.index for c in prediction.clips]


def test_by_name(video, file, frames):
    answer = vidskim.recognize(video, model=str(file))
    assert answer.method == "sfc"
    assert answer.model == f"{file} (r3d_18, compressed 2 to 1 after res3)"
    wanted, _ = whole_answer(tiny_compressed(), frames, list(range(FRAMES)))
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    again = vidskim.recognize(video, model=str(file), method="sfc")
    assert by_label(again) == by_label(answer)


@pytest.mark.parametrize(
    ("options", "length", "chosen"),
    [
        ({"k": 1}, 8, [4]),
        ({"k": 3, "segment_frames": 5}, 5, [2, 6, 10]),
        ({"segment_frames": 20}, 20, [0, 1, 2]),
        ({"method": "uniform"}, 8, list(range(8))),
        ({"method": "uniform", "k": 2, "segment_frames": 6}, 6, [2, 7]),
    ],
)
def test_segments(video, file, frames, options, length, chosen):
    answer = vidskim.recognize(video, model=str(file), **options)
    assert indices(answer) == chosen
    assert {c.clip.num_frames for c in answer.clips} == {length}
    numbers = numbers_of(FRAMES, num_frames=length, stride=1, clips=chosen)
    wanted, _ = whole_answer(tiny_compressed(), frames, numbers)
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)


@pytest.mark.parametrize("method", ["scsampler", "motion"])
def test_clips_that_another_method_chooses_are_joined(video, file, frames, method):
    answer = vidskim.recognize(video, model=str(file), method=method, k=3)
    assert answer.method == method
    assert len(answer.clips) == 3
    numbers = numbers_of(FRAMES, num_frames=8, stride=1, clips=indices(answer))
    wanted, attention = whole_answer(tiny_compressed(), frames, numbers)
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    assert answer.attention.frame_indices == tuple(numbers[::2])
    assert answer.attention.kept == tuple(attention.kept[0].tolist())


def test_a_long_video_takes_eight_segments(video, file, frames, monkeypatch):
    """From the first frame beyond what goes in whole, counted before the stride."""
    clips = {"segment_frames": 4}
    monkeypatch.setattr(methods, "MAX_FRAMES", 60)
    assert len(vidskim.recognize(video, model=str(file), **clips).clips) == 15
    monkeypatch.setattr(methods, "MAX_FRAMES", 59)
    answer = vidskim.recognize(video, model=str(file), **clips)
    chosen = [0, 2, 4, 6, 8, 10, 12, 14]
    assert indices(answer) == chosen
    numbers = numbers_of(FRAMES, num_frames=4, stride=1, clips=chosen)
    wanted, _ = whole_answer(tiny_compressed(), frames, numbers)
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    strided = tiny_compressed(stride=2)
    look = METHODS["sfc"].make(Asked(clip=strided.of_segments(4).clip))
    generator = torch.Generator()
    assert look.select(None, 14, generator) == list(range(14))  # 56 frames, of which 28 are read
    assert len(look.select(None, 15, generator)) == 8
    monkeypatch.setattr(methods, "MAX_FRAMES", 5)  # shorter than one clip: it still goes in
    assert METHODS["sfc"].make(Asked(clip=strided.clip)).select(None, 1, generator) == [0]


def test_a_model_of_segments_is_tested_on_them(video, frames, tmp_path):
    model = tiny_compressed()
    model.segments = (2, 6)
    save_model(sfc(model), tmp_path / "m.safetensors")
    answer = vidskim.recognize(video, model=str(tmp_path / "m.safetensors"))
    assert indices(answer) == [2, 7]
    numbers = numbers_of(FRAMES, num_frames=6, stride=1, clips=[2, 7])
    wanted, _ = whole_answer(model, frames, numbers)
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    four = vidskim.recognize(video, model=str(tmp_path / "m.safetensors"), k=4)
    assert len(four.clips) == 4


def test_command_line(video, file, capsys):
    assert main(["recognize", str(video), "--model", str(file), "--k", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["method"] == "sfc"
    assert told["num_crops"] == 1
    assert [clip["index"] for clip in told["clips"]] == [1, 4, 6]
    attention = told["attention"]
    assert attention["num_kept"] == len(attention["kept"]) == 6
    assert len(attention["frame_indices"]) == len(attention["seconds"]) == 12
    assert sum(attention["received"]) == pytest.approx(1, abs=1e-4)
    assert attention["frame_indices"][:5] == [8, 10, 12, 14, 32]


def test_untrained(video, tmp_path, capsys):
    save_backbone(tiny_classifier(), tmp_path / "b.safetensors")
    model = str(tmp_path / "b.safetensors")
    words = ["--method", "sfc", "--model", model, "--random-weights", "--size", "24"]
    assert main(["recognize", str(video), *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "random weights" in told["model"]
    assert any("mean nothing" in warning for warning in told["warnings"])
    backbone = create_backbone("r3d_18", num_classes=4, width=4)
    first, second = compressed(backbone), compressed(backbone)
    for one, other in zip(first.compression.parameters(), second.compression.parameters()):
        assert torch.equal(one, other)
    assert compressed(backbone, at="stem").at == "stem"


def test_where_the_paper_cuts():
    assert default_stage(shapes_of("slow_r50_8x8")) == "res3"
    assert default_stage(shapes_of("tpn_r50_8x8")) == "res4"
    assert default_stage(shapes_of("r2plus1d_152")) == "res3"
    tokens = copy.copy(tiny_classifier())
    for stages, middle in (
        (("embed", "block1"), "embed"),
        (("embed", "block1", "block2"), "block1"),
        (("embed", *(f"block{n}" for n in range(1, 13))), "block6"),
    ):
        tokens.stages = stages
        assert default_stage(tokens) == middle


def test_another_size(video, file, frames):
    """Of the whole frame; what the backbone sees of single clips is none of its business."""
    answer = vidskim.recognize(video, model=str(file), size=40)
    model = tiny_compressed()
    model.transform = Transform(resize_to=(40, 54))
    wanted, _ = whole_answer(model, frames, list(range(FRAMES)))
    assert by_label(answer) == pytest.approx(wanted, abs=2e-5)
    small = Transform(short_side=20)
    model.transform = small
    assert model.of_size(24).transform == replace(small, short_side=24)
    assert model.transform == small
    for size in (0, -3, 2.5, True):
        with pytest.raises(UsageError, match="a test size is a whole number of pixels"):
            model.of_size(size)


def test_segments_that_cannot_be(file):
    model = tiny_compressed(stride=4)
    assert model.of_segments(23).clip == ClipSpec(5, 4, (32, 32))
    for frames in (3, 0, -8, 4097, 10**9, 8.0, True):
        with pytest.raises(UsageError, match="at least 4 frames, the stride of r3d_18, and at mo"):
            model.of_segments(frames)
    with pytest.raises(UsageError, match="k"):
        METHODS["sfc"].make(Asked(0, clip=model.clip))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--method", "sfc", "--model", "demo"], "needs a backbone with a compression inside"),
        (["--method", "sfc", "--model", "none.safetensors"], "none.safetensors"),
        (["--method", "sfc", "--model", "r3d_18"], "needs a backbone with a compression inside"),
        (["--model", "FILE", "--method", "memory"], "needs a backbone with a memory"),
        (["--model", "FILE", "--method", "faster"], "FASTER"),
        (["--model", "FILE", "--method", "unifrom"], "did you mean 'uniform'"),
        (["--model", "FILE", "--method", "sfc/alone"], "as 'vidskim evaluate' names it"),
        (["--model", "FILE", "--method", "sfc/8"], "give method 'sfc'"),
        (["--model", "FILE", "--pattern", "1:7"], "two encoders"),
        (["--model", "FILE", "--route", "motion"], "two encoders"),
        (["--model", "FILE", "--sampler", "x.safetensors"], "takes no sampler"),
        (["--model", "FILE", "--combine", "joint"], "takes no sampler"),
        (["--model", "FILE", "--random-weights"], "random weights go with"),
        (["--model", "FILE", "--k", "0"], "--k is at least 1"),
        (["--model", "FILE", "--crops", "3"], "3 crops need a transform that crops"),
        (["--model", "FILE", "--batch-size", "2"], "joined clips are one input, encoded alone"),
        (["--model", "FILE", "--size", "0"], "--size is at least 1"),
        (["--model", "FILE", "--stream"], "recognize it when it is finished"),
        (["--model", "FILE", "--fast", "bf16"], "no second encoder, memory, compression"),
    ],
)
def test_refused(video, file, capsys, words, told):
    words = [str(file) if word == "FILE" else word for word in words]
    assert main(["recognize", str(video), *words]) in (1, 2)
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert error.count("\n") == 1


def test_segments_are_for_compressed_models(tmp_path):
    save_backbone(tiny_classifier(), tmp_path / "b.safetensors")
    with pytest.raises(UsageError, match="segments are joined by a model with a compression"):
        make_recognizer(model=str(tmp_path / "b.safetensors"), segment_frames=8)


@pytest.fixture(scope="module")
def named_csv(tmp_path_factory):
    """Two videos whose labels are classes of the model."""
    folder = tmp_path_factory.mktemp("named")
    manifest = read_manifest(write_tiny_set(folder, train=0, test=2))
    rows = [replace(row, labels=(label,)) for row, label in zip(manifest.rows, CLASSES)]
    write_manifest(rows, folder / "named.csv")
    return folder / "named.csv"


def test_evaluate(named_csv, file, tmp_path):
    methods = ("sfc", "sfc/2", "sfc/alone", "oracle")
    report = evaluate_manifest(
        named_csv, methods=methods, model=str(file), k=3, out=tmp_path / "out"
    )
    assert tuple(row.method for row in report.rows) == methods
    found = {result.method: result.videos for result in report.results}
    for n, row in enumerate(read_manifest(named_csv).rows):
        for method, options in (
            ("sfc", {}),
            ("sfc/2", {"k": 2}),
        ):
            answer = vidskim.recognize(row.path, model=str(file), **options)
            (score,) = [p.score for p in answer.predictions if p.label == row.label]
            assert found[method][n].score_of_label == score
            assert found[method][n].macs == answer.cost.macs
    model = tiny_compressed()
    clip = count(model.backbone, model.clip.input_shape).macs
    assert [v.macs for v in found["sfc/alone"]] == [3 * clip] * 2
    assert [v.dense_macs for v in found["sfc"]] == [5 * clip] * 2  # 40 frames
    assert [v.look_macs for v in found["oracle"]] == [5 * clip] * 2


def test_evaluate_at_another_size(named_csv, file):
    """A larger size makes the backbone's head slide over single clips, and leaves a pass alone."""
    report = evaluate_manifest(
        named_csv, methods=("sfc", "sfc/alone"), model=str(file), k=2, size=48
    )
    (whole, alone) = (result.videos for result in report.results)
    assert report.protocol.views.size == (48, 48)
    for n, row in enumerate(read_manifest(named_csv).rows):
        answer = vidskim.recognize(row.path, model=str(file), size=48)
        (score,) = [p.score for p in answer.predictions if p.label == row.label]
        assert whole[n].score_of_label == score
    save_backbone(tiny_compressed().backbone, named_csv.with_name("b.safetensors"))
    single = evaluate_manifest(
        named_csv, methods=("uniform",), model=str(named_csv.with_name("b.safetensors")), k=2,
        size=48,
    )  # fmt: skip
    for one, other in zip(alone, single.results[0].videos):
        assert np.isclose(one.score_of_label, other.score_of_label, atol=1e-6)


@pytest.mark.parametrize(
    ("methods", "changes", "told"),
    [
        (("sfc",), {"model": "b.safetensors"}, "needs a backbone with a compression inside"),
        (("sfc/0",), {}, "'0' cannot stand there; .* a number of clips"),
        (("sfc/1:3",), {}, "two encoders"),
        (("sfx",), {}, "did you mean 'sfc'"),
        (("memory",), {}, "needs a backbone with a memory"),
        (("sfc",), {"fast": "bf16"}, "no second encoder, memory, compression"),
    ],
)
def test_evaluate_refuses(named_csv, file, methods, changes, told):
    values = {"model": str(file), **changes}
    if values["model"] == "b.safetensors":
        values["model"] = str(named_csv.with_name("b.safetensors"))
        save_backbone(tiny_classifier(), values["model"])
    with pytest.raises(UsageError, match=told):
        evaluate_manifest(named_csv, methods=methods, **values)
