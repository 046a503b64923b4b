"""An answer after every clip; the last one is that of the finished file, in every bit."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tinynets import tiny_classifier, tiny_faster, tiny_sampler
from tinyset import write_tiny_video
from vidskim import api, save_backbone
from vidskim.answer.build import make_recognizer
from vidskim.cli import main
from vidskim.errors import UsageError, VideoError
from vidskim.look.look import Look
from vidskim.model.aggregate import AGGREGATORS, FastGru
from vidskim.model.file import save_model
from vidskim.model.presets import faster
from vidskim.types import Prediction
from vidskim.video import Video

NUM_FRAMES = 61
"""Seven clips of 8 frames and a rest of five, which is a clip too."""
NUM_CLIPS = 8


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video that can be read front to back, and models."""
    folder = tmp_path_factory.mktemp("streaming")
    write_tiny_video(folder / "video.mkv", label="left", num_frames=NUM_FRAMES)
    save_backbone(tiny_classifier(), folder / "classifier.safetensors")
    save_backbone(tiny_sampler(), folder / "sampler.safetensors")
    for name in AGGREGATORS:
        save_model(tiny_faster(aggregator=name), folder / f"{name}.safetensors")
    (folder / "text.mkv").write_text("this is no video\n" * 50)
    return folder


def _check_same(last: Prediction, whole: Prediction) -> None:
    """Equal in everything but time, memory, and what a stream does not keep or does more often."""
    assert last.predictions == whole.predictions  # floats, bit for bit
    assert last.clips == whole.clips[-1:]
    for name in ("model", "method", "num_crops", "precision", "encoders", "schedule", "warnings"):
        assert getattr(last, name) == getattr(whole, name)
    assert last.cost.dense_macs == whole.cost.dense_macs
    # a learned aggregator of 32 channels and 4 classes is read after every clip, not once
    reads = (len(whole.clips) - 1) * whole.num_crops if len(whole.encoders) > 1 else 0
    assert last.cost.macs == whole.cost.macs + reads * 32 * 4
    assert last.video == whole.video


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("classifier", {}),
        ("classifier", {"num_crops": 3}),
        ("classifier", {"precision": "bf16"}),
        ("fast_gru", {}),
        ("fast_gru", {"pattern": "1:7"}),
        ("fast_gru", {"pattern": "none"}),
        ("fast_gru", {"pattern": "ECCEC", "num_crops": 3}),
        ("gru", {}),
        ("lstm", {"pattern": "first"}),
        ("concat", {}),
    ],
    ids=str,
)
def test_the_last_answer_is_that_of_the_finished_file(place, model, options):
    model = str(place / f"{model}.safetensors")
    path = place / "video.mkv"
    whole = make_recognizer(
        method="dense", model=model, batch_size=options.get("num_crops", 1), **options
    )(path)
    with path.open("rb") as pipe:
        from_pipe = list(api.stream(pipe, model=model, **options))
    answers = list(api.stream(path, model=model, idle_seconds=0, **options))
    assert len(answers) == NUM_CLIPS
    _check_same(answers[-1], whole)
    assert [a.predictions for a in from_pipe] == [a.predictions for a in answers]
    assert len({a.predictions for a in answers}) == NUM_CLIPS
    assert [chosen.clip.index for a in answers for chosen in a.clips] == list(range(NUM_CLIPS))
    assert [chosen for a in answers for chosen in a.clips] == list(whole.clips)


def test_the_demo_model_as_in_the_file(sample_video):
    """H.264 with B-frames and sound, and the classifier that is shipped."""
    whole = make_recognizer(method="dense", model="demo", batch_size=1)(sample_video)
    answers = list(api.stream(sample_video, model="demo"))
    assert len(answers) == len(whole.clips) > 10
    _check_same(answers[-1], whole)


def test_a_faster_model_of_one_encoder_answers_clip_by_clip_too(place):
    """By default, as on the command line: a batch of several clips changes the last digits."""
    path = place / "single.safetensors"
    alone = faster([tiny_classifier()], FastGru(32, 4), pattern="all", num_clips=4)
    save_model(alone.eval(), path)
    whole = api.recognize(place / "video.mkv", method="dense", model=str(path))
    *_, last = api.stream(place / "video.mkv", model=str(path), idle_seconds=0)
    assert last.predictions == whole.predictions


