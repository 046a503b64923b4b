"""The table of methods as CSV, Markdown, JSON and a figure, with the protocol it was made under."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from vidskim.evaluate.metrics import Interval
from vidskim.evaluate.protocol import Protocol
from vidskim.evaluate.results import MethodResult, VideoResult
from vidskim.evaluate.table import BASELINES, TableRow, table
from vidskim.io.write.files import all_whole, refusing
from vidskim.show.tables import csv_of, markdown_of, short

__all__ = ["TableRow", "table", "to_csv", "to_json", "to_markdown", "videos_to_csv", "write_report"]

LEGEND = """\
accuracy: share of videos, with its 95 % bootstrap interval over videos; vs: difference on the same
videos, paired interval, * where it excludes zero; GMACs: 1e9 multiply-adds per video, all networks
(the look's share); s/video: wall seconds, decoding included; speed-up: dense's total seconds over
the method's; P@K: share of the chosen clips that meet a true moment."""

LEGEND_OF_SEVERAL = """\
Several classes may be true of a video. accuracy: the best class is one of them; mAP: average
precision of each class over the videos, averaged over the classes that occur, with its 95 % basic
bootstrap interval over videos; vs: difference of mAP."""


def to_markdown(rows: Sequence[TableRow], *, protocol: Protocol | None = None) -> str:
    """Return an aligned Markdown table that also reads well on a terminal.

    Args:
        rows: as `table` returns them.
        protocol: printed below, if given.
    """
    models = len({row.model for row in rows}) > 1
    cells = [_cells(row, first=rows[0].method, with_model=models) for row in rows]
    parts = [markdown_of(cells, left=("model",)), "", LEGEND]
    of_several = any(row.mean_average_precision is not None for row in rows)
    if of_several:
        parts.append(LEGEND_OF_SEVERAL)
    failed = [f"{row.method}: {row.num_failed}" for row in rows if row.num_failed]
    if failed:
        how = "counted as wrong and ranked last" if of_several else "counted as wrong"
        parts.append(f"Videos without an answer, {how}: {', '.join(failed)}.")
    if protocol is not None:
        parts += ["", *(f"- {text}" for text in protocol.lines())]
    return "\n".join(parts) + "\n"


def to_csv(rows: Sequence[TableRow]) -> str:
    """Return one CSV line per method, every number in full."""
    return csv_of([_flat(row) for row in rows])


def videos_to_csv(results: Sequence[MethodResult]) -> str:
    """Return one CSV line per method and video: what every other figure is computed from.

    Where several classes may be true, each has a column ``probability_CLASS``.
    """
    stages = list(dict.fromkeys(s for r in results for v in r.videos for s in v.seconds))
    names = [f.name for f in fields(VideoResult) if f.name not in ("seconds", "warnings", "scores")]
    lines: list[dict[str, Any]] = []
    for result in results:
        for video in result.videos:
            line: dict[str, Any] = {"method": result.method, "model": result.model}
            line |= {name: getattr(video, name) for name in names}
            line |= {f"seconds_{stage}": video.seconds.get(stage) for stage in stages}
            line |= {f"probability_{name}": video.scores.get(name) for name in result.classes}
            lines.append({**line, "warnings": "; ".join(video.warnings)})
    return csv_of(lines)


def to_json(rows: Sequence[TableRow], *, protocol: Protocol) -> str:
    """Return the table and its protocol as one JSON object."""
    return json.dumps(
        {"protocol": asdict(protocol), "rows": [row.to_json() for row in rows]}, indent=2
    )


def write_report(
    results: Sequence[MethodResult],
    protocol: Protocol,
    out_dir: str | Path,
    *,
    title: str | None = None,
) -> list[TableRow]:
    """Write results.csv, results.md, results.json, videos.csv and accuracy_cost.png.

    Each file appears under its name only when all of them are complete.

    Args:
        results: one per method and model.
        protocol: what was measured under.
        out_dir: the folder; made if missing, files of these names in it are replaced.
        title: of the figure.

    Returns:
        The table's rows.

    Raises:
        UsageError: as `table`, or ``out_dir`` cannot be written to.
    """
    from vidskim.evaluate.figure import draw_accuracy_cost  # matplotlib takes a second to import

    rows = table(results, seed=protocol.seed)
    with refusing(out_dir, what="cannot write the report there"), all_whole(out_dir) as temp:
        texts = {
            "results.csv": to_csv(rows),
            "results.md": to_markdown(rows, protocol=protocol),
            "results.json": to_json(rows, protocol=protocol) + "\n",
            "videos.csv": videos_to_csv(results),
        }
        for name, text in texts.items():
            (temp / name).write_text(text, encoding="utf-8")
        draw_accuracy_cost(rows, temp / "accuracy_cost.png", title=title)
    return rows


def _cells(row: TableRow, *, first: str, with_model: bool) -> dict[str, str]:
    def show(interval: Interval, *, sign: str = "") -> str:
        low, high = _share(interval.low, f"{sign}.2f"), _share(interval.high, f"{sign}.2f")
        return f"{_share(interval.estimate, f'{sign}.3f')} [{low}, {high}]"

    def signed(interval: Interval | None) -> str:
        if interval is None:
            return ""
        return show(interval, sign="+") + ("*" if interval.excludes_zero else " ")

    look = f" ({short(row.look_gmacs)})" if row.look_gmacs else ""
    return {
        "method": row.method,
        "model": row.model if with_model else "",
        "accuracy": show(row.accuracy),
        "mAP": "" if row.mean_average_precision is None else show(row.mean_average_precision),
        "vs dense": signed(row.difference_to_dense),
        "vs uniform": signed(row.difference_to_uniform),
        **({} if first in BASELINES else {f"vs {first}": signed(row.difference_to_first)}),
        "GMACs (look)": short(row.gmacs) + look,
        "s/video": short(row.seconds),
        "speed-up": "" if row.speedup_over_dense is None else f"{short(row.speedup_over_dense)}x",
        "P@K": "" if row.precision_at_k is None else _share(row.precision_at_k, ".2f"),
    }


def _share(value: float, form: str) -> str:
    """A number in [-1, 1] without the zero before its point."""
    return format(value, form).replace("0.", ".", 1) if abs(value) < 0.995 else format(value, form)


def _flat(row: TableRow) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in (f.name for f in fields(TableRow)):
        value = getattr(row, name)
        if name == "mean_average_precision" and value is None:
            continue
        if name == "stage_seconds":
            flat |= {f"seconds_{stage}": seconds for stage, seconds in value.items()}
        elif name in ("accuracy", "mean_average_precision") or name.startswith("difference_"):
            flat[name] = None if value is None else value.estimate
            flat[f"{name}_low"] = None if value is None else value.low
            flat[f"{name}_high"] = None if value is None else value.high
        else:
            flat[name] = value
    return flat
