"""All studies, or some, over one manifest: what ``vidskim evaluate --study`` runs."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vidskim.answer.precision import check_precision
from vidskim.answer.recognizer import usable_device
from vidskim.backbones.files.checkpoint import read_header
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.backbones.network import Network
from vidskim.backbones.open import DEMO, demo_checkpoint, open_model
from vidskim.data.cache.answers import check_labels
from vidskim.data.folder import load_manifest
from vidskim.data.manifest import Manifest, Row
from vidskim.errors import CheckpointError, ManifestError, UsageError, printable, unknown_name
from vidskim.evaluate.benchmark import check_whole, moments_of
from vidskim.evaluate.protocol import Protocol, Views, gather_protocol
from vidskim.evaluate.studies import (
    audio,
    cascade,
    classifiers,
    combinations,
    features,
    objectives,
    positions,
    runtime,
    stride,
    sweep,
    thumbnails,
    transfer,
)
from vidskim.evaluate.studies.cases import Moments
from vidskim.evaluate.studies.entry import MissingError, Result
from vidskim.evaluate.studies.networks import find_networks
from vidskim.evaluate.studies.setting import Classifier, Setting, make_cases
from vidskim.evaluate.studies.text import LEGEND, to_csv, to_json, to_markdown
from vidskim.evaluate.studies.timing import Clock, spread_sample
from vidskim.io.write.files import all_whole, refusing
from vidskim.look.open import SamplerOptions
from vidskim.look.selection import check_k

STUDIES: dict[str, Callable[[Setting], Result]] = {
    "classifiers": classifiers.study,
    "transfer": transfer.study,
    "features": features.study,
    "objectives": objectives.study,
    "combinations": combinations.study,
    "audio": audio.study,
    "positions": positions.study,
    "thumbnails": thumbnails.study,
    "k": sweep.study_k,
    "visual_k": sweep.study_visual_k,
    "runtime": runtime.study,
    "stride": stride.study,
    "cascade": cascade.study,
}
"""What ``--study`` takes, in the order of the paper."""

SUFFIXES = (".png", ".svg")


@dataclass(frozen=True, slots=True)
class Studied:
    """What was found and under what."""

    results: tuple[Result, ...]
    missing: tuple[str, ...]
    """Studies that could not be done: which, and what makes them possible."""
    remarks: tuple[str, ...]
    """What is to be known of all numbers."""
    protocol: Protocol

    def to_text(self) -> str:
        """Return every table, its notes and the protocol below each."""
        below = ["", LEGEND, "", *(f"- {line}" for line in self._lines())]
        tables = [to_markdown(result) + "\n".join(below) for result in self.results]
        return "\n\n".join([*tables, *(f"Left out: {text}" for text in self.missing)])

    def to_json(self) -> dict[str, Any]:
        """Return the object ``vidskim evaluate --study --json`` prints."""
        return {
            "protocol": asdict(self.protocol),
            "remarks": list(self.remarks),
            "studies": [to_json(result) for result in self.results],
            "missing": list(self.missing),
        }

    def files(self, result: Result) -> dict[str, str]:
        """Return the texts of one study by file name."""
        below = "\n".join(["", LEGEND, "", *(f"- {line}" for line in self._lines()), ""])
        told = {
            "protocol": asdict(self.protocol),
            "remarks": list(self.remarks),
            **to_json(result),
        }
        return {
            f"{result.name}.md": to_markdown(result) + below,
            f"{result.name}.json": json.dumps(told, indent=2) + "\n",
            f"{result.name}.csv": to_csv(result),
        }

    def _lines(self) -> list[str]:
        return [*self.remarks, *self.protocol.lines()]


def run_studies(
    data: str | Path,
    *,
    studies: Sequence[str],
    models: Sequence[str],
    samplers: str | None = None,
    options: SamplerOptions | None = None,
    out: str | Path | None = None,
    moments: str | Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    k: int = 10,
    timed: int = 3,
    cache: str | Path | None = None,
    precision: str = "fp32",
    device: str = "cpu",
) -> Studied:
    """Run studies over the videos of a manifest.

    Args:
        data: manifest or folder.
        studies: names of `STUDIES`, or "all".
        models: the classifiers, as `vidskim.backbones.open.open_model` takes them.
        samplers: saliency networks, files and folders with commas between; None for the demo's.
        options: how the best configuration combines sight and sound.
        out: folder for tables, CSV, JSON and figures; None writes none.
        moments: manifest with one row per moment in which the class shows.
        split: of the videos that are studied; by default "test" where there is one.
        limit: only the first so many videos of it, and of the training split.
        k: clips to choose.
        timed: videos on which run time is measured, 0 for none.
        cache: folder of answers and scores; by default "cache" in ``out``.
        precision: of the classifiers.
        device: where they run.

    Raises:
        UsageError: an unknown study, no study that can be done, impossible numbers, or a folder
            that cannot be written to.
        ManifestError: unusable data.
        CheckpointError: weights that cannot be had.
    """
    names = list(STUDIES) if "all" in studies else list(dict.fromkeys(studies))
    for name in names:
        if name not in STUDIES:
            raise unknown_name("study", name, ("all", *STUDIES))
    if not names:
        raise UsageError(f"name at least one study of {', '.join(STUDIES)}, or all")
    if cache is None and out is None:
        raise UsageError("studies keep answers and scores: give --out, or --cache")
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1 video, got {limit}")
    if timed < 0:
        raise UsageError(f"run time is measured on 0 videos or more, got {timed}")
    check_k(k)
    check_precision(precision)
    usable_device(device)
    setting = open_setting(
        data,
        models=models,
        samplers=samplers,
        options=options or SamplerOptions(),
        moments=moments,
        split=split,
        limit=limit,
        k=k,
        timed=timed,
        cache=Path(cache if cache is not None else Path(str(out)) / "cache"),
        precision=precision,
        device=device,
    )
    results: list[Result] = []
    missing: list[str] = []
    for name in names:
        try:
            results.append(STUDIES[name](setting))
        except MissingError as reason:
            missing.append(f"{name}: {reason}")
    if not results:
        raise UsageError("; ".join(missing))
    studied = Studied(tuple(results), tuple(missing), remarks_of(setting), protocol_of(setting))
    if out is not None:
        write_studies(studied, Path(out))
    return studied


def open_setting(
    data: str | Path,
    *,
    models: Sequence[str],
    samplers: str | None,
    options: SamplerOptions,
    moments: str | Path | None,
    split: str | None,
    limit: int | None,
    k: int,
    timed: int,
    cache: Path,
    precision: str,
    device: str,
) -> Setting:
    """Read data and networks, and let the classifiers answer; see `run_studies`."""
    whole = load_manifest(data)
    splits = {row.split for row in whole.rows}
    chosen = split or ("test" if "test" in splits else None)
    manifest = whole if chosen is None else load_manifest(data, split=chosen)
    manifest = replace(manifest, rows=manifest.rows[:limit])
    check_whole(manifest)
    train: tuple[Row, ...] = ()
    if chosen != "train" and "train" in splits:
        train = load_manifest(data, split="train").rows[:limit]
    true = None if moments is None else moments_of(load_manifest(moments))
    networks = find_networks(samplers, residuals=options.residuals)
    problems: list[str] = []
    opened = _open_classifiers(models)
    found = [
        _answered(
            name,
            network,
            told=told,
            manifest=manifest,
            moments=true,
            cache=cache,
            precision=precision,
            device=device,
        )
        for name, network, told in opened
    ]
    answered = _common(found, manifest, problems)
    return Setting(
        manifest=manifest,
        train_rows=train,
        moments=true,
        classifiers=answered,
        networks=networks,
        clock=Clock(
            spread_sample([case.row.path for case in answered[0].cases], timed),
            precision=precision,
            device=device,
        ),
        cache=cache,
        options=options,
        k=k,
        precision=precision,
        device=device,
        problems=problems,
    )


def remarks_of(setting: Setting) -> tuple[str, ...]:
    """Return what is to be known of all numbers of a run, one line each."""
    lines = [f"K = {setting.k} clips; {setting.draws} draws of what chance decides, their mean"]
    lines += [f"classifier {c.name}: {c.told}" for c in setting.classifiers if c.told]
    timed = len(setting.clock.paths)
    lines.append(
        f"run time: mean of {timed} videos spread over the list, measured by the recognizer"
        if timed
        else "run time: not measured"
    )
    return tuple(printable(line) for line in [*lines, *setting.problems])


def protocol_of(setting: Setting) -> Protocol:
    """Return what a run was measured under; the views are the first classifier's."""
    clip = setting.classifiers[0].network.clip
    assert clip is not None
    views = Views(
        num_clips=setting.k,
        num_crops=1,
        num_frames=clip.num_frames,
        stride=clip.stride,
        size=clip.size,
    )
    return gather_protocol(
        setting.manifest,
        views=views,
        seed=setting.seed,
        precision=setting.precision,
        device=setting.device,
    )


