"""The command line: verbs only; what they do is in the library, how they end in `console`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from vidskim.cli import console
from vidskim.cli.arguments import Verb, call, spelled, summary
from vidskim.cli.cost import cost
from vidskim.cli.evaluate import evaluate
from vidskim.cli.recognize import recognize
from vidskim.cli.select import select
from vidskim.cli.words import words_of
from vidskim.errors import UsageError, unknown_name


def inspect(video: str, /, json: bool = False) -> None:
    """Show the streams, groups of pictures and packets of a video, without decoding it.

    Args:
        video: path of a video file.
        json: print one JSON object.
    """
    from vidskim.show import text as printing
    from vidskim.show.inspect import inspect_video

    report = inspect_video(video)
    console.show(report.to_json() if json else printing.inspection(report))
    console.warn(() if json else report.warnings)


def models(name: str | None = None, /, json: bool = False) -> None:
    """List the backbones, their published weights, licenses, protocol and cost.

    Args:
        name: a backbone, for all weights that are published for it and where they come from.
        json: print one JSON list, with a name one object.
    """
    from vidskim.show.models import shipped_models

    table = shipped_models()
    if name is None:
        console.show(table["records" if json else "text"])
        return
    if "@" in name:
        from vidskim.cost.zoo import find_model
        from vidskim.show import text as printing

        found = find_model(name)
        console.show(found.to_json() if json else printing.model(found))
        return
    records = {record["name"]: record for record in table["records"]}
    if name not in records:
        raise unknown_name("backbone", name, records)
    console.show(records[name] if json else table["pages"][name])


def train(words: Sequence[str], /) -> None:
    """Train what a recipe describes.

    Args:
        words: the recipe, then ``--key value`` for each value to replace.
    """
    from vidskim.train.recipe import run_recipe

    told = run_recipe(words)
    if told:
        console.show(told)


def data_synthetic(
    out: str,
    /,
    kind: str = "moments",
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
        kind: "moments" (twelve classes, told by their moments) or "pairs" (three, told by which
            moments occur together; no single clip tells them).
        train: number of training videos.
        test: number of test videos.
        seed: of everything.
        min_seconds: shortest video.
        max_seconds: longest video.
        workers: processes (default: one per core).
    """
    from vidskim.data.make.synthetic import make_synthetic

    manifest = make_synthetic(
        out,
        kind=kind,
        train=train,
        test=test,
        seed=seed,
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        workers=workers,
    )
    console.show(f"{train + test} videos: {manifest}, moments: {manifest.with_name('moments.csv')}")


def data_untrim(
    source: str,
    out: str,
    /,
    background: str,
    classes: str | None = None,
    seed: int = 0,
    train: int | None = None,
    test: int | None = None,
    min_seconds: float = 20.0,
    max_seconds: float = 60.0,
    min_share: float = 0.10,
    max_share: float = 0.25,
    workers: int | None = None,
) -> None:
    """Compose untrimmed videos of trimmed clips, by stream copy.

    Args:
        source: manifest of trimmed clips with splits, best with source groups.
        out: folder to write.
        background: classes that fill the videos, with commas between.
        classes: classes that the videos are about (default: all others).
        seed: of everything.
        train: number of training videos (default: 20 a class, at least 240).
        test: number of test videos (default: 10 a class, at least 160).
        min_seconds: shortest video.
        max_seconds: longest video.
        min_share: least part of a video that shows its class.
        max_share: largest part of a video that shows its class.
        workers: processes (default: one per core).
    """
    from vidskim.data.make.compose import Form
    from vidskim.data.make.untrim import make_untrimmed

    made = make_untrimmed(
        source,
        out,
        background=words_of(background),
        classes=None if classes is None else words_of(classes),
        form=Form(min_seconds, max_seconds, min_share, max_share),
        seed=seed,
        videos={"train": train, "test": test},
        workers=workers,
    )
    console.warn(made.notes)
    console.show(
        f"{made.num_videos} videos, {made.num_bytes / 1e6:.0f} MB: {made.manifest}, moments: "
        f"{made.manifest.with_name('moments.csv')}"
    )


def data_scan(
    folder: str, /, out: str | None = None, test_share: float = 0.2, seed: int = 0
) -> None:
    """Make a manifest of a folder with one folder per class.

    Args:
        folder: the folder.
        out: the manifest to write (default: print it).
        test_share: share of each class that is put aside for testing.
        seed: decides which.
    """
    from vidskim.data.folder import scan
    from vidskim.data.manifest import to_csv, write_manifest

    manifest = scan(folder, test_share=test_share, seed=seed)
    if manifest.note:
        print(manifest.note, file=sys.stderr)
    if out is None:
        sys.stdout.write(to_csv(manifest.rows, root=Path(folder)))
        return
    write_manifest(manifest.rows, out)
    console.show(f"{len(manifest.rows)} videos of {len(manifest.classes)} classes: {out}")


