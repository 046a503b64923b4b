"""What a terminal tells of an attention over time, and the option that draws one."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from attending import attending, hills
from tinynets import tiny_classifier
from tinyset import write_tiny_video
from vidskim import save_backbone
from vidskim.cli import main
from vidskim.model.file import save_model
from vidskim.model.presets import compressed, sfc
from vidskim.show import text
from vidskim.show.strip import Canvas


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a video, a model with a compression inside and one without."""
    folder = tmp_path_factory.mktemp("attention")
    write_tiny_video(folder / "video.mp4", label="right", num_frames=80)
    save_backbone(tiny_classifier(), folder / "plain.safetensors")
    torch.manual_seed(0)
    save_model(sfc(compressed(tiny_classifier())), folder / "sfc.safetensors")
    return folder


@pytest.fixture
def run(place, tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder beside the files; return status, output and error."""
    for file in place.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)

    def call(line):
        status = main(line.split())
        return status, *capsys.readouterr()

    return call


def lines_of(answer, **canvas):
    return text.prediction(answer, canvas=Canvas(**canvas)).splitlines()


def test_one_line_of_blocks_and_one_of_words(place):
    answer = attending(place / "video.mp4", hills(6, 20, 11, 3, noise=0.0))
    lines = lines_of(answer, width=101)  # 80 columns of 0.04 s
    assert "10 clips joined, seen at once (sfc, demo):" in lines
    assert "     0:00.00 -    0:03.20" in lines
    (blocks,) = (line[10:90] for line in lines if line.startswith("attention "))
    (marks,) = (line[10:] for line in lines if line.startswith("most "))
    received = answer.attention.received.numpy()
    high = [n for n, block in enumerate(blocks) if block == "█"]
    assert len(high) in (4, 5)  # a column shows the highest of the steps that reach into it
    assert {n // 4 for n in high[1:-1]} == {11}
    marked = {n for n, mark in enumerate(marks) if mark == "▲"}
    steps = {*range(12, 16), *range(44, 48)}
    assert steps <= marked <= steps | {11, 43}  # a start may fall into the column before
    told = f"0:00.48 ({received[3]:.0%}), 0:01.76 ({received[11]:.0%})"
    assert f"kept      6 of 20 steps; attends most to {told}" in lines
    assert not any(line.startswith("chosen") for line in lines)
    assert all(line.isascii() for line in lines_of(answer, width=60, plain=True))


def test_segments_are_told_and_holes_are_blank(place):
    answer = attending(place / "video.mp4", hills(4, 16, 2), segments=(1, 2, 6, 7))
    lines = lines_of(answer, width=101)  # 80 columns of 0.04 s
    start = lines.index("4 clips joined, seen at once (sfc, demo):")
    assert lines[start + 1 : start + 3] == [
        "     0:00.32 -    0:00.96",
        "     0:01.92 -    0:02.56",
    ]
    (blocks,) = (line[10:90] for line in lines if line.startswith("attention "))
    blank = [n for n, block in enumerate(blocks) if block == " "]
    assert blank == [*range(8), *range(24, 48), *range(64, 80)]


def test_where_all_is_attended_to_alike_no_moment_is_named(place):
    lines = lines_of(attending(place / "video.mp4", np.ones((2, 8))))
    assert "kept      2 of 8 steps" in lines
    one = attending(place / "video.mp4", np.ones((1, 1)), clip_frames=80)
    assert "one clip, seen at once (sfc, demo):" in lines_of(one)
    assert "kept      1 of 1 step" in lines_of(one)


def test_an_answer_without_an_attention_is_told_as_before(place):
    answer = replace(attending(place / "video.mp4", np.ones((2, 8))), attention=None)
    lines = lines_of(answer)
    assert "10 clips seen closely (sfc, demo):" in lines
    assert not any(line.startswith(("attention", "kept")) for line in lines)


@pytest.mark.parametrize("method", ["", " --method sfc"])
def test_the_command_draws_tells_and_reports_an_attention(run, tmp_path, method):
    line = f"recognize video.mp4 --model sfc.safetensors{method}"
    status, out, err = run(f"{line} --attention new/a.png --report r.html")
    assert (status, err) == (0, "")
    assert (tmp_path / "new" / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    found = json.loads(run(f"{line} --json")[1])["attention"]
    told = f"{found['num_kept']} of {len(found['seconds'])} steps"
    assert f"kept      {told}" in out
    page = (tmp_path / "r.html").read_text()
    assert "Attention over time" in page
    assert f"kept {told}" in page
    assert "--attention new/a.png" in page


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--model sfc.safetensors --attention .", "--attention .: is a folder"),
        ("--model sfc.safetensors --attention a.jpg", "--attention a.jpg: give a file that ends"),
        ("--model sfc.safetensors --attention video.mp4/a.png", "cannot be written"),
        ("--model sfc.safetensors --attention a.png --stream", "--attention cannot go with"),
        (
            "--model plain.safetensors --attention a.png",
            "attention is that of a compressed",
        ),
        ("--attention a.png --method motion", "got r2plus1d_18"),
    ],
)
def test_what_has_no_attention_is_refused_before_anything_is_read(run, tmp_path, line, reason):
    status, out, err = run(f"recognize video.mp4 {line}")
    assert (status, out) == (2, "")
    assert err.startswith("vidskim: ")
    assert err.count("\n") == 1
    assert reason in err
    assert not (tmp_path / "a.png").exists()
