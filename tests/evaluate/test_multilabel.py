"""Models that tell several classes of a video: mean average precision from the file to the report.

The truth is a loop over `vidskim.recognize`'s answers.
"""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from measured import make_results

import vidskim
from tinynets import CLASSES, tiny_memory
from tinyset import write_tiny_set
from vidskim.cli import main
from vidskim.data.manifest import read_manifest, write_manifest
from vidskim.errors import UsageError
from vidskim.evaluate import benchmark as module
from vidskim.evaluate.report import table, to_csv, to_markdown, videos_to_csv
from vidskim.evaluate.results import failure
from vidskim.evaluate.run import evaluate_manifest
from vidskim.model.file import save_model

METHODS = ("memory", "memory/alone", "dense")
LABELS = (("fall", "wave"), ("jump",), ("roll", "wave"), ("fall", "jump", "roll"), ("wave",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five videos of one to three classes, and a model that tells several of a video."""
    out = tmp_path_factory.mktemp("several")
    rows = read_manifest(write_tiny_set(out, train=0, test=len(LABELS))).rows
    write_manifest(
        [replace(row, labels=of) for row, of in zip(rows, LABELS, strict=True)], out / "several.csv"
    )
    for name, is_multilabel in (("several", True), ("single", False)):
        model = tiny_memory(is_multilabel=is_multilabel)
        save_model(model, out / f"{name}.safetensors")
    return out


@pytest.fixture(scope="module")
def answers(folder):
    """What `vidskim.recognize` says of each video, ``[n, K]``."""
    model = str(folder / "several.safetensors")
    found = []
    for row in read_manifest(folder / "several.csv").rows:
        answer = vidskim.recognize(row.path, model=model, k=3)
        told = {score.label: score.score for score in answer.predictions}
        found.append([told[name] for name in CLASSES])
    return np.array(found)


@pytest.fixture(scope="module")
def report(folder):
    return measure(folder)


def measure(folder, **options):
    values = {"methods": METHODS, "model": str(folder / "several.safetensors"), "k": 3}
    return evaluate_manifest(folder / "several.csv", **values | options)


TRUTH = np.array([[name in of for name in CLASSES] for of in LABELS])


def by_hand(scores):
    """Mean over classes of the mean precision at each true video."""
    found = []
    for score, true in zip(scores.T, TRUTH.T):
        found.append(np.mean([true[score >= own].mean() for own in score[true]]))
    return np.mean(found)


def test_the_table_is_that_of_recognize(report, answers):
    row = report.rows[0]
    assert 0.3 < by_hand(answers) < 0.99
    assert row.mean_average_precision.estimate == pytest.approx(by_hand(answers), abs=1e-9)
    assert row.mean_average_precision.low <= row.mean_average_precision.estimate
    assert row.mean_average_precision.low < row.mean_average_precision.high
    best = answers.argmax(1)
    assert row.accuracy.estimate == TRUTH[np.arange(len(best)), best].mean()
    assert row.measure is row.mean_average_precision
    scores = [list(video.scores.values()) for video in report.results[0].videos]
    assert np.sort(scores) == pytest.approx(np.sort(answers), abs=1e-6)


def test_methods_are_compared_by_it(report):
    memory, alone, dense = report.rows
    estimates = [row.mean_average_precision.estimate for row in report.rows]
    assert min(abs(estimates[0] - other) for other in estimates[1:]) > 0.01
    change = memory.difference_to_dense
    assert change.estimate == pytest.approx(estimates[0] - estimates[2])
    assert alone.difference_to_first.estimate == pytest.approx(estimates[1] - estimates[0])
    assert dense.difference_to_dense is None
    assert memory.difference_to_first is None
    assert change.low <= change.estimate <= change.high


def test_the_interval_of_equal_methods_has_no_width(report):
    """Paired: both are drawn alike, however unsure each of them is."""
    result = report.results[0]
    rows = table([result, replace(result, method="twin")])
    change = rows[1].difference_to_first
    assert (change.low, change.estimate, change.high) == (0.0, 0.0, 0.0)


def test_an_interrupted_evaluation_keeps_every_score(folder, report, tmp_path, monkeypatch):
    judge, asked = module._judge, []

    def interrupted(*arguments):
        if len(asked) == 7:
            raise KeyboardInterrupt
        asked.append(arguments)
        return judge(*arguments)

    monkeypatch.setattr(module, "_judge", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(folder, out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [sorted(line["answer"]["scores"]) for line in lines] == [sorted(CLASSES)] * 7
    asked.clear()
    monkeypatch.setattr(module, "_judge", lambda *a: (asked.append(a), judge(*a))[1])
    again = measure(folder, out=tmp_path)
    assert len(asked) == len(METHODS) * len(LABELS) - 7
    assert not (tmp_path / "answers.jsonl").exists()
    for row, whole in zip(again.rows, report.rows, strict=True):
        assert row.mean_average_precision == whole.mean_average_precision
        assert row.difference_to_dense == whole.difference_to_dense


def test_an_answer_without_scores_is_asked_again(folder, report, tmp_path, monkeypatch):
    """As an older version kept it: its video would otherwise pass for one without an answer."""
    monkeypatch.setattr(module.Journal, "finish", lambda self: None)
    measure(folder, out=tmp_path, methods=("memory",))
    path = tmp_path / "answers.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["answer"]["scores"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (row,) = measure(folder, out=tmp_path, methods=("memory",)).rows
    assert row.mean_average_precision == report.rows[0].mean_average_precision


def test_every_form_of_the_report(folder, report, answers, tmp_path, capsys):
    words = ["--model", str(folder / "several.safetensors"), "--methods", ",".join(METHODS)]
    words += ["--data", str(folder / "several.csv"), "--k", "3", "--out", str(tmp_path)]
    assert main(["evaluate", *words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "results.json").read_text())
    wanted = by_hand(answers)
    assert printed["rows"][0]["mean_average_precision"]["estimate"] == pytest.approx(wanted)
    assert main(["evaluate", *words]) == 0
    shown = capsys.readouterr().out
    assert shown.rstrip() == (tmp_path / "results.md").read_text().rstrip()
    heads, _, first, *_ = [[c.strip() for c in line.split("|")] for line in shown.splitlines()]
    assert heads[1:5] == ["method", "accuracy", "mAP", "vs dense"]
    assert first[3].startswith(f"{wanted:.3f}"[1:])
    assert "vs: difference of mAP" in shown
    with (tmp_path / "results.csv").open() as file:
        line = next(csv.DictReader(file))
    interval = report.rows[0].mean_average_precision
    assert float(line["mean_average_precision_high"]) == interval.high
    with (tmp_path / "videos.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["method"] == "memory"]
    told = np.array([[float(line[f"probability_{name}"]) for name in CLASSES] for line in lines])
    assert told == pytest.approx(answers, abs=1e-6)
    assert [line["label"] for line in lines] == ["|".join(of) for of in LABELS]
    assert (tmp_path / "accuracy_cost.png").stat().st_size > 10_000


def test_a_video_without_an_answer_comes_last(report, answers):
    result = report.results[0]
    broken = failure("test_0.mp4", labels=LABELS[0], reason="test_0.mp4: truncated")
    broken = replace(broken, path=result.videos[0].path)
    rows = table([replace(result, videos=(broken, *result.videos[1:]))])
    last = answers.copy()
    last[0] = 0.0
    assert rows[0].mean_average_precision.estimate == pytest.approx(by_hand(last), abs=1e-9)
    assert rows[0].num_failed == 1
    assert "counted as wrong and ranked last: memory: 1" in to_markdown(rows)


def test_models_of_one_class_are_reported_as_ever(folder):
    rows = measure(folder, model=str(folder / "single.safetensors")).rows
    assert all(row.mean_average_precision is None for row in rows)
    assert rows[0].measure is rows[0].accuracy
    results = make_results(num_videos=4)
    told = [to_markdown(rows), to_csv(rows), json.dumps(rows[0].to_json()), videos_to_csv(results)]
    for text in told:
        assert not any(word in text for word in ("mAP", "average_precision", "probability_"))
        assert "scores" not in text


def test_one_class_and_several_are_not_compared(report):
    result = report.results[0]
    single = replace(result, method="single", classes=())
    for pair in ([result, single], [single, result]):
        with pytest.raises(UsageError, match=r"memory \(.*\) tells several .* single \(.*\) one"):
            table(pair)