def data_official(
    kind: str,
    annotations: str,
    out: str,
    /,
    videos: str,
    classes: str | None = None,
    pack: str | None = None,
    split: str | None = None,
) -> None:
    """Make a manifest of official annotation files: Kinetics, Charades, Something-Something.

    Args:
        kind: kinetics (400, 600 or 700), charades, or something (version 1 or 2).
        annotations: the official files, with commas between.
        out: the manifest to write.
        videos: the folder that holds the videos.
        classes: Charades_v1_classes.txt, for readable labels of charades.
        pack: folder for videos made of the JPEG frames of something, version 1.
        split: train, val or test for each file, with commas between (default: as the file or its
            name says).
    """
    from vidskim.data.manifest import write_manifest
    from vidskim.data.official.read import read_official

    console.check_output(out, option="OUT", suffixes=(".csv",))
    files = words_of(annotations)
    if Path(out).resolve() in map(Path.resolve, map(Path, files)):
        raise UsageError(f"OUT {out}: is one of the annotation files; give another name")
    manifest = read_official(
        files,
        kind=kind,
        videos=videos,
        classes=classes,
        pack=pack,
        splits=None if split is None else words_of(split),
    )
    print(manifest.note, file=sys.stderr)
    write_manifest(manifest.rows, out)
    console.show(f"{len(manifest.rows)} videos of {len(manifest.classes)} classes: {out}")


def demo(out: str = "demo", videos: int = 108, train: bool = False) -> None:
    """Make the synthetic set, compare all methods on it and draw what they found.

    Args:
        out: folder for videos, table, figure and time line.
        videos: test videos to make.
        train: train the shipped classifier and sampler again first (about an hour on two cores).
    """
    from vidskim.cli.demo import run_demo

    run_demo(Path(out), videos=videos, train=train)


def completion(shell: str, /) -> None:
    """Print what a shell reads to complete commands, options and values.

    Args:
        shell: bash, zsh or fish; for example: eval "$(vidskim completion bash)".
    """
    from vidskim.cli.completion import completion_script

    console.show(completion_script(shell, VERBS))


VERBS: dict[str, Verb | dict[str, Verb]] = {
    "recognize": recognize,
    "select": select,
    "inspect": inspect,
    "cost": cost,
    "models": models,
    "train": train,
    "evaluate": evaluate,
    "data": {
        "synthetic": data_synthetic,
        "untrim": data_untrim,
        "scan": data_scan,
        "official": data_official,
    },
    "demo": demo,
    "completion": completion,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    return console.run(_dispatch, list(sys.argv[1:] if arguments is None else arguments))


def _dispatch(argv: Sequence[str]) -> None:
    """Find the verb, read its arguments, run it."""
    if not argv:
        print(_help(), file=sys.stderr)
        raise UsageError("give a command, for example 'vidskim recognize video.mp4'")
    if argv[0] in ("-h", "--help"):
        console.show(_help())
        return
    if argv[0] == "--version":
        console.show(f"vidskim {_version()}")
        return
    if any(word == "" or (word.startswith("--") and word.endswith("=")) for word in argv):
        raise UsageError("an argument is empty: give a value or leave it out")
    name, *words = argv
    if name not in VERBS:
        raise unknown_name("command", name, VERBS)
    verb = VERBS[name]
    if isinstance(verb, dict):
        if not words:
            raise UsageError(f"give a command: 'vidskim {name} {'|'.join(verb)}'")
        part, *words = words
        if part in ("-h", "--help"):
            console.show("\n".join(f"vidskim {name} {p}: {summary(f)}" for p, f in verb.items()))
            return
        if part not in verb:
            raise unknown_name(f"command after '{name}'", part, verb)
        name, verb = f"{name} {part}", verb[part]
    if verb is train:
        train([spelled(word, "-", "_") for word in words])
        return
    call(verb, words, name=name)


def _help() -> str:
    """Return what ``vidskim --help`` prints."""
    flat: list[tuple[str, Verb]] = []
    for name, verb in VERBS.items():
        if isinstance(verb, dict):
            flat += [(f"{name} {part}", function) for part, function in verb.items()]
        else:
            flat.append((name, verb))
    lines = [f"  {name:15} {summary(function)}" for name, function in flat]
    return "\n".join(
        [
            "usage: vidskim COMMAND ... [--json]",
            "",
            "Skim the whole video, look closely only where it matters.",
            "",
            *lines,
            "",
            "'vidskim COMMAND --help' tells its arguments, 'vidskim --version' the version.",
        ]
    )


def _version() -> str:
    from vidskim import __version__

    return __version__


if __name__ == "__main__":
    sys.exit(main())
