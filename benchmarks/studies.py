"""SCSampler's studies from nothing: data, classifiers, samplers, tables. Each step is one command.

    python benchmarks/studies.py synthetic
    python benchmarks/studies.py jhmdb8 --labels "$VIDSKIM_DATA/jhmdb21/labels.csv" --seed 0

prints the commands and runs those that are not done; a killed run goes on where it stopped. Data,
weights and caches go to --work, tables and figures to benchmarks/results/scsampler/SET-SEED. The
samplers are trained once, on the set of seed 0; other seeds compose other videos and answer them
with the same networks. `--dry` prints only.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BACKGROUND = "walk,stand,sit"
EIGHT = "pullup,golf,shoot_bow,brush_hair,climb_stairs,swing_baseball,clap,pour"
LIGHT = ["--network", "shufflenet_26", "--width", "16", "--steps", "800"]


@dataclass(frozen=True)
class Step:
    """One command, and the file by which it is known to be done."""

    words: tuple[str, ...]
    made: Path | None = None


@dataclass
class Plan:
    """All commands of a set."""

    work: Path
    cache: Path
    steps: list[Step] = field(default_factory=list)

    def add(self, *words: object, made: Path | None = None) -> None:
        """Add one vidskim command."""
        self.steps.append(Step(("vidskim", *map(str, words)), made))

    def train(self, recipe: str, out: Path, *words: object) -> Path:
        """Add a training and return its checkpoint."""
        model = out / "model.safetensors"
        self.add("train", ROOT / "recipes" / recipe, "--out", out, "--cache", self.cache, *words,
                 made=out / "metrics.json")  # fmt: skip
        return model


def jhmdb(work: Path, *, classes: str | None, labels: str, seed: int, wide: Path | None) -> Plan:
    """Plan JHMDB-Untrimmed, of all action classes or of some.

    Args:
        work: folder of the form.
        classes: the classes, None for all but the background.
        labels: JHMDB's manifest.
        seed: of the composition.
        wide: the classifier of all classes that the one of some starts from.
    """
    plan = Plan(work, work.parent / "cache")
    sets = {number: work / f"set{number}" for number in {0, seed}}
    for number, folder in sorted(sets.items()):
        only = [] if classes is None else ["--classes", classes]
        plan.add("data", "untrim", labels, folder, "--background", BACKGROUND, *only, "--seed",
                 number, made=folder / "videos.csv")  # fmt: skip
    trimmed = ["--data", sets[0] / "trimmed.csv"]
    start: list[object] = []
    if wide is not None:
        start = ["--init", wide, "--steps", 800, "--learning_rate", 0.0005]
    first = plan.train("jhmdb/untrimmed_r3d.yaml", work / "r3d", *trimmed, *start)
    second = plan.train("jhmdb/untrimmed_r2plus1d.yaml", work / "r2plus1d", *trimmed)
    data = ["--data", sets[0] / "videos.csv", "--moments", sets[0] / "moments.csv"]
    samplers = work / "samplers"
    # The paper's networks are pretrained on ImageNet; here the ranking ones start from those of AC.
    for feature in ("motion", "residual", "keyframe"):
        recipe = f"scsampler/untrimmed_{feature}.yaml"
        alone = [*data, "--num_frames", 8, "--stride", 2]  # AC needs no classifier, only its grid
        plan.train(recipe, samplers / f"{feature}_ac", *alone)
        plan.train(recipe, samplers / f"{feature}_ac_light", *alone, *LIGHT)
        if feature != "keyframe":
            for objective in ("sal_cl", "sal_rank"):
                out = samplers / f"{feature}_{objective}"
                ranked = ["--classifier", first, "--objective", objective, "--steps", 800]
                ranked += ["--init", samplers / f"{feature}_ac/model.safetensors"]
                plan.train(recipe, out, *data, *ranked, "--batch_size", 64)
    other = [*data, "--classifier", second, "--objective", "sal_rank", "--steps", 800]
    other += ["--batch_size", 64]
    plan.train("scsampler/untrimmed_motion.yaml", samplers / "motion_sal_rank_other", *other)
    _studies(plan, sets[seed], [first, second], samplers, name=f"{work.name}-{seed}")
    return plan


def synthetic(work: Path, *, seed: int) -> Plan:
    """Plan the synthetic set with the shipped classifier."""
    plan = Plan(work, work.parent / "cache")
    folder = work / "set0"
    plan.add("data", "synthetic", folder, made=folder / "videos.csv")
    samplers = work / "samplers"
    data = ["--data", folder / "videos.csv", "--moments", folder / "moments.csv"]
    data += ["--classifier", "demo"]
    for feature in ("motion", "residual", "keyframe", "audio"):
        recipe = f"scsampler/{feature}.yaml"
        for objective in ("ac", "sal_cl", "sal_rank"):
            if feature == "keyframe" and objective != "ac":
                continue
            ranked = [] if objective == "ac" else ["--steps", 600, "--batch_size", 64]
            out = samplers / f"{feature}_{objective}"
            plan.train(recipe, out, *data, "--objective", objective, *ranked)
        if feature != "audio":
            plan.train(recipe, samplers / f"{feature}_ac_light", *data, *LIGHT)
    visual = ",".join(str(samplers / f"{f}_ac/model.safetensors") for f in ("motion", "residual"))
    plan.add("train", ROOT / "recipes/scsampler/joint.yaml", *data, "--visual", visual, "--audio",
             samplers / "audio_sal_rank/model.safetensors", "--out", samplers / "joint", "--cache",
             plan.cache, made=samplers / "joint/metrics.json")  # fmt: skip
    _studies(plan, folder, ["demo"], samplers, name=f"synthetic-{seed}")
    return plan


def _studies(
    plan: Plan, folder: Path, models: Sequence[object], samplers: Path, *, name: str
) -> None:
    out = ROOT / "benchmarks/results/scsampler" / name
    plan.add("evaluate", "--data", folder / "videos.csv", "--moments", folder / "moments.csv",
             "--split", "test", "--model", ",".join(map(str, models)), "--samplers", samplers,
             "--study", "all", "--cache", plan.cache, "--out", out)  # fmt: skip


def main() -> None:
    """Run what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=("synthetic", "jhmdb8", "jhmdb18"))
    parser.add_argument("--labels", help="JHMDB's labels.csv")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/studies"))
    parser.add_argument("--until", default="", help="stop before the first step with this word")
    parser.add_argument("--dry", action="store_true", help="print the commands only")
    options = parser.parse_args()
    work = options.work.resolve() / options.set
    if options.set == "synthetic":
        plan = synthetic(work, seed=options.seed)
    elif options.labels is None:
        parser.error("give JHMDB's labels.csv as --labels")
    elif options.set == "jhmdb8":
        wide = work.parent / "jhmdb18/r3d/model.safetensors"
        plan = jhmdb(work, classes=EIGHT, labels=options.labels, seed=options.seed, wide=wide)
    else:
        plan = jhmdb(work, classes=None, labels=options.labels, seed=options.seed, wide=None)
    for step in plan.steps:
        done = step.made is not None and step.made.exists()
        print(f"{'# done: ' if done else ''}{shlex.join(step.words)}", flush=True)
        if options.until and options.until in step.words:
            return
        if not done and not options.dry:
            start = time.perf_counter()
            command = [sys.executable, "-m", "vidskim", *step.words[1:]]
            subprocess.run(command, check=True, env={**os.environ})
            print(f"# {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