@pytest.mark.parametrize("model", ["classifier", "fast_gru", "concat"])
def test_each_answer_is_about_all_clips_so_far(place, model):
    model = str(place / f"{model}.safetensors")
    path = place / "video.mkv"
    recognizer = make_recognizer(method="dense", model=model, batch_size=1)
    for number, answer in enumerate(api.stream(path, model=model, idle_seconds=0), start=1):
        first = recognizer.with_look(Look("first", lambda s, n, g, m=number: list(range(m))))(path)
        assert answer.predictions == first.predictions
        assert answer.video.num_frames >= min(8 * number, NUM_FRAMES)


def test_answers_come_while_the_file_grows(place, tmp_path):
    data = (place / "video.mkv").read_bytes()
    path = tmp_path / "growing.mkv"
    path.write_bytes(data[: len(data) * 3 // 4])
    go_on = threading.Event()

    def write() -> None:
        go_on.wait(20)
        with path.open("ab") as file:
            file.write(data[len(data) * 3 // 4 :])

    writing = threading.Thread(target=write)
    writing.start()
    answers = api.stream(path, model=str(place / "fast_gru.safetensors"), idle_seconds=1.0)
    early = [next(answers), next(answers)]
    assert writing.is_alive()
    go_on.set()
    late = list(answers)
    writing.join()
    assert len(early) + len(late) == NUM_CLIPS
    whole = api.recognize(
        place / "video.mkv", method="dense", model=str(place / "fast_gru.safetensors")
    )
    assert late[-1].predictions == whole.predictions


def test_shorter_than_one_clip(place, tmp_path):
    path = tmp_path / "short.mkv"
    write_tiny_video(path, label="right", num_frames=3)
    model = str(place / "fast_gru.safetensors")
    (answer,) = api.stream(path, model=model, idle_seconds=0)
    _check_same(answer, api.recognize(path, method="dense", model=model))
    assert answer.warnings == ("shorter than one clip: the last of 3 frames is repeated",)


def test_what_shows_at_the_end_of_a_stream_is_told(place, tmp_path):
    path = tmp_path / "cut.mkv"
    data = (place / "video.mkv").read_bytes()
    path.write_bytes(data[: round(0.8 * len(data))])
    warnings: list[str] = []
    model = str(place / "classifier.safetensors")
    assert list(api.stream(path, model=model, idle_seconds=0, warnings=warnings))
    video = Video(path)
    list(video.iter_frames(video.clips(num_frames=8)))
    assert warnings == video.warnings != []


@pytest.mark.parametrize("method", ["uniform", "packets"])
def test_a_look_at_the_whole_video_is_refused(place, method):
    model = str(place / "classifier.safetensors")
    recognizer = make_recognizer(method=method, model=model, k=2)
    with pytest.raises(UsageError, match=r"no answer after every clip: .* give 'dense'"):
        next(recognizer.stream(place / "video.mkv"))


def test_a_source_that_cannot_be_is_refused_before_weights_are_fetched(tmp_path):
    with pytest.raises(VideoError, match="does not exist"):
        api.stream(tmp_path / "missing.ts", model="r2plus1d_18")
    with pytest.raises(VideoError, match="is a folder"):
        api.stream(tmp_path, model="r2plus1d_18")


def _command(line: str, place: Path, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "vidskim", *line.split()]
    return subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Run a command in that folder; return its status, standard output and error."""
    monkeypatch.chdir(place)

    def call(line: str) -> tuple[int, str, str]:
        status = main(line.split())
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_one_json_object_per_line(run, place):
    line = "recognize video.mkv --model fast_gru.safetensors"
    status, out, err = run(f"{line} --stream --idle 0 --json")
    assert (status, err) == (0, "")
    answers = [json.loads(text) for text in out.splitlines()]
    assert len(answers) == NUM_CLIPS
    status, out, err = run(f"{line} --method dense --json")
    whole = json.loads(out)
    assert answers[-1].keys() == whole.keys()
    for key in ("video", "method", "model", "predictions", "saliency", "warnings"):
        assert answers[-1][key] == whole[key]
    assert answers[-1]["clips"] == whole["clips"][-1:]


def test_text_for_people(run):
    status, out, err = run("recognize video.mkv --model fast_gru.safetensors --stream --idle 0")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split(" - ")[0].strip() for line in lines[:NUM_CLIPS]] == [
        f"0:0{0.32 * n:.2f}" for n in range(NUM_CLIPS)
    ]
    assert "(r3d_18; so far 9.88 MMACs, " in lines[0]
    assert "(r2d_26; so far " in lines[1]
    assert lines[NUM_CLIPS] == ""
    end = "\n".join(lines[NUM_CLIPS + 1 :])
    assert end.startswith("video.mkv: 0:02.44, 61 frames, 64x48")
    assert "8 clips seen, one after another (fast_gru.safetensors (" in end
    assert "encoders  3 by r3d_18, 5 by r2d_26 (pattern 1:2)" in end
    assert "61 frames decoded" in end


def test_answers_are_printed_while_the_pipe_is_open(place):
    data = (place / "video.mkv").read_bytes()
    line = "recognize - --stream --model fast_gru.safetensors --json"
    with _command(line, place, stdin=subprocess.PIPE) as process:
        process.stdin.write(data[: len(data) // 2])
        process.stdin.flush()
        first = json.loads(process.stdout.readline())  # while more is to come
        assert first["clips"][0]["index"] == 0
        out, err = process.communicate(data[len(data) // 2 :])
    assert (process.returncode, err) == (0, b"")
    assert len(out.splitlines()) == NUM_CLIPS - 1
    assert json.loads(out.splitlines()[-1])["video"]["path"] == "-"


def test_an_interruption_is_one_line(place, tmp_path):
    path = tmp_path / "growing.mkv"
    path.write_bytes((place / "video.mkv").read_bytes())
    line = f"recognize {path} --stream --idle 100 --model classifier.safetensors --json"
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's "&" ignores it
    with _command(line, place, preexec_fn=heard) as process:
        for _ in range(NUM_CLIPS - 1):  # the rest is a clip only when the stream is known to end
            assert process.stdout.readline().startswith(b"{")
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, b"")
    assert err == b"vidskim: interrupted\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("video.mkv --stream --timeline t.png", "--timeline cannot go with --stream, which"),
        ("video.mkv --stream --report r.html --k 3", "--k and --report cannot go with --stream"),
        ("video.mkv --stream --method packets", "--method cannot go with --stream"),
        ("video.mkv --stream --route motion", "--route cannot go with --stream"),
        ("video.mkv --stream --fast int8", "--fast cannot go with --stream"),
        ("video.mkv --idle 3", "--idle goes with --stream"),
        ("-", "VIDEO - goes with --stream"),
        ("video.mkv --stream --idle -1", "idle_seconds is a time of at least 0, got -1"),
        (
            "video.mkv --stream --pattern 1:2",
            "a pattern or route shares clips between two encoders",
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(run, line, reason):
    status, out, err = run(f"recognize {line} --model classifier.safetensors")
    assert (status, out) == (2, "")
    assert err.startswith(f"vidskim: {reason}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("missing.ts", "missing.ts: does not exist: check the path"),
        (".", ".: is a folder: give a video file"),
        ("text.mkv", "text.mkv: is not readable as video"),
    ],
)
def test_a_bad_source_is_one_line(run, line, reason):
    status, out, err = run(f"recognize {line} --stream --idle 0 --model classifier.safetensors")
    assert (status, out) == (1, "")
    assert err.startswith(f"vidskim: {reason}")
    assert err.count("\n") == 1


def test_an_empty_pipe_is_one_line(run, monkeypatch):
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        status, out, err = run("recognize - --stream --model classifier.safetensors")
    assert (status, out) == (1, "")
    assert err == "vidskim: -: ended before its first byte: check what writes into it\n"


def test_no_standard_input_is_one_line(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    status, out, err = run("recognize - --stream --model classifier.safetensors")
    assert (status, out) == (1, "")
    assert err == "vidskim: -: standard input is closed: pipe a video into it\n"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_terminal_is_no_video(run, monkeypatch):
    master, slave = os.openpty()
    with open(slave) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        status, _, err = run("recognize - --stream --model classifier.safetensors")
    os.close(master)
    assert status == 1
    assert err == "vidskim: -: standard input is a terminal: pipe a video into it\n"


def test_runs_of_joined_clips_are_one_line_each(place, capsys):
    words = ["--model", "r3d_18", "--random-weights", "--size", "32", "--compress", "res3"]
    video = str(place / "video.mkv")
    assert main(["recognize", video, *words, "--join", "2", "--stream", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(answer["clips"]) for answer in answers[:-1]] == [2] * (len(answers) - 1)
    assert main(["recognize", video, *words, "--join", "2", "--stream"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("by r3d_18" in line or "(r3d_18;" in line for line in lines) >= len(answers)
