"""Every real and every odd file through the commands, as a user would meet them."""

import json
import os
from pathlib import Path

import pytest

from tinynets import tiny_classifier
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.cli import main

pytestmark = pytest.mark.data

SOUND = {".wav", ".mp3", ".aac", ".flac"}
UNREADABLE = {
    "audio_only.mp4",
    "header_only_64.mp4",
    "random_64k.avi",
    "text_as_video.mp4",
    "zero_byte.mp4",
}
"""Files made unreadable on purpose."""


def _files(part: str) -> list[Path]:
    folder = Path(os.environ.get("VIDSKIM_DATA", "")) / part
    if not os.environ.get("VIDSKIM_DATA"):
        return [Path("none")]  # one test that is skipped, with the reason
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".json", ".md"))


def _name(path: Path) -> str:
    return "/".join(path.parts[-2:])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_backbone(tiny_classifier(), path)
    return str(path)


def _commands(path: Path, model: str) -> list[list[str]]:
    return [
        ["recognize", str(path), "--model", model, "--method", "motion", "--k", "2", "--json"],
        ["select", str(path), "--method", "packets", "--k", "3", "--unit", "frame", "--json"],
        ["inspect", str(path), "--json"],
    ]


@pytest.mark.parametrize("path", _files("clips"), ids=_name)
def test_every_real_file_is_recognized_selected_and_inspected(path, model, capsys):
    for command in _commands(path, model):
        status = main(command)
        shown = capsys.readouterr()
        if path.suffix in SOUND:
            assert status == 1
            assert "no video stream" in shown.err
            continue
        assert status == 0, shown.err
        answer = json.loads(shown.out)
        assert answer["video"]["num_frames"] > 0
        if command[0] == "recognize":
            assert sum(p["score"] for p in answer["predictions"]) == pytest.approx(1, abs=1e-4)
            assert 1 <= len(answer["clips"]) <= 2
            assert answer["cost"]["frames_decoded"] > 0
        if command[0] == "select":
            indices = answer["frames"]["indices"]
            assert indices == sorted(set(indices))
            assert max(indices) < answer["video"]["num_frames"]


@pytest.mark.parametrize("path", _files("odd"), ids=_name)
def test_every_odd_file_gives_an_answer_or_one_line(path, model, capsys):
    for command in _commands(path, model):
        status = main(command)
        shown = capsys.readouterr()
        assert status in (0, 1)
        if path.name in UNREADABLE:
            assert status == 1
        if status == 0:
            assert json.loads(shown.out)["video"]["num_frames"] > 0
        else:
            assert shown.out == ""
            (line,) = shown.err.splitlines()
            assert line.startswith(f"vidskim: {path}: ")
        if path.name.startswith(("trunc", "bitflip")) and command[0] == "recognize":
            assert json.loads(shown.out)["warnings"], "a cut or damaged file must say so"
