"""The golden record: what the public command line answers, on files that lie here.

``python tests/golden/record.py`` writes ``golden.json`` anew; ``test_golden.py`` compares. The
videos and the models in ``files/`` were written once, the models as files of version 1; neither is
ever made again. A commit that changes the record lists the cases that changed, and why.

Left out: clocks, memory, warnings and other prose, ``auto``, and refusals that name a combination
which may work one day. Bytes read and frames decoded are in: other figures there are a change.
"""

import csv
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from vidskim.cli import main

HERE = Path(__file__).resolve().parent
FILES = HERE / "files"
GOLDEN = HERE / "golden.json"

LEFT_OUT = {
    # clocks and memory
    *("seconds_per_video", "stage_seconds", "speedup_over_dense", "peak_bytes", "total_seconds"),
    # prose, and the machine
    *("warnings", "note", "remarks", "hardware", "versions", "command", "license", "protocol_text"),
}
OF_UNTRAINED = ("video", "method", "model", "cost", "encoders", "schedule", "num_crops")
"""What is kept of an answer that means nothing but its cost."""

SAMPLERS = "motion.safetensors,residual.safetensors,audio.safetensors"
EVERY_SAMPLER = f"{SAMPLERS},keyframe.safetensors"


def _recognize() -> Iterator[str]:
    """Every kind of model by every method it has, and each option in places."""
    chosen = (
        "dense", "uniform --k 3", "random --k 4", "packets --k 3", "motion --k 4", "motion",
        "scsampler --k 3", f"scsampler --k 4 --sampler {SAMPLERS}",
        f"cascade --k 2 --candidates 6 --sampler {SAMPLERS}", "cascade --k 3",
    )  # fmt: skip
    for model in ("bare", "faster", "memory", "sfc"):
        for method in chosen:
            yield f"talk.mp4 --model {model}.safetensors --method {method}"
    for model in ("bare", "faster", "memory", "sfc"):
        for video in ("talk.mp4", "walk.mkv", "old.avi", "short.mp4"):
            yield f"{video} --model {model}.safetensors"
        if model != "sfc":  # which takes whole frames
            yield f"walk.mkv --model {model}.safetensors --crops 3"
        yield f"old.avi --model {model}.safetensors --size 48"
        yield f"walk.mkv --model {model}.safetensors --k 3"
        yield f"short.mp4 --model {model}.safetensors --method motion --k 2"
        yield f"old.avi --model {model}.safetensors --method scsampler --k 3"
    yield "walk.mkv --model bare.safetensors --method packets --k 2 --crops 3 --size 40"
    yield "walk.mkv --model bare.safetensors --method dense --batch-size 1"
    yield "walk.mkv --model bare.safetensors --method dense --batch-size 7"
    yield "talk.mp4 --model bare.safetensors --method uniform --k 3 --precision bf16"
    yield "talk.mp4 --model memory.safetensors --k 3 --precision bf16"
    yield "talk.mp4 --model bare.safetensors --random-weights --k 2"
    bare = "--model bare.safetensors"
    for rule in ("convex_score", "convex_list", "intersect_list", "union_list"):
        yield (
            f"walk.mkv {bare} --method scsampler --k 4 --combine {rule} --sampler {EVERY_SAMPLER}"
        )
    yield f"walk.mkv {bare} --method scsampler --k 4 --combine union-list --sampler {SAMPLERS}"
    yield f"talk.mp4 {bare} --method scsampler --k 4 --visual-k 2 --sampler {SAMPLERS}"
    yield f"talk.mp4 {bare} --method scsampler --k 4 --visual-k 0 --sampler {SAMPLERS}"
    yield (
        f"talk.mp4 {bare} --method scsampler --k 4 --combine convex_score --alpha 0.2 "
        f"--sampler {SAMPLERS}"
    )
    for number in (0, 1, 3):
        yield (
            f"walk.mkv {bare} --method scsampler --k 3 --residuals {number} "
            "--sampler residual.safetensors"
        )
    yield f"walk.mkv {bare} --method scsampler --k 3 --sampler motion.safetensors --clip-stride 3"
    yield f"old.avi {bare} --method scsampler --k 3 --sampler {SAMPLERS}"
    yield f"old.avi {bare} --method scsampler --k 3 --sampler {EVERY_SAMPLER}"
    yield f"old.avi {bare} --method cascade --k 3 --candidates 4 --sampler motion.safetensors"
    yield f"walk.mkv {bare} --method scsampler --k 3 --sampler audio.safetensors"
    faster = "--model faster.safetensors"
    yield f"talk.mp4 {faster} --method faster16"
    for pattern in ("1:1", "1:7", "all", "none", "first", "ECCEC"):
        yield f"talk.mp4 {faster} --pattern {pattern}"
    for route in ("packets", "motion", "scsampler"):
        yield f"walk.mkv {faster} --route {route}"
    yield f"walk.mkv {faster} --route motion --pattern 1:3 --k 4 --crops 3"
    yield f"talk.mp4 {faster} --method faster16 --route packets"
    routed = f"talk.mp4 {faster} --route scsampler --sampler {SAMPLERS}"
    yield f"{routed} --combine convex_score --alpha 0.3"
    yield f"old.avi {faster} --route scsampler --sampler residual.safetensors --residuals 2"
    yield f"old.avi {faster} --batch-size 3"
    yield f"walk.mkv {faster} --method uniform --k 3 --pattern first"
    memory = "--model memory.safetensors"
    yield f"old.avi {memory} --method memory --k 5 --crops 3"
    yield f"old.avi {memory} --method uniform --k 5 --size 48 --batch-size 2"
    yield f"walk.mkv {memory} --method scsampler --k 3 --sampler {SAMPLERS} --combine convex_list"
    sfc = "--model sfc.safetensors"
    yield f"old.avi {sfc} --method sfc --k 3"
    yield f"old.avi {sfc} --segment-frames 20 --k 3"
    yield f"old.avi {sfc} --segment-frames 16 --method motion --k 2"
    yield f"walk.mkv {sfc} --method scsampler --k 3 --sampler {SAMPLERS}"
    for method in ("dense", "uniform --k 2", "random --k 2", "packets --k 3", "motion --k 3",
                   "scsampler --k 3", "cascade --k 2 --candidates 4"):  # fmt: skip
        yield f"walk.mkv --model demo --method {method}"
    yield "talk.mp4 --model r3d_18 --random-weights --k 1"
    yield "talk.mp4 --model r3d_18 --random-weights --method memory --k 2"
    yield "short.mp4 --model r3d_18 --random-weights --method sfc --size 64"
    yield "short.mp4 --model r3d_18 --random-weights --method scsampler --k 1"
    for model in ("bare", "faster"):
        yield f"talk.mp4 --model {model}.safetensors --stream --idle 0.1"
    yield "walk.mkv --model faster.safetensors --stream --idle 0.1 --pattern 1:1"


