"""One evaluation from names to a report: what ``vidskim evaluate`` and the demo run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any, Unpack

from torch import nn

from vidskim.answer.build import Ask, accelerated, as_built, ask_of, sampler_of
from vidskim.answer.openvino import check_fast_options
from vidskim.answer.precision import resolve
from vidskim.answer.recognizer import Runtime, usable_device
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.backbones.open import DEMO
from vidskim.clips.views import check_crops
from vidskim.data.folder import load_manifest
from vidskim.data.manifest import Manifest
from vidskim.declare import check_path, given
from vidskim.errors import UsageError
from vidskim.evaluate.benchmark import benchmark, moments_of
from vidskim.evaluate.journal import Journal, key_of
from vidskim.evaluate.lineup import check_methods, is_trained, name_of
from vidskim.evaluate.protocol import Protocol, Views, gather_protocol
from vidskim.evaluate.report import TableRow, table, to_markdown, write_report
from vidskim.evaluate.results import MethodResult
from vidskim.look.cascade import Strided
from vidskim.look.look import Look
from vidskim.look.open import SamplerOptions, settings_of
from vidskim.look.sampler import Sampler
from vidskim.model.compose import Parts, compose
from vidskim.model.compressed import Compressed, bare_of
from vidskim.model.load import open_any
from vidskim.model.model import Model
from vidskim.options import EvaluateOptions

METHODS = ("dense", "uniform", "random", "packets", "motion")
"""Evaluated where none are named."""


@dataclass(frozen=True, slots=True)
class Report:
    """The results of an evaluation and what they were measured under."""

    results: tuple[MethodResult, ...]
    rows: tuple[TableRow, ...]
    protocol: Protocol

    def to_text(self) -> str:
        """Return the table as Markdown, the protocol below."""
        return to_markdown(self.rows, protocol=self.protocol).rstrip("\n")

    def to_json(self) -> dict[str, Any]:
        """Return the object ``vidskim evaluate --json`` prints."""
        return {"protocol": asdict(self.protocol), "rows": [row.to_json() for row in self.rows]}


@dataclass(frozen=True, slots=True)
class Videos:
    """What is evaluated: a manifest's videos, and where their classes show.

    Attributes:
        data: manifest (CSV), or a folder with one folder per class.
        split: only the rows of this split.
        limit: only the first so many.
        moments: manifest with one row per moment in which the class shows, for precision at k.
    """

    data: str | Path
    split: str | None = None
    limit: int | None = None
    moments: str | Path | None = None

    def load(self) -> tuple[Manifest, Manifest | None]:
        """Return the videos and their moments.

        Raises:
            UsageError: a limit below 1.
            ManifestError: unusable data.
        """
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit must be at least 1 video, got {self.limit}")
        manifest = load_manifest(self.data, split=self.split)
        manifest = replace(manifest, rows=manifest.rows[: self.limit])
        return manifest, None if self.moments is None else load_manifest(self.moments)


def evaluate_manifest(
    data: str | Path, *, title: str | None = None, **options: Unpack[EvaluateOptions]
) -> Report:
    """Compare methods on the videos of a manifest.

    With ``out``, every answer is kept there in answers.jsonl as it comes: the same call goes on
    where an interrupted one stopped. The file is gone when the report is written.

    Args:
        data: manifest (CSV), or a folder with one folder per class.
        title: of the report.
        **options: see `vidskim.options.EvaluateOptions`.

    Raises:
        UsageError: an unknown method, model, precision or device, no methods, a limit below 1, an
            impossible number of crops or size.
        ManifestError: unusable data.
        CheckpointError: weights that cannot be had.
    """
    check_path(data, what="a manifest or folder")
    asked = as_built(given(options, EvaluateOptions))
    methods, model = _words(asked.pop("methods", METHODS)), asked.pop("model", DEMO)
    split, limit, out = (asked.pop(key, None) for key in ("split", "limit", "out"))
    moments = asked.pop("moments", None)
    check_methods(methods)
    ask = ask_of(**asked)
    check_ask(ask, methods)
    usable_device(ask.runtime.device)
    videos = Videos(data, split, limit, moments)
    manifest, told = videos.load()
    whole = open_any(model, random_weights=ask.random_weights)
    if ask.fast is not None:
        whole = compose(whole, Parts(size=ask.size))
        ask = replace(ask, size=None)
    if ask.fast is None:
        precision = _precision(whole, ask.runtime)
    else:
        rows = manifest.rows
        timed = replace(ask, videos=[row.path for row in rows])
        whole = accelerated(whole, timed, labels=[row.label for row in rows])
        precision = whole.networks[0].precision
        ask = replace(ask, fast=None, calibrate=None)
    views = views_of(whole, ask)
    protocol = gather_protocol(
        manifest, views=views, seed=0, precision=precision, device=ask.runtime.device
    )
    if any(is_trained(method, ask) for method in methods):
        ask = replace(ask, sampler=sampler_of(ask))
    journal = None
    if out is not None:
        settings = {
            "videos": [manifest.sha256, split, limit],
            "model": fingerprint(whole),
            "moments": None if told is None else told.sha256,
            "views": asdict(views),
            "precision": protocol.precision,
            "calibrate": [str(path) for path in asked.get("calibrate") or ()],
            "options": {key: _identity(asked[key]) for key in sorted(asked) if key != "sampler"},
            "hardware": asdict(protocol.hardware),
            "versions": protocol.versions,
        }
        keys = {
            name: key_of(name, {**settings, "look": _look(method, ask)})
            for name, method in zip(map(name_of, methods), methods, strict=True)
        }
        journal = Journal(Path(out) / "answers.jsonl", keys=keys)
    results = benchmark(
        manifest,
        model=whole,
        methods=methods,
        ask=ask,
        moments=None if told is None else moments_of(told),
        journal=journal,
    )
    if out is None or journal is None:
        shown = table(results, seed=protocol.seed)
    else:
        shown = write_report(results, protocol, out, title=title)
        journal.finish()
    return Report(tuple(results), tuple(shown), protocol)


def _words(methods: str | Sequence[str | Look]) -> list[str | Look]:
    """Return methods, each name once; of a text, those with commas between."""
    given = methods.split(",") if isinstance(methods, str) else list(methods)
    names = [method.strip() if isinstance(method, str) else method for method in given]
    kept: list[str | Look] = []
    for method in names:
        if method != "" and not (isinstance(method, str) and method in kept):
            kept.append(method)
    return kept


def check_ask(ask: Ask, methods: Sequence[str | Look]) -> None:
    """Raise for options that mean nothing to the methods, before anything is read.

    Raises:
        UsageError: a sampler that no method uses, k below 1, an impossible ``fast``.
    """
    trained = any(is_trained(method, ask) for method in methods)
    if not trained and (ask.sampler is not None or ask.options != SamplerOptions()):
        names = ", ".join(map(name_of, methods))
        raise UsageError(
            f"no sampler, nor what steers one, goes with {names}: leave it out, or add method "
            "'scsampler'"
        )
    if ask.k is not None and ask.k < 1:
        raise UsageError(f"k must be at least 1 clip, got {ask.k}")
    check_fast_options(
        ask.fast,
        calibrate=ask.calibrate is not None,
        precision=ask.runtime.precision,
        device=str(ask.runtime.device),
    )


def views_of(model: Model, ask: Ask) -> Views:
    """Return what of a video the methods encode.

    Raises:
        UsageError: crops that an encoder's transform does not give.
    """
    bare = [bare_of(encoder) for encoder in model.networks]
    for encoder in bare:
        check_crops(ask.runtime.crops, encoder.transform)
    clip = bare[0].clip
    default = model.card.num_clips if len(bare) > 1 else 10
    return Views(
        num_clips=default if ask.k is None else ask.k,
        num_crops=ask.runtime.crops,
        num_frames=clip.num_frames,
        stride=clip.stride,
        size=clip.size if ask.size is None else (ask.size, ask.size),
    )


def _precision(model: Model, runtime: Runtime) -> str:
    """Return what the networks run in."""
    bare = [bare_of(encoder) for encoder in model.networks]
    found = [resolve(runtime.precision, e, device=runtime.device) for e in bare]
    return " and ".join(dict.fromkeys(found))


def fingerprint(model: Model) -> list[str]:
    """Return what a model's answers depend on."""
    seen = [f"{encoder.clip}, {encoder.transform}" for encoder in model.networks]
    inside = [
        f"{e.at} {e.compression.options} {e.segments} {e.stride}"
        for e in model.networks
        if isinstance(e, Compressed)
    ]
    parts = [str(getattr(part, "options", "")) for part in (model.context, model.aggregator)]
    return [weights_sha256(model), *seen, *inside, *parts, str(model.card)]


def _look(method: str | Look, ask: Ask) -> list[Any] | None:
    """Return what a method's choice depends on besides its name."""
    if isinstance(method, Look):
        return [_identity(method)]
    if not is_trained(method, ask):
        return None
    sampler: Any = ask.sampler
    is_ours = isinstance(sampler, Sampler | Strided)
    return [settings_of(sampler) if is_ours else _identity(sampler), asdict(ask.options)]


def _identity(value: object) -> str:
    """Return what tells an option from another; of an object of your own, in this process only."""
    if isinstance(value, nn.Module):
        return f"{value} {weights_sha256(value)}"
    plain = (str, int, float, Path, SamplerOptions, list, tuple)
    return str(value) if value is None or isinstance(value, plain) else token_hex()
