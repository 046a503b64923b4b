"""The demo: a synthetic set, every method on it, one table and two pictures.

Everything comes from the package and the seed; nothing is downloaded.
"""

import sys
import time
from pathlib import Path

from vidskim.answer.recognizer import Recognizer
from vidskim.backbones.open import DEMO, demo_checkpoint, open_model
from vidskim.data.folder import load_manifest
from vidskim.data.make.synthetic import CLASSES, make_synthetic
from vidskim.errors import UsageError
from vidskim.evaluate.benchmark import moments_of
from vidskim.evaluate.run import evaluate_manifest
from vidskim.look.methods import SELECTED, scsampler
from vidskim.look.open import open_sampler
from vidskim.show.storyboard import save_timeline

TRAIN_VIDEOS = 480
"""Training videos the shipped weights were made from."""

STAGES = (
    ("moments", "moments.csv", None),
    ("classifier", "trimmed.csv", "moments"),
    ("sampler", "videos.csv", None),
)
"""(recipe in vidskim/weights, manifest, the stage whose weights it starts from)."""


def run_demo(
    out: Path, *, videos: int, train: bool, seconds: tuple[float, float] = (30.0, 40.0)
) -> None:
    """Make the test videos, evaluate every method and draw the results.

    Args:
        out: folder for everything.
        videos: test videos, a multiple of the classes is balanced.
        train: first train classifier and sampler by the recipes that lie beside the shipped
            weights, on a training set made here; the answers then come from these weights.
        seconds: the test videos' shortest and longest duration.

    Raises:
        UsageError: fewer videos than classes.
    """
    if videos < len(CLASSES):
        raise UsageError(f"the demo needs at least {len(CLASSES)} videos, got {videos}")
    start = time.perf_counter()
    model, sampler = DEMO, None
    if train:
        model, sampler = _train(out)
    shortest, longest = seconds
    _say(f"1/3  making {videos} videos of {shortest:g} to {longest:g} s in {out / 'synthetic'}")
    manifest = make_synthetic(
        out / "synthetic", train=0, test=videos, min_seconds=shortest, max_seconds=longest
    )
    moments = manifest.with_name("moments.csv")
    _say("2/3  every method answers every video")
    report = evaluate_manifest(
        manifest,
        methods=(*SELECTED, "oracle"),
        model=model,
        sampler=sampler,
        moments=moments,
        out=out,
        title=f"{videos} synthetic videos, 10 clips of each",
    )
    _say("3/3  drawing one video's time line")
    _draw_one(manifest, moments, out / "timeline.png", model=model, sampler=sampler)
    print(report.to_text())
    print()
    for name in ("results.md", "results.csv", "accuracy_cost.png", "timeline.png"):
        print(f"written: {out / name}")
    _say(f"done in {time.perf_counter() - start:.0f} s")


def _draw_one(
    manifest: Path, moments: Path, picture: Path, *, model: str, sampler: str | None
) -> None:
    """Draw the first video that scsampler answers rightly (the first one if there is none)."""
    encoder, _ = open_model(model)
    recognizer = Recognizer(encoder, look=scsampler(open_sampler(sampler)))
    shown = moments_of(load_manifest(moments))
    rows = load_manifest(manifest).rows
    prediction, row = recognizer(rows[0].path), rows[0]
    for candidate in rows[1:12]:
        if prediction.label == row.label:
            break
        prediction, row = recognizer(candidate.path), candidate
    save_timeline(
        prediction,
        picture,
        moments=shown.get(str(Path(row.path).resolve())),
        title=f"{Path(row.path).name}: answered {prediction.label}",
    )


def _train(out: Path) -> tuple[str, ...]:
    """Train both networks from the recipes that the package carries; return their checkpoints."""
    from vidskim.train.recipe import read_recipe

    _say(f"making {TRAIN_VIDEOS} training videos and training on them (about an hour)")
    data = make_synthetic(out / "training", train=TRAIN_VIDEOS, test=len(CLASSES) * 10)
    for name, table, init in STAGES:
        places = {
            "--data": data.with_name(table),
            "--out": out / name,
            "--cache": out / "cache",
        }
        if init is not None:
            places["--init"] = out / init / "model.safetensors"
        recipe, run = read_recipe(
            demo_checkpoint("classifier").with_name(f"{name}.yaml"),
            overrides=[word for key, place in places.items() for word in (key, str(place))],
        )
        _say(f"training: {name}")
        run(recipe)
    return tuple(str(out / name / "model.safetensors") for name in ("classifier", "sampler"))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