def write_studies(studied: Studied, out: Path) -> None:
    """Write each study's .md, .csv, .json, .png and .svg; each appears only when complete.

    Raises:
        UsageError: the folder cannot be written to.
    """
    with refusing(out, what="cannot write the studies there"), all_whole(out) as temp:
        for result in studied.results:
            for name, text in studied.files(result).items():
                (temp / name).write_text(text, encoding="utf-8")
            for suffix in SUFFIXES:
                result.draw(temp / (result.name + suffix))


def _open_classifiers(models: Sequence[str]) -> list[tuple[str, Network, str]]:
    """Open the classifiers: a name that tells each from the others, the network, its accuracy."""
    models = list(dict.fromkeys(models))
    if not models:
        raise UsageError("name at least one classifier")
    names = [_name_of(model) for model in models]
    return [
        (name if names.count(name) == 1 else model, open_model(model)[0], _told_of(model))
        for model, name in zip(models, names)
    ]


def _name_of(model: str) -> str:
    path = Path(model)
    if path.suffix != ".safetensors":
        return model
    return path.parent.name if path.stem == "model" and path.parent.name else path.stem


def _told_of(model: str) -> str:
    """Return what a checkpoint tells of its accuracy on the clips that it was tested on."""
    path = demo_checkpoint("classifier") if model == DEMO else Path(model)
    try:
        metrics = read_header(path).metadata.get("metrics")
    except CheckpointError:
        return ""
    accuracy = metrics.get("test_accuracy") if isinstance(metrics, dict) else None
    if not isinstance(accuracy, int | float) or not isinstance(metrics, dict):
        return ""
    return f"{100 * accuracy:.1f} % on its test clips ({metrics.get('protocol', 'as trained')})"


def _answered(
    name: str,
    network: Network,
    *,
    told: str,
    manifest: Manifest,
    moments: Moments | None,
    cache: Path,
    precision: str,
    device: str,
) -> Classifier:
    check_labels(manifest.rows, network, name=name)
    cases = make_cases(
        network,
        manifest.rows,
        moments=moments,
        cache=cache,
        precision=precision,
        device=device,
    )
    return Classifier(name, network, weights_sha256(network), cases, told)


def _common(
    found: Sequence[Classifier], manifest: Manifest, problems: list[str]
) -> tuple[Classifier, ...]:
    """Keep the videos that every classifier has answered, so that all lines tell of the same."""
    paths = set.intersection(*({case.row.path for case in c.cases} for c in found))
    lost = [row for row in manifest.rows if row.path not in paths]
    if lost:
        problems.append(
            f"{len(lost)} of {len(manifest.rows)} videos cannot be read and are in no number, the "
            f"first: {manifest.name_of(lost[0])}"
        )
    if not paths:
        raise ManifestError("not one video can be read by all classifiers")
    return tuple(
        replace(c, cases=tuple(case for case in c.cases if case.row.path in paths)) for c in found
    )
