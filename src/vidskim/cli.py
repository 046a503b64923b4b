"""The command line: verbs only; what they do is in the library.

Human text goes to stdout, logs and progress to stderr, ``--json`` prints one object for machines.
Exit status: 0 done, 1 the input is unusable, 2 wrong usage.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal, cast

from jsonargparse import ArgumentParser, set_parsing_settings

from vidskim.errors import UsageError, VidskimError, unknown_name


def recognize(
    video: str,
    method: str = "motion",
    model: str = "r2plus1d_18",
    k: int = 10,
    sampler: str | None = None,
    random_weights: bool = False,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: str = "cpu",
    timeline: str | None = None,
    json: bool = False,
) -> None:
    """Recognize what happens in a video.

    Args:
        video: path of a video file.
        method: dense, uniform, random, packets, motion or scsampler.
        model: a backbone with published weights, the path of a checkpoint, or 'demo'.
        k: clips to look at closely.
        sampler: checkpoint of scsampler's saliency network (default: the demo's).
        random_weights: run the backbone untrained, to measure cost and speed only.
        precision: of the networks.
        device: where the networks run, for example 'cuda'.
        timeline: write a picture of the saliency and the chosen moments to this PNG.
        json: print one JSON object.
    """
    from vidskim import printing
    from vidskim.api import make_recognizer

    recognizer = make_recognizer(
        method=method,
        model=model,
        k=k,
        sampler=sampler,
        random_weights=random_weights,
        precision=precision,
        device=device,
    )
    prediction = recognizer(video)
    if timeline is not None:
        from vidskim.evaluate.storyboard import save_timeline

        save_timeline(prediction, timeline)
    _print(prediction.to_json() if json else printing.prediction(prediction))
    _warn(() if json else prediction.warnings)


def select(
    video: str,
    method: str = "motion",
    k: int = 10,
    unit: Literal["clip", "frame"] = "clip",
    sampler: str | None = None,
    reel: str | None = None,
    json: bool = False,
) -> None:
    """Choose the moments of a video that deserve a close look.

    Args:
        video: path of a video file.
        method: dense, uniform, random, packets, motion or scsampler.
        k: clips or frames to choose.
        unit: clips, or single frames.
        sampler: checkpoint of scsampler's saliency network (default: the demo's).
        reel: write the chosen clips, one after another, to this video file.
        json: print one JSON object.
    """
    from vidskim import api, printing

    chosen = api.select(video, method=method, k=k, unit=unit, sampler=sampler)
    if reel is not None:
        from vidskim.reel import write_reel

        write_reel(video, [c.clip for c in chosen.clips], reel)
    _print(chosen.to_json() if json else printing.selection(chosen))
    _warn(() if json else chosen.warnings)


def inspect(video: str, json: bool = False) -> None:
    """Show the streams, groups of pictures and packets of a video, without decoding it.

    Args:
        video: path of a video file.
        json: print one JSON object.
    """
    from vidskim import printing
    from vidskim.inspection import inspect_video

    report = inspect_video(video)
    _print(report.to_json() if json else printing.inspection(report))
    _warn(() if json else report.warnings)


def cost(name: str | None = None, papers: bool = False, json: bool = False) -> None:
    """Count the multiply-adds and parameters of a backbone, or check the papers' tables.

    Args:
        name: a backbone.
        papers: print the papers' figures beside ours.
        json: print JSON.
    """
    from vidskim import printing
    from vidskim.costs import cost_of, paper_rows

    if papers == (name is not None):
        raise UsageError("give the name of a backbone, or --papers")
    if papers:
        rows = paper_rows()
        _print([row.to_json() for row in rows] if json else printing.paper_costs(rows))
    else:
        counted = cost_of(str(name))
        record = {
            "name": name,
            "macs": counted.macs,
            "params": counted.params,
            "input": list(counted.input_shape),
        }
        _print(record if json else printing.cost(str(name), counted))


def models(json: bool = False) -> None:
    """List the backbones, their published weights, licenses, protocol and cost.

    Args:
        json: print one JSON list.
    """
    from vidskim import printing
    from vidskim.costs import list_models

    found = list_models()
    _print([m.to_json() for m in found] if json else printing.models(found))


def evaluate(
    data: str,
    methods: str = "dense,uniform,random,packets,motion",
    model: str = "demo",
    k: int = 10,
    sampler: str | None = None,
    split: str | None = None,
    moments: str | None = None,
    limit: int | None = None,
    out: str | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Compare methods on the videos of a manifest: accuracy, cost, time.

    Args:
        data: manifest (CSV), or a folder with one folder per class.
        methods: names with commas between: dense, uniform, random, packets, motion, scsampler,
            oracle.
        model: a backbone with published weights, the path of a checkpoint, or 'demo'.
        k: clips to look at closely.
        sampler: checkpoint of scsampler's saliency network (default: the demo's).
        split: only the rows of this split.
        moments: manifest with one row per moment in which the class shows, for precision at k.
        limit: only the first so many videos.
        out: folder for results.csv, results.md, results.json, videos.csv and the figure.
        precision: of the networks.
        device: where the networks run.
        json: print one JSON object.
    """
    from vidskim.evaluate.run import evaluate_manifest

    report = evaluate_manifest(
        data,
        methods=tuple(m.strip() for m in methods.split(",") if m.strip()),
        model=model,
        k=k,
        sampler=sampler,
        split=split,
        moments=moments,
        limit=limit,
        out=out,
        precision=precision,
        device=device,
    )
    _print(report.to_json() if json else report.to_text())


