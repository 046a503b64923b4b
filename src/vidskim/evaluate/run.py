"""One evaluation from names to a report: what ``vidskim evaluate`` and the demo run."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vidskim.answer.build import is_faster_model
from vidskim.answer.openvino import accelerate, check_fast_options
from vidskim.answer.precision import check_precision, resolve
from vidskim.answer.recognizer import usable_device
from vidskim.backbones.contract import Backbone
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.backbones.network import Network
from vidskim.backbones.open import open_model
from vidskim.backbones.resolution import set_test_size
from vidskim.clips.views import check_crops
from vidskim.data.folder import load_manifest
from vidskim.errors import UsageError
from vidskim.evaluate.benchmark import benchmark, moments_of
from vidskim.evaluate.journal import Journal, key_of
from vidskim.evaluate.method_names import check_methods, is_trained
from vidskim.evaluate.protocol import Protocol, Views, gather_protocol
from vidskim.evaluate.report import TableRow, table, to_markdown, write_report
from vidskim.evaluate.results import MethodResult
from vidskim.look.contract import PartedSaliency
from vidskim.look.open import SamplerOptions, check_used, open_sampler, settings_of
from vidskim.model.collaborative import Collaborative
from vidskim.model.compressed import Compressed
from vidskim.model.faster import Faster
from vidskim.model.faster_methods import METHODS, open_faster
from vidskim.model.memory_methods import is_memory_model, open_memory
from vidskim.model.sfc_methods import is_sfc_model, open_sfc, set_whole_size


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


def evaluate_manifest(
    data: str | Path,
    *,
    methods: Sequence[str],
    model: str,
    k: int | None = None,
    sampler: str | None = None,
    options: SamplerOptions | None = None,
    split: str | None = None,
    moments: str | Path | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    num_crops: int = 1,
    size: int | None = None,
    precision: str = "fp32",
    fast: str | None = None,
    calibrate: Sequence[str | Path] | None = None,
    device: str = "cpu",
    title: str | None = None,
) -> Report:
    """Compare methods on a manifest's videos; `vidskim.cli.evaluate.evaluate` has the arguments.

    With ``out``, every answer is kept there in answers.jsonl as it comes: the same call goes on
    where an interrupted one stopped. The file is gone when the report is written.

    Raises:
        UsageError: an unknown method, model, precision or device, no methods, a limit below 1, an
            impossible number of crops or size.
        ManifestError: unusable data.
        CheckpointError: weights that cannot be had.
    """
    of_faster = is_faster_model(model) or any(m.partition("/")[0] in METHODS for m in methods)
    of_memory, of_sfc = is_memory_model(model), is_sfc_model(model)
    check_methods(methods, of_faster=of_faster, of_memory=of_memory, of_sfc=of_sfc)
    options = options or SamplerOptions()
    trained = any(is_trained(method) for method in methods)
    if not trained and (sampler is not None or options != SamplerOptions()):
        raise UsageError(
            f"no sampler, nor what steers one, goes with {', '.join(methods)}: leave it out, or "
            "add method 'scsampler'"
        )
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1 video, got {limit}")
    if k is not None and k < 1:
        raise UsageError(f"k must be at least 1 clip, got {k}")
    check_precision(precision)
    check_fast_options(fast, calibrate=calibrate is not None, precision=precision, device=device)
    usable_device(device)
    manifest = load_manifest(data, split=split)
    manifest = replace(manifest, rows=manifest.rows[:limit])
    told = None if moments is None else load_manifest(moments)
    where = None if told is None else moments_of(told)
    whole: Network | Faster | Collaborative | Compressed
    if of_faster:
        whole = open_faster(model)[0]
    elif of_sfc:
        whole = open_sfc(model)[0]
    else:
        whole = open_memory(model)[0] if of_memory else open_model(model)[0]
    networks = _networks(whole)
    if isinstance(whole, Compressed) and size is not None:
        set_whole_size(whole, size)
        networks = (copy.copy(whole.backbone),)  # single clips are cropped, whole frames are not
    for network in networks:
        if size is not None:
            set_test_size(network, size)
        assert network.transform is not None
        check_crops(num_crops, network.transform)
    clip = networks[0].clip
    assert clip is not None
    encoder: Backbone | Faster | Collaborative | Compressed = whole
    if fast is None:
        found = [resolve(precision, network, device=device) for network in networks]
    elif not isinstance(whole, Network):
        raise UsageError(
            "fast runs a single classifier by OpenVINO, no FASTER model, memory or compression "
            "inside: omit it"
        )
    else:
        compiled = accelerate(
            whole,
            kind=fast,
            videos=[row.path for row in manifest.rows],
            labels=[row.label for row in manifest.rows],
            calibrate=calibrate,
        )
        encoder, found = compiled, [compiled.precision]
    if k is None:
        num_clips = whole.num_clips if isinstance(whole, Faster) else 10
    else:
        num_clips = k
    views = Views(
        num_clips=num_clips,
        num_crops=num_crops,
        num_frames=clip.num_frames,
        stride=clip.stride,
        size=clip.size,
    )
    protocol = gather_protocol(
        manifest,
        views=views,
        seed=0,
        precision=" and ".join(dict.fromkeys(found)),
        device=device,
    )
    methods = tuple(dict.fromkeys(methods))
    saliency = open_sampler(sampler, options=options) if trained else None
    if saliency is not None:
        check_used(saliency, options)
    journal = None
    if out is not None:
        settings = {
            "videos": [manifest.sha256, split, limit],
            "model": _told(whole),
            "moments": None if told is None else told.sha256,
            "views": asdict(views),
            "precision": protocol.precision,
            "calibrate": None if calibrate is None else [str(path) for path in calibrate],
            "hardware": asdict(protocol.hardware),
            "versions": protocol.versions,
        }
        keys = {m: key_of(m, {**settings, "look": _look(m, saliency, options)}) for m in methods}
        journal = Journal(Path(out) / "answers.jsonl", keys=keys)
    results = benchmark(
        manifest,
        encoder=encoder,
        methods=methods,
        k=k,
        saliency=lambda: saliency or open_sampler(sampler, options=options),
        candidates=options.candidates,
        moments=where,
        num_crops=num_crops,
        precision=precision,
        device=device,
        journal=journal,
        single=networks[0],
    )
    if out is None or journal is None:
        rows = table(results, seed=protocol.seed)
    else:
        rows = write_report(results, protocol, out, title=title)
        journal.finish()
    return Report(tuple(results), tuple(rows), protocol)


def _networks(model: Network | Faster | Collaborative | Compressed) -> tuple[Network, ...]:
    if isinstance(model, Faster):
        return model.networks()
    return (model.backbone if isinstance(model, Collaborative | Compressed) else model,)


def _told(model: Network | Faster | Collaborative | Compressed) -> list[str]:
    """Return what a model's answers depend on."""
    if isinstance(model, Compressed):
        inside = [model.at, str(model.compression.options), str(model.transform)]
        inside += [str(model.segments), str(model.stride)]
        return [weights_sha256(model), *_told(model.backbone)[1:], *inside]
    if isinstance(model, Collaborative):
        network = model.backbone
        options = None if model.memory is None else model.memory.options
        input_of = f"{network.clip}, {network.transform}"
        return [weights_sha256(model), input_of, str(options), str(model.is_multilabel)]
    if not isinstance(model, Faster):
        return [weights_sha256(model), str(model.clip), str(model.transform)]
    seen = [f"{network.clip}, {network.transform}" for network in model.networks()]
    aggregator = f"{model.aggregator.name} {model.aggregator.options}"
    return [weights_sha256(model), *seen, aggregator, str(model.pattern), str(model.num_clips)]


def _look(
    method: str, saliency: PartedSaliency | None, options: SamplerOptions
) -> list[Any] | None:
    """Return what a method's choice depends on besides its name."""
    if not is_trained(method) or saliency is None:
        return None
    return [settings_of(saliency), asdict(options)]
