import csv
import json
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from measured import METHODS, make_prediction, make_results

from vidskim.errors import UsageError
from vidskim.evaluate.protocol import Hardware, Protocol, Views
from vidskim.evaluate.report import table, to_markdown, write_report
from vidskim.evaluate.results import MethodResult, failure, from_prediction

PROTOCOL = Protocol(
    manifest="videos.csv",
    manifest_sha256="0123456789abcdef" * 4,
    split="test",
    num_videos=60,
    seed=3,
    views=Views(10, 1, 16, 1, (112, 112)),
    precision="fp32",
    hardware=Hardware("ACME One", 2, 2, "cpu"),
    versions={"python": "3.11", "torch": "2.13"},
    command="vidskim evaluate --data videos.csv",
)


def by_method(rows):
    return {row.method: row for row in rows}


def test_rows_equal_numpy_over_the_videos():
    results = make_results()
    rows = by_method(table(results, num_samples=500))
    assert list(rows) == list(METHODS)
    videos = {r.method: r.videos for r in results}
    seconds = {m: np.array([v.seconds_total for v in vs]) for m, vs in videos.items()}
    right = {m: np.array([v.correct for v in vs], float) for m, vs in videos.items()}
    for method, row in rows.items():
        assert row.num_videos == 60
        assert row.num_failed == 0
        assert row.accuracy.estimate == pytest.approx(right[method].mean())
        assert row.accuracy.low <= row.accuracy.estimate <= row.accuracy.high
        assert row.seconds == pytest.approx(seconds[method].mean())
        assert row.speedup_over_dense == pytest.approx(
            seconds["dense"].sum() / seconds[method].sum()
        )
        assert (row.gmacs, row.look_gmacs) == pytest.approx(METHODS[method][1:3])
        assert row.dense_gmacs == pytest.approx(4000.0)
        assert row.precision_at_k == pytest.approx(METHODS[method][4])
        assert row.frames_decoded == pytest.approx(160 + 29.5)
        assert row.peak_bytes == 10**8 + 59
        assert row.stage_seconds["encode"] == pytest.approx(0.75 * row.seconds)
    gain = rows["scsampler"].difference_to_dense
    assert gain.estimate == pytest.approx(right["scsampler"].mean() - right["dense"].mean())
    assert gain.excludes_zero
    assert rows["dense"].difference_to_dense is None
    assert rows["uniform"].difference_to_uniform is None


def test_a_row_does_not_depend_on_its_company():
    results = make_results()
    whole = by_method(table(results, seed=4))
    part = by_method(table([results[3], results[0]], seed=4))
    assert part["dense"].accuracy == whole["dense"].accuracy
    assert part["scsampler"].difference_to_dense == whole["scsampler"].difference_to_dense
    assert part["scsampler"].difference_to_uniform is None


def test_a_method_is_held_against_the_dense_of_its_own_model():
    small = make_results({"dense": (0.5, 100.0, 0.0, 2.0, None)}, model="small")
    large = make_results({m: METHODS[m] for m in ("dense", "uniform")}, model="large")
    rows = table([*small, *large])
    assert rows[2].speedup_over_dense == pytest.approx(60 / 7, rel=0.05)
    alone = table([large[0], replace(small[0], method="packets")])
    assert alone[1].speedup_over_dense == pytest.approx(60 / 2, rel=0.05)
    # With two to choose from and none of its model, nothing is compared.
    assert table([*small, large[0], replace(large[1], model="third")])[2].speedup_over_dense is None
    assert "| model " in to_markdown(rows)
    assert "| model " not in to_markdown(table(large))


def test_a_video_without_an_answer_counts_as_wrong_and_is_told():
    results = make_results(num_videos=3)
    broken = failure("long/001.mp4", labels=["golf"], reason="long/001.mp4: truncated")
    videos = results[0].videos
    results[0] = replace(results[0], videos=(videos[0], broken, videos[2]))
    row = table(results)[0]
    assert row.num_failed == 1
    assert row.accuracy.estimate == (videos[0].correct + videos[2].correct) / 3
    assert "counted as wrong: dense: 1" in to_markdown(table(results))


def test_what_cannot_be_compared():
    results = make_results()
    with pytest.raises(UsageError, match="at least one method"):
        table([])
    with pytest.raises(UsageError, match="at least one method and one video"):
        table([MethodResult("dense", "demo", ())])
    with pytest.raises(UsageError, match=r"dense \(demo\) stands twice"):
        table([results[0], results[0]])
    shorter = replace(results[1], videos=results[1].videos[1:])
    with pytest.raises(UsageError, match=r"uniform .* saw different videos \(59 and 60"):
        table([results[0], shorter])
    shuffled = replace(results[1], videos=results[1].videos[::-1])
    with pytest.raises(UsageError, match="another order"):
        table([results[0], shuffled])