def _select() -> Iterator[str]:
    for method in ("dense", "uniform --k 3", "random --k 3", "packets --k 3", "motion --k 4",
                   "scsampler --k 3", "cascade --k 2"):  # fmt: skip
        yield f"talk.mp4 --method {method}"
    yield f"walk.mkv --method scsampler --k 2 --combine convex_score --sampler {SAMPLERS}"
    yield f"walk.mkv --method scsampler --budget-share 0.5 --sampler {SAMPLERS} --visual-k 2"
    yield "old.avi --method motion --k 3 --min-gap 0.5"
    yield "old.avi --method packets --k 4 --cover 3"
    yield "old.avi --method motion --budget-seconds 2"
    yield "old.avi --method motion --budget-share 0.3 --min-gap 0.2"
    yield "walk.mkv --method motion --unit frame --k 7"
    yield "walk.mkv --method packets --unit frame --k 6 --min-gap 0.4 --cover 3"
    yield "walk.mkv --method uniform --unit frame --k 5"
    yield "walk.mkv --method motion --unit frame --budget-share 0.05"
    yield "short.mp4 --method motion"
    yield "short.mp4 --unit frame --k 3"


def _evaluate() -> Iterator[str]:
    methods = {
        "bare": "dense,uniform,random,packets,motion,scsampler,cascade,oracle",
        "faster": "dense,uniform,motion,oracle,faster,faster16,faster/1:3,faster/motion,"
        "faster/all/average,faster/1:1/scsampler,faster/oracle,uniform/first,uniform/average",
        "memory": "memory,memory/alone,uniform,uniform/alone,motion,motion/alone,oracle",
        "sfc": "sfc,sfc/3,sfc/alone,uniform,uniform/alone,motion,scsampler,oracle",
    }
    for model, names in methods.items():
        yield f"--model {model}.safetensors --methods {names} --k 3 --moments moments.csv"
    yield "--model memory.safetensors --methods memory,dense"
    yield "--model faster.safetensors --methods faster"
    yield "--model sfc.safetensors --methods sfc,uniform/alone --crops 3"
    yield "--model bare.safetensors --methods uniform,motion --k 2 --crops 3 --size 48 --limit 3"
    yield f"--model bare.safetensors --methods scsampler,cascade --k 3 --sampler {SAMPLERS}"


