"""One evaluation from names to a report: what ``vidskim evaluate`` and the demo run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vidskim.data.scan import load_manifest
from vidskim.errors import UsageError, unknown_name
from vidskim.evaluate.benchmark import EVALUATED, benchmark, moments_of
from vidskim.evaluate.protocol import Protocol, Views, gather_protocol
from vidskim.evaluate.report import TableRow, table, to_markdown, write_report
from vidskim.evaluate.results import MethodResult
from vidskim.models import open_model, open_sampler


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
        return {"protocol": asdict(self.protocol), "rows": [asdict(row) for row in self.rows]}


def evaluate_manifest(
    data: str | Path,
    *,
    methods: Sequence[str],
    model: str,
    k: int = 10,
    sampler: str | None = None,
    split: str | None = None,
    moments: str | Path | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    precision: str = "fp32",
    device: str = "cpu",
    title: str | None = None,
) -> Report:
    """Compare methods on the videos of a manifest; see `vidskim.cli.evaluate` for the arguments.

    Raises:
        UsageError: an unknown method or model, no methods, a limit below 1.
        ManifestError: unusable data.
        CheckpointError: weights that cannot be had.
    """
    if not methods:
        raise UsageError(f"name at least one method of {', '.join(EVALUATED)}")
    for method in methods:
        if method not in EVALUATED:
            raise unknown_name("method", method, EVALUATED)
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1 video, got {limit}")
    if k < 1:
        raise UsageError(f"k must be at least 1 clip, got {k}")
    manifest = load_manifest(data, split=split)
    manifest = replace(manifest, rows=manifest.rows[:limit])
    where = None if moments is None else moments_of(load_manifest(moments))
    encoder, _ = open_model(model)
    assert encoder.clip is not None
    views = Views(
        num_clips=k,
        num_crops=1,
        num_frames=encoder.clip.num_frames,
        stride=encoder.clip.stride,
        size=encoder.clip.size,
    )
    results = benchmark(
        manifest,
        encoder=encoder,
        methods=tuple(dict.fromkeys(methods)),
        k=k,
        saliency=lambda: open_sampler(sampler),
        moments=where,
        precision=precision,
        device=device,
    )
    protocol = gather_protocol(manifest, views=views, seed=0, precision=precision, device=device)
    if out is None:
        rows = table(results, seed=protocol.seed)
    else:
        rows = write_report(results, protocol, out, title=title)
    return Report(tuple(results), tuple(rows), protocol)