def test_markdown_is_aligned_and_says_which_differences_are_real():
    rows = table(make_results())
    lines = to_markdown(rows, protocol=PROTOCOL).splitlines()
    grid = lines[: len(METHODS) + 2]
    assert len({len(line) for line in grid}) == 1
    pipes = [[i for i, c in enumerate(line) if c == "|"] for line in grid]
    assert all(places == pipes[0] for places in pipes)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in grid]
    assert cells[0][0] == "method"
    column = cells[0].index("vs dense")
    for row, line in zip(rows, cells[2:]):
        difference = row.difference_to_dense
        assert line[column].endswith("*") == (difference is not None and difference.excludes_zero)
    assert cells[5][cells[0].index("GMACs (look)")] == "419 (4.00)"
    assert cells[2][cells[0].index("speed-up")] == "1.00x"
    assert max(map(len, lines)) <= 120
    assert all(line.isascii() for line in lines)
    assert "- command: vidskim evaluate --data videos.csv" in lines


def test_columns_nobody_fills_are_left_out():
    text = to_markdown(table(make_results({"packets": (*METHODS["packets"][:4], None)})))
    heads = [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]
    assert heads == ["method", "accuracy", "GMACs (look)", "s/video"]


def test_every_file_of_a_report_agrees_with_the_table(tmp_path):
    results = make_results()
    out = tmp_path / "deep" / "out"
    rows = write_report(results, PROTOCOL, out)
    assert sorted(p.name for p in out.iterdir()) == [
        "accuracy_cost.png", "results.csv", "results.json", "results.md", "videos.csv",
    ]  # fmt: skip
    assert rows == table(results, seed=PROTOCOL.seed)
    assert (out / "results.md").read_text() == to_markdown(rows, protocol=PROTOCOL)

    with (out / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    for row, line in zip(rows, lines, strict=True):
        assert line["method"] == row.method
        assert float(line["accuracy_high"]) == row.accuracy.high
        assert float(line["seconds_encode"]) == row.stage_seconds["encode"]
    assert lines[0]["difference_to_dense"] == ""
    assert float(lines[3]["difference_to_dense_low"]) == rows[3].difference_to_dense.low

    found = json.loads((out / "results.json").read_text())
    assert found["protocol"]["manifest_sha256"] == PROTOCOL.manifest_sha256
    assert found["protocol"]["views"]["num_frames"] == 16
    assert found["rows"][3]["accuracy"]["low"] == rows[3].accuracy.low

    with (out / "videos.csv").open() as file:
        videos = list(csv.DictReader(file))
    assert len(videos) == 60 * len(METHODS)
    assert float(videos[60]["seconds_read"]) == results[1].videos[0].seconds["read"]
    assert videos[60]["precision_at_k"] == ""

    width, height = struct.unpack(">II", (out / "accuracy_cost.png").read_bytes()[16:24])
    assert width >= 1200
    assert height >= 500


def test_a_report_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    write_report(make_results(), PROTOCOL, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(*args, **options):
        raise RuntimeError

    monkeypatch.setattr("vidskim.evaluate.figure.draw_accuracy_cost", fail)
    with pytest.raises(RuntimeError):
        write_report(make_results(num_videos=5), PROTOCOL, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file: cannot write the report there"):
        write_report(make_results(), PROTOCOL, tmp_path / "file")


def test_the_record_of_an_answer():
    prediction, _, _ = make_prediction(4)
    right = from_prediction(prediction, path="a.mp4", labels=["golf"], precision_at_k=0.25)
    assert (right.correct, right.score_of_label, right.predicted) == (True, 0.93, "golf")
    assert (right.seconds_total, right.seconds) == (3.0, {"read": 1.0})
    assert (right.macs, right.look_macs, right.dense_macs) == (4 * 10**11, 10**9, 4 * 10**12)
    assert right.precision_at_k == 0.25
    wrong = from_prediction(prediction, path="a.mp4", labels=["dive", "swim"])
    assert (wrong.correct, wrong.score_of_label, wrong.label) == (False, 0.07, "dive|swim")
    assert from_prediction(prediction, path="a.mp4", labels=["run"]).score_of_label is None


def test_the_table_does_not_import_matplotlib():
    code = "import sys, vidskim.evaluate.report; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