COSTS = (
    *(f"{name}.safetensors" for name in ("bare", "faster", "memory", "sfc", "motion", "audio")),
    "bare.safetensors --input 3x16x48x48",
    "sfc.safetensors --input 3x40x48x60",
    f"bare.safetensors --sampler {EVERY_SAMPLER}",
    "bare.safetensors --sampler motion,audio",
    "r2plus1d_18 --sampler motion,residual,audio",
    "resnet_18 --input 2x14x14",
    *("r3d_18", "faster16", "faster32", "sfc", "slowfast_r50_4x16"),
    "--papers",
)

BARE = "recognize talk.mp4 --model bare.safetensors"
REFUSED = (
    "", "recognise talk.mp4", "data", "data synthetc out", "recognize", "recognize --help",
    "recognize talk.mp4 --metod motion", "recognize talk.mp4 -k 3",
    "recognize talk.mp4 --model r3d_81", "select talk.mp4 --unit frme",
    "select talk.mp4 --method moton", "select talk.mp4 --method oracle", "select talk.mp4 --k 0",
    "select talk.mp4 --k three", "select talk.mp4 --k=2.5", "select talk.mp4 --k",
    "select talk.mp4 --k 3 --budget-seconds 2", "select talk.mp4 --budget-share 2",
    "select talk.mp4 --k 2 --cover 3", "select talk.mp4 --min-gap -1",
    "select talk.mp4 --method uniform --min-gap 1",
    "select talk.mp4 --method dense --sampler motion.safetensors",
    "select talk.mp4 --reel reel.gif", "select talk.mp4 --report r.txt",
    f"{BARE} --timeline t.jpg", f"{BARE} --report r.png", f"{BARE} --precision fp16",
    f"{BARE} --device nowhere", f"{BARE} --crops 2", f"{BARE} --size 0", f"{BARE} --batch-size 0",
    f"{BARE} --idle 3", f"{BARE} --stream --k 2", f"{BARE} --method empirical",
    f"{BARE} --k -1",
    f"{BARE} --method scsampler --clip-stride 0", f"{BARE} --method scsampler --residuals -1",
    f"{BARE} --method scsampler --k 3 --visual-k 4",
    f"{BARE} --method scsampler --sampler missing.safetensors",
    f"{BARE} --method scsampler --sampler bare.safetensors",
    f"{BARE} --method scsampler --sampler motion.safetensors,motion.safetensors",
    f"{BARE} --method scsampler --sampler motion.safetensors --combine nothing",
    f"{BARE} --method cascade --k 3 --candidates 2",
    "recognize talk.mp4 --model faster.safetensors --pattern 1:x",
    "recognize talk.mp4 --model faster.safetensors --route sideways",
    "recognize talk.mp4 --model sfc.safetensors --segment-frames 0",
    "recognize talk.mp4 --model motion.safetensors", "recognize talk.mp4 --model talk.mp4",
    "recognize talk.mp4 --model missing.safetensors", "recognize missing.mp4 --model demo",
    "recognize bare.safetensors --model demo", "select bare.safetensors", "select . --k 2",
    "inspect missing.mp4", "inspect bare.safetensors", "cost", "cost r3d_81",
    "cost r3d_18 --papers",
    "cost --papers --input 3x8x64x64", "cost resnet_18 --sampler motion",
    "cost r3d_18 --input 3x112", "models --jsn", "models r3d_81", "evaluate",
    "evaluate --data videos.csv --limit many", "evaluate --data videos.csv --methods moton",
    "evaluate --data missing.csv", "evaluate --data videos.csv --model bare.safetensors --split no",
    "train", "train missing.yaml", "train videos.csv", "demo --videos 1", "data scan missing",
)  # fmt: skip


