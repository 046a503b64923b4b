"""The command line as a user meets it: what is printed where, and with which status it ends."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import vidskim
from tinynets import tiny_classifier, tiny_sampler
from vidskim import save_backbone
from vidskim.cli import main
from vidskim.cli.main import VERBS
from vidskim.io.write.video import write_video


@pytest.fixture(scope="module")
def place(tmp_path_factory, sample_video):
    """A folder with a video and two checkpoints."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "video.mp4").write_bytes(sample_video.read_bytes())
    save_backbone(tiny_classifier(), folder / "classifier.safetensors")
    save_backbone(tiny_sampler(), folder / "sampler.safetensors")
    (folder / "text.mp4").write_text("this is no video\n" * 50)
    return folder


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Run a command in that folder; return its status, standard output and error."""
    monkeypatch.chdir(place)

    def call(line: str) -> tuple[int, str, str]:
        status = main(line.split())
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.mark.parametrize("options", ["", "--precision bf16", "--method random --k 4"])
def test_recognize_prints_the_answer_of_the_library(run, options):
    line = f"recognize video.mp4 --model classifier.safetensors {options} --json"
    status, out, err = run(line)
    assert (status, err) == (0, "")
    found = json.loads(out)
    words = options.split()
    given = {words[i][2:]: words[i + 1] for i in range(0, len(words), 2)}
    if "k" in given:
        given["k"] = int(given["k"])
    expected = vidskim.recognize("video.mp4", model="classifier.safetensors", **given).to_json()
    for key in ("video", "method", "model", "predictions", "clips", "saliency", "warnings"):
        assert found[key] == expected[key]
    assert found["model"] == "classifier.safetensors (r3d_18)"
    assert found["cost"]["macs"] == expected["cost"]["macs"]


def test_crops_and_size_reach_the_network(run):
    line = "recognize video.mp4 --model classifier.safetensors --k 2 --json"
    plain = json.loads(run(line)[1])
    status, out, err = run(f"{line} --crops 3 --size 64")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (plain["num_crops"], found["num_crops"]) == (1, 3)
    expected = vidskim.recognize("video.mp4", model="classifier.safetensors", k=2, crops=3, size=64)
    assert found["predictions"] == expected.to_json()["predictions"]
    assert found["cost"]["macs"] > 12 * plain["cost"]["macs"]


def test_auto_tells_its_finding_beside_the_answer(run):
    line = "recognize video.mp4 --model classifier.safetensors --k 2 --precision auto --json"
    status, out, err = run(line)
    assert status == 0
    chosen = json.loads(out)["precision"]
    assert chosen in ("fp32", "bf16")
    assert err.startswith(f"r3d_18, precision {chosen}: fp32 ")


def test_recognize_tells_people_the_classes_the_moments_and_the_cost(run):
    status, out, err = run("recognize video.mp4 --model classifier.safetensors --k 2")
    assert (status, err) == (0, "")
    assert "0:12.00, 300 frames, 128x96, 25 fps, h264, sound" in out
    assert "2 clips seen closely (motion, classifier.safetensors (r3d_18))" in out
    assert "MACs" in out


@pytest.mark.parametrize("flag", ["--random-weights", "--random_weights"])
def test_random_weights_are_warned_of(run, flag):
    line = f"recognize video.mp4 --model classifier.safetensors --k 1 {flag}"
    status, _, err = run(line)
    assert status == 0
    assert err.startswith("warning: classifier.safetensors has random weights")
    status, out, err = run(line + " --json")
    assert (status, err) == (0, "")
    assert "random weights" in json.loads(out)["warnings"][0]


def test_scsampler_with_a_checkpoint(run):
    status, out, _ = run(
        "recognize video.mp4 --model classifier.safetensors --method scsampler --k=2 --json "
        "--sampler sampler.safetensors"
    )
    found = json.loads(out)
    assert status == 0
    assert found["cost"]["look_macs"] > 0
    assert len(found["clips"]) == 2


def test_a_time_line_is_written_and_shown(run, place):
    line = "recognize video.mp4 --model classifier.safetensors --k 2 --timeline out/t.png"
    status, out, _ = run(line)
    assert status == 0
    assert (place / "out" / "t.png").read_bytes().startswith(b"\x89PNG")
    shown = out.splitlines()
    assert [line[:10] for line in shown if line.startswith(("saliency", "chosen"))] == [
        "saliency  ",
        "chosen    ",
    ]
    assert all(len(line) <= 80 for line in shown if line.startswith(("saliency", "chosen")))


def test_a_terminal_without_blocks_gets_ascii(place):
    process = subprocess.run(
        [sys.executable, "-m", "vidskim", "select", "video.mp4", "--k", "2"],
        cwd=place,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        check=True,
    )
    text = process.stdout.decode("ascii")
    assert "\nsaliency  " in text
    assert "^^" in text


@pytest.mark.parametrize("seconds", [0.0, 2.0, 1e9])
def test_a_reel_tells_how_it_was_made(run, place, seconds):
    line = f"select video.mp4 --method uniform --k 2 --reel out/r.mp4 --widen {seconds}"
    found = json.loads(run(f"{line} --json")[1])["reel"]
    shown = vidskim.Video(place / "out" / "r.mp4").info
    assert found["seconds_chosen"] == pytest.approx(1.28)
    if seconds:
        assert (found["reason"], found["seconds_encoded"]) == (None, 0)
        assert found["seconds_copied"] == pytest.approx(shown.num_frames / 25)
        assert found["seconds_copied"] > 1.28
        assert "copied bit for bit" in run(line)[1]
    else:
        assert (shown.num_frames, found["seconds_copied"]) == (32, 0)
        assert "key frame" in found["reason"]
        assert "1.28 s encoded again, sound encoded: the key frame" in run(line)[1]
    assert found["has_sound"] is shown.has_audio is True


def test_reports_are_pages(run, place):
    line = "recognize video.mp4 --model classifier.safetensors --k 2 --report out/r.html"
    status, _, err = run(line)
    assert (status, err) == (0, "")
    text = (place / "out" / "r.html").read_text()
    assert f"vidskim {line}" in text
    assert run("select video.mp4 --k 2 --unit frame --report out/s.html --json")[0] == 0
    assert "2 frames chosen by motion" in (place / "out" / "s.html").read_text()


def test_select_under_a_budget(run):
    line = "select video.mp4 --method packets --json"
    found = json.loads(run(f"{line} --budget-seconds 3 --min_gap 1")[1])
    expected = vidskim.select("video.mp4", method="packets", budget_seconds=3, min_gap_seconds=1)
    assert found == expected.to_json()
    found = json.loads(run(f"{line} --budget-share 0.1 --unit frame --cover 3")[1])
    assert len(found["frames"]["indices"]) == 30
    assert {int(t // 4) for t in found["frames"]["timestamps_seconds"]} == {0, 1, 2}


def test_select_prints_clips_or_frames(run):
    found = json.loads(run("select video.mp4 --method packets --k 3 --json")[1])
    expected = vidskim.select("video.mp4", method="packets", k=3).to_json()
    assert found == expected
    found = json.loads(run("select video.mp4 --k 5 --unit frame --json")[1])
    assert found.keys() >= {"video", "clips", "frames"}
    assert found["frames"].keys() == {"indices", "timestamps_seconds", "scores"}
    assert "5 frames (motion)" in run("select video.mp4 --k 5 --unit frame")[1]
    assert "3 clips (uniform)" in run("select video.mp4 --k 3 --method uniform")[1]


def test_inspect(run):
    found = json.loads(run("inspect video.mp4 --json")[1])
    assert found["video"]["num_frames"] == found["num_packets"] == 300
    assert "6 groups of pictures" in run("inspect video.mp4")[1]


def test_cost_and_models(run):
    found = json.loads(run("cost r3d_18 --json")[1])
    assert found == {
        "name": "r3d_18",
        "macs": 40_696_553_472,
        "params": 33_371_472,
        "input": [1, 3, 16, 112, 112],
    }
    assert "40.7 GMACs" in run("cost r3d_18")[1]
    other = json.loads(run("cost resnet_18 --input 2x14x14 --json")[1])
    assert (other["macs"], other["input"]) == (15_454_336, [1, 2, 14, 14])
    assert {"r3d_18", "resnet_18"} <= {m["name"] for m in json.loads(run("models --json")[1])}
    rows = json.loads(run("cost --papers --json")[1])
    assert all(
        row.keys() >= {"paper", "table", "row", "published", "ours", "verdict"} for row in rows
    )


def test_a_codec_without_vectors_falls_back_with_a_warning(run, place):
    image = np.zeros((64, 64, 3), np.uint8)
    write_video(place / "v.mkv", [image + np.uint8(n) for n in range(60)], codec="vp9")
    status, out, _ = run("recognize v.mkv --model classifier.safetensors --json --k 2")
    assert status == 0
    assert any("packet sizes instead" in text for text in json.loads(out)["warnings"])
    assert "warning: " in run("select v.mkv --k 2")[2]


MODEL = "recognize video.mp4 --model classifier.safetensors"


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("recognise video.mp4", 2, "did you mean 'recognize'"),
        ("data", 2, "synthetic|untrim|scan"),
        ("data synthetc out", 2, "did you mean 'synthetic'"),
        ("recognize", 2, "VIDEO"),
        ("inspect video.mp4 video.mp4", 2, "unrecognized arguments: video.mp4"),
        ("recognize video.mp4 --metod motion", 2, "did you mean '--method'"),
        ("recognize video.mp4 --metho motion", 2, "did you mean '--method'"),
        ("recognize video.mp4 -k 3", 2, "did you mean '--k'"),
        ("recognize video.mp4 --model r3d_81", 2, "did you mean 'r3d_18'"),
        ("select video.mp4 --unit frme", 2, "did you mean 'frame'"),
        ("select video.mp4 --method moton", 2, "did you mean 'motion'"),
        ("select video.mp4 --method oracle", 2, "true label"),
        ("select video.mp4 --k 0", 2, "at least 1"),
        ("select video.mp4 --k -3", 2, "at least 1"),
        ("select video.mp4 --k three", 2, "--k takes a whole number, got 'three'"),
        ("select video.mp4 --k=2.5", 2, "--k takes a whole number, got '2.5'"),
        ("select video.mp4 --k", 2, "expected one argument"),
        ("select video.mp4 --json=yes", 2, "--json"),
        ("select video.mp4 --reel .", 2, "is a folder"),
        ("select video.mp4 --reel reel.gif", 2, ".mp4"),
        ("select video.mp4 --reel text.mp4/reel.mp4", 2, "cannot be written"),
        ("select video.mp4 --reel video.mp4", 2, "is the video itself"),
        ("select video.mp4 --report .", 2, "is a folder"),
        ("select video.mp4 --report r.txt", 2, ".html"),
        ("select video.mp4 --report text.mp4/r.html", 2, "cannot be written"),
        ("select video.mp4 --reel r.mp4 --widen -1", 2, "at least 0"),
        ("select video.mp4 --k 3 --budget-seconds 2", 2, "not several"),
        ("select video.mp4 --budget-share 2", 2, "(0, 1]"),
        ("select video.mp4 --k 2 --cover 3", 2, "cannot be covered"),
        ("select video.mp4 --min-gap -1", 2, "at least 0"),
        ("select video.mp4 --method uniform --min-gap 1", 2, "scores nothing"),
        ("select video.mp4 --method dense --sampler sampler.safetensors", 2, "takes no sampler"),
        (f"{MODEL} --timeline .", 2, "is a folder"),
        (f"{MODEL} --timeline t.jpg", 2, ".png"),
        (f"{MODEL} --timeline text.mp4/t.png", 2, "cannot be written"),
        (f"{MODEL} --report text.mp4/r.html", 2, "cannot be written"),
        (f"{MODEL} --report r.png", 2, ".html"),
        (f"{MODEL} --precision fp16", 2, "did you mean 'bf16'"),
        (f"{MODEL} --device nowhere", 2, "device 'nowhere'"),
        ("cost", 2, "--papers"),
        ("cost r3d_81", 2, "did you mean 'r3d_18'"),
        ("cost r3d_18 --papers", 2, "--papers"),
        ("cost --papers --input 3x8x64x64", 2, "--input goes with the name"),
        ("cost r3d_18 --sampler motion --input 3x8x64x64", 2, "--sampler cannot go with --input"),
        ("cost resnet_18 --sampler motion", 2, "no clip classifier"),
        (f"{MODEL} --method empirical", 2, "evaluate --study"),
        ("cost r3d_18 --input 3x112", 2, "channels x frames x height x width, got 3x112"),
        ("models --jsn", 2, "did you mean '--json'"),
        ("evaluate", 2, "data"),
        ("evaluate --data x.csv --limit many", 2, "--limit takes a whole number"),
        ("evaluate --data x.csv --method dense", 2, "did you mean '--methods'"),
        ("train", 2, "recipe"),
        ("demo --videos 1", 2, "got 1"),
        (f"{MODEL} --method scsampler --sampler missing.safetensors", 1, "no such file"),
        (f"{MODEL} --method scsampler --sampler classifier.safetensors", 1, "no saliency network"),
        ("recognize video.mp4 --model sampler.safetensors", 1, "no clip classifier"),
        ("recognize video.mp4 --model missing.safetensors", 1, "missing.safetensors: no such file"),
        ("recognize video.mp4 --model text.mp4", 1, "text.mp4"),
        ("recognize missing.mp4", 1, "missing.mp4: does not exist"),
        ("recognize .", 1, ".: is a folder"),
        ("select text.mp4", 1, "text.mp4: "),
        ("inspect missing.mp4", 1, "missing.mp4: does not exist"),
        ("inspect text.mp4", 1, "text.mp4: "),
        ("data scan missing", 1, "missing: "),
    ],
)
def test_wrong_usage_and_bad_input_are_one_line(run, line, status, words):
    found, out, err = run(line)
    assert (found, out) == (status, "")
    assert err.startswith("vidskim: ")
    assert err.count("\n") == 1
    assert words in err


def test_no_command_prints_the_usage_and_what_to_do(run):
    status, out, err = run("")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("vidskim: give a command")


def test_help_and_version(run):
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    assert all(f"  {name}" in out for name in VERBS)
    status, out, err = run("recognize --help")
    assert (status, err) == (0, "")
    assert "--random-weights" in out
    assert "clips to encode" in out
    assert "look: which clips are encoded" in out
    for line in ("data --help", "data scan -h", "train --help", "evaluate -h"):
        assert run(line)[0] == 0
    assert run("--version")[1].strip() == f"vidskim {vidskim.__version__}"


def test_what_the_system_refuses_is_one_line(run, monkeypatch):
    def full(words):
        raise OSError(28, "No space left on device", "out/results.csv")

    monkeypatch.setitem(VERBS, "models", lambda: full(()))
    VERBS["models"].__doc__ = "Fill the disk."
    status, _, err = run("models")
    assert (status, err) == (1, "vidskim: out/results.csv: No space left on device\n")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"),
    ],
)
def test_too_little_memory_is_one_line(run, monkeypatch, error):
    def full() -> None:
        """Take all memory."""
        raise error

    monkeypatch.setitem(VERBS, "models", full)
    status, _, err = run("models")
    assert (status, err.count("\n")) == (1, 1)
    assert "not enough memory" in err


def test_other_errors_of_torch_are_not_hidden(run, monkeypatch):
    def broken() -> None:
        """Fail."""
        raise RuntimeError("a bug of ours")

    monkeypatch.setitem(VERBS, "models", broken)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        run("models")


def test_an_interruption_is_no_traceback(run, monkeypatch):
    def stop() -> None:
        """Stop."""
        raise KeyboardInterrupt

    monkeypatch.setitem(VERBS, "models", stop)
    assert run("models") == (130, "", "vidskim: interrupted\n")


def test_a_closed_pipe_is_no_error(place):
    process = subprocess.run(
        [
            *("bash", "-o", "pipefail", "-c"),
            f"{sys.executable} -m vidskim select video.mp4 --json | true",
        ],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")


def test_any_locale_and_any_file_name(place, tmp_path):
    name = os.fsencode(tmp_path) + "/é".encode() + b"\xff.mp4"
    os.symlink(os.fsencode(place / "video.mp4"), name)
    process = subprocess.run(
        [sys.executable.encode(), b"-m", b"vidskim", b"inspect", name],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, b"")
    shown = process.stdout.decode("utf-8")
    assert "é\\udcff.mp4: 0:12.00, 300 frames" in shown


def test_a_closed_output_is_told(place):
    code = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    process = subprocess.run(
        [sys.executable, "-c", code, "-m", "vidskim", "inspect", str(place / "video.mp4")],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr == (
        "vidskim: standard output is closed: there is nowhere to put the answer\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["recognize", ""],
        ["recognize", "video.mp4", "--model", ""],
        ["recognize", "video.mp4", "--k="],
        ["evaluate", "--data", "", "--out", "here"],
        ["train", "recipe.yaml", "--out", ""],
    ],
)
def test_an_empty_argument_is_not_the_current_folder(words, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err == (
        "vidskim: an argument is empty: give a value or leave it out\n"
    )


def test_the_package_is_a_command(place):
    process = subprocess.run(
        [sys.executable, "-m", "vidskim", "inspect", "missing.mp4"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr == "vidskim: missing.mp4: does not exist: check the path\n"


@pytest.mark.parametrize("verb", ["recognize --model classifier.safetensors", "select"])
def test_several_videos_give_an_answer_each_whatever_the_others_are(run, verb):
    one = json.loads(run(f"{verb} video.mp4 --k 2 --json")[1])
    status, out, err = run(f"{verb} text.mp4 video.mp4 --k 2 missing.mp4 --json video.mp4")
    assert status == 1
    for line in out.splitlines():
        found = json.loads(line)
        for key in ("video", "clips", "saliency"):
            assert found[key] == one[key]
    assert len(out.splitlines()) == 2
    assert [line.split(":")[1] for line in err.splitlines()] == [" text.mp4", " missing.mp4"]
    status, out, err = run(f"{verb} video.mp4 video.mp4 --k 2")
    assert (status, err) == (0, "")
    assert out.count("video.mp4: ") == 2
    assert out.count("\n\nvideo.mp4: ") == 1


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("recognize text.mp4 missing.mp4 --model classifier.safetensors", 1, "text.mp4: "),
        ("recognize video.mp4 video.mp4 --report r.html", 2, "--report is of one video"),
        ("recognize video.mp4 video.mp4 --stream", 2, "--stream is of one video"),
        ("select video.mp4 video.mp4 --reel r.mp4", 2, "--reel is of one video"),
        ("select video.mp4 --widen 2", 2, "--widen goes with --reel"),
        ("select video.mp4 --num-frames 99999999999999999999", 2, "between 1 and 4096"),
        ("select video.mp4 --method dense --k 2", 2, "takes every clip"),
        ("select video.mp4 --method dense --unit frame --k 2", 2, "takes every clip"),
    ],
)
def test_what_does_not_go_with_several_or_one(run, line, status, words):
    found, out, err = run(line)
    assert (found, out) == (status, "")
    assert words in err
    assert err.count("\n") == 1