def data_synthetic(
    out: str,
    train: int = 240,
    test: int = 120,
    seed: int = 0,
    min_seconds: float = 30.0,
    max_seconds: float = 40.0,
    workers: int | None = None,
) -> None:
    """Make the synthetic set: long videos whose class shows only in short moments.

    Args:
        out: folder to write.
        train: number of training videos.
        test: number of test videos.
        seed: of everything.
        min_seconds: shortest video.
        max_seconds: longest video.
        workers: processes (default: one per core).
    """
    from vidskim.data.synthetic import make_synthetic

    manifest = make_synthetic(
        out,
        train=train,
        test=test,
        seed=seed,
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        workers=workers,
    )
    _print(f"{train + test} videos: {manifest}, moments: {manifest.with_name('moments.csv')}")


def data_scan(folder: str, out: str | None = None, test_share: float = 0.2, seed: int = 0) -> None:
    """Make a manifest of a folder with one folder per class.

    Args:
        folder: the folder.
        out: the manifest to write (default: print it).
        test_share: share of each class that is put aside for testing.
        seed: decides which.
    """
    from vidskim.data.manifest import to_csv, write_manifest
    from vidskim.data.scan import scan

    manifest = scan(folder, test_share=test_share, seed=seed)
    if manifest.note:
        print(manifest.note, file=sys.stderr)
    if out is None:
        sys.stdout.write(to_csv(manifest.rows, root=Path(folder)))
        return
    write_manifest(manifest.rows, out)
    _print(f"{len(manifest.rows)} videos of {len(manifest.classes)} classes: {out}")


def demo(out: str = "demo", videos: int = 108, train: bool = False) -> None:
    """Make the synthetic set, compare all methods on it and draw what they found.

    Args:
        out: folder for videos, table, figure and time line.
        videos: test videos to make.
        train: train the shipped classifier and sampler again first (about an hour on two cores).
    """
    from vidskim.demo import run_demo

    run_demo(Path(out), videos=videos, train=train)


Verb = Callable[..., None]