def cases() -> dict[str, list[str]]:
    """Return the command lines of every group."""
    out = "--out OUT"
    return {
        "recognize": [f"recognize {line} --json" for line in _recognize()],
        "select": [f"select {line} --json" for line in _select()],
        "inspect": [
            f"inspect {name} --json" for name in ("talk.mp4", "walk.mkv", "old.avi", "short.mp4")
        ],
        "cost": [f"cost {line} --json" for line in COSTS],
        "models": ["models --json", "models slow_r50_8x8 --json"],
        "evaluate": [f"evaluate --data videos.csv {line} --json {out}" for line in _evaluate()],
        "refused": list(REFUSED),
    }


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def call(words: list[str], *, folder: Path = FILES) -> tuple[int, str, str]:
    """Run a command there; return its status, standard output and error."""
    out, err = StringIO(), StringIO()
    with _inside(folder), redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(words)
        except SystemExit as end:
            status = int(end.code or 0)
    return status, out.getvalue(), err.getvalue()


def answer(group: str, line: str) -> Any:
    """Run one case; return what is kept of its answer."""
    if group == "refused":
        return {"status": call(line.split())[0]}
    with tempfile.TemporaryDirectory() as name:
        words = [name if word == "OUT" else word for word in line.split()]
        status, out, err = call(words)
        if status:
            raise RuntimeError(f"{line}: ended with {status}: {err}")
        if "--stream" in words:
            lines = [json.loads(text) for text in out.splitlines()]
            return {"lines": len(lines), "first": kept(lines[0]), "last": kept(lines[-1])}
        found = kept(json.loads(out))
        if "--random-weights" in words:
            return {key: found[key] for key in OF_UNTRAINED}
        if group == "evaluate":
            with (Path(name) / "videos.csv").open(newline="") as file:
                found["videos"] = [_row(row) for row in csv.DictReader(file)]
    return found


def kept(found: Any, *, under: str = "") -> Any:
    """Return the part of an answer that is recorded.

    Classes become a mapping beside the first of them: the order of two that are nearly equal says
    nothing.
    """
    if isinstance(found, Mapping):
        gone = {"seconds"} if under in ("cost", "rows", "videos") else set()
        return {
            key: _classes(value) if key == "predictions" else kept(value, under=key)
            for key, value in found.items()
            if key not in LEFT_OUT | gone
        }
    if isinstance(found, list):
        return [kept(value, under=under) for value in found]
    return round(found, 8) if isinstance(found, float) else found


def _row(row: Mapping[str, str]) -> dict[str, Any]:
    """Return a line of videos.csv without clocks, numbers as numbers."""
    found: dict[str, Any] = {}
    for key, text in row.items():
        if key in LEFT_OUT or key.startswith("seconds"):
            continue
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return kept(found)


def _classes(found: list[dict[str, Any]]) -> dict[str, Any]:
    scores = {one["label"]: round(one["score"], 8) for one in found}
    return {"number": len(scores), "first": found[0]["label"], "scores": scores}


def differences(old: Any, new: Any, *, within: float, place: str = "answer") -> Iterator[str]:
    """Yield each place at which an answer is not the recorded one."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key, value in old.items():
            if key not in new:
                yield f"{place}.{key}: is gone, was {value!r}"
            else:
                yield from differences(value, new[key], within=within, place=f"{place}.{key}")
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{place}: {len(new)} entries, were {len(old)}: {new!r}, were {old!r}"
        for n, (one, other) in enumerate(zip(old, new)):
            yield from differences(one, other, within=within, place=f"{place}[{n}]")
    elif isinstance(old, float) and type(new) in (float, int):
        if not math.isclose(old, new, rel_tol=1e-6, abs_tol=within):
            yield f"{place}: {new!r}, was {old!r}"
    elif type(old) is not type(new) or old != new:
        yield f"{place}: {new!r}, was {old!r}"


def write(record: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Write the record, a case per line."""
    groups = []
    for group, answers in record.items():
        lines = [f"  {json.dumps(line)}: {json.dumps(found)}" for line, found in answers.items()]
        groups.append(f" {json.dumps(group)}: {{\n" + ",\n".join(lines) + "\n }")
    path.write_text("{\n" + ",\n".join(groups) + "\n}\n", encoding="utf-8")


def record() -> None:
    """Run every case and write what is kept."""
    found: dict[str, dict[str, Any]] = {}
    for group, lines in cases().items():
        print(f"{group}: {len(lines)}", file=sys.stderr)
        assert len(set(lines)) == len(lines), f"{group}: a case stands twice"
        found[group] = {}
        for line in lines:
            try:
                found[group][line] = answer(group, line)
            except RuntimeError as error:
                print(error, file=sys.stderr)
    write(found, GOLDEN)


if __name__ == "__main__":
    record()