VERBS: dict[str, Verb | dict[str, Verb]] = {
    "recognize": recognize,
    "select": select,
    "inspect": inspect,
    "cost": cost,
    "models": models,
    "evaluate": evaluate,
    "data": {"synthetic": data_synthetic, "scan": data_scan},
    "demo": demo,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    argv = [_underscored(a) for a in (sys.argv[1:] if arguments is None else arguments)]
    warnings.filterwarnings("ignore", module="lightning")
    try:
        if argv and argv[0] == "train":
            from vidskim.train.recipe import run_recipe

            _print(run_recipe(argv[1:]))
        else:
            _dispatch(argv)
        sys.stdout.flush()
    except VidskimError as error:
        print(f"vidskim: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("vidskim: interrupted", file=sys.stderr)
        return 130
    return 0


def _dispatch(argv: Sequence[str]) -> None:
    set_parsing_settings(docstring_parse_attribute_docstrings=False)
    parser = ArgumentParser(
        prog="vidskim",
        description="Skim the whole video, look closely only where it matters.",
        version=_version(),
    )
    commands = parser.add_subcommands(dest="verb")
    groups: dict[str, ArgumentParser] = {}
    for name, verb in VERBS.items():
        if isinstance(verb, dict):
            groups[name] = ArgumentParser(description=f"{' or '.join(verb)}")
            commands.add_subcommand(name, groups[name], help=f"{' or '.join(verb)}")
        else:
            commands.add_subcommand(name, _parser_of(verb), help=_summary(verb))
    for name, group in groups.items():
        inner = group.add_subcommands(dest="what")
        for part, function in cast("dict[str, Verb]", VERBS[name]).items():
            inner.add_subcommand(part, _parser_of(function), help=_summary(function))
    commands.add_subcommand("train", ArgumentParser(), help="Train what a recipe describes.")
    if argv and not argv[0].startswith("-") and argv[0] not in (*VERBS, "train"):
        raise unknown_name("command", argv[0], [*VERBS, "train"])
    if not argv:
        parser.print_help()
        raise UsageError("give a command")
    values = parser.parse_args(list(argv)).as_dict()
    verb = VERBS[values["verb"]]
    chosen = values[values["verb"]]
    if isinstance(verb, dict):
        verb, chosen = verb[chosen["what"]], chosen[chosen["what"]]
    names = signature(verb).parameters
    verb(**{name: value for name, value in chosen.items() if name in names})


def _parser_of(function: Verb) -> ArgumentParser:
    """Return a parser with the function's arguments: required ones by position, bools as flags."""
    parser = ArgumentParser(description=_summary(function))
    texts = _argument_texts(function)
    for name, parameter in signature(function).parameters.items():
        text = texts.get(name, "")
        if parameter.annotation is bool:
            parser.add_argument(f"--{name}", action="store_true", help=text)
        elif parameter.default is Parameter.empty and not (function is evaluate and name == "data"):
            parser.add_argument(name, type=parameter.annotation, help=text)
        elif parameter.default is Parameter.empty:
            parser.add_argument(f"--{name}", type=parameter.annotation, required=True, help=text)
        elif function is cost and name == "name":
            parser.add_argument(name, type=parameter.annotation, nargs="?", help=text)
        else:
            parser.add_argument(
                f"--{name}", type=parameter.annotation, default=parameter.default, help=text
            )
    return parser


def _argument_texts(function: Verb) -> dict[str, str]:
    """Read the Args section of a docstring."""
    texts: dict[str, str] = {}
    current = ""
    for line in (function.__doc__ or "").partition("Args:")[2].splitlines():
        head, colon, rest = line.strip().partition(": ")
        if colon and line.startswith(" " * 8) and not line.startswith(" " * 9):
            current = head
            texts[current] = rest
        elif current and line.strip():
            texts[current] += " " + line.strip()
    return texts


def _summary(function: Verb) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]


def _underscored(argument: str) -> str:
    """Let ``--random-weights`` stand for ``--random_weights``."""
    if not argument.startswith("--") or argument == "--":
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def _version() -> str:
    from vidskim import __version__

    return __version__


def _print(result: Any) -> None:
    print(result if isinstance(result, str) else json.dumps(result, allow_nan=False))


def _warn(messages: Sequence[str]) -> None:
    for message in messages:
        print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
