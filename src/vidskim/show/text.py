"""Answers as text for people."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from vidskim.errors import by, printable
from vidskim.show.attended import lay_steps, most_attended, seen_stretches
from vidskim.show.edges import infer_edges
from vidskim.show.inspect import Inspection
from vidskim.show.strip import BLOCKS, Canvas, draw_strip
from vidskim.show.tables import clock, giga, plain_table
from vidskim.show.turns import is_cheap, shares_text, take_turns
from vidskim.types import ChosenClip, Prediction, VideoInfo

if TYPE_CHECKING:
    from vidskim.backbones.catalog.record import Weights
    from vidskim.cost.look import SamplerCost
    from vidskim.cost.model import Price
    from vidskim.cost.papers import PaperRow
    from vidskim.cost.video import VideoCost
    from vidskim.cost.whole import Compression
    from vidskim.cost.zoo import ModelRecord
    from vidskim.look.moments import Selection
    from vidskim.look.reel import Reel

COUNTERS = (
    "MAC: multiply-adds of convolutions, linear layers and matrix products, the papers' GFLOPs;\n"
    "MAC+2BN: and two operations for each number that enters a batch norm"
)


def prediction(answer: Prediction, *, canvas: Canvas | None = None) -> str:
    """Return an answer: classes, moments, time line, cost."""
    lines = _classes(answer)
    many = len(answer.clips)
    if answer.attention is None:
        views = f"{many} clips" + (f" x {n} crops" if (n := answer.num_crops) > 1 else "")
        lines += ["", f"{views} seen closely ({answer.method}, {answer.model}):"]
        lines += clip_lines(answer.clips, with_encoder=take_turns(answer))
    else:
        is_one = answer.attention.num_inputs == 1 and not take_turns(answer)
        clips = f"{many} clips joined" if many > 1 else "one clip"
        how = "seen at once" if is_one else "seen in several inputs"
        lines += ["", f"{clips}, {how} ({answer.method}, {answer.model}):"]
        if is_one:
            lines += [f"  {clock(a):>10} - {clock(b):>10}" for a, b in seen_stretches(answer)]
        else:
            lines += clip_lines(answer.clips, with_encoder=take_turns(answer))
    lines += _time_line(answer, canvas=canvas)
    lines += _attention(answer, canvas=canvas)
    if take_turns(answer):
        strong, weak = (canvas or Canvas()).marks
        lines.append(f"encoders  {shares_text(answer, marks=(f'{strong} ', f'{weak} '))}")
    return "\n".join([*lines, *_costs(answer)])


def answer_so_far(answer: Prediction) -> str:
    """Return one line on an answer of a stream: newest run, best class, encoder, cost so far."""
    best, newest, cost = answer.predictions[0], answer.clips[-1], answer.cost
    start, end = clock(answer.clips[0].clip.start_seconds), clock(newest.clip.end_seconds)
    return (
        f"{start:>10} - {end}  "
        f"{best.score:6.1%}  {printable(best.label)}  ({printable(newest.encoder)}; so far "
        f"{giga(cost.macs)}, {cost.seconds['total']:.2f} s)"
    )


def last_answer(answer: Prediction, *, seen: Mapping[str, int]) -> str:
    """Return the last answer of a stream, whose clips are not kept.

    Args:
        answer: the last one.
        seen: how many clips each encoder has seen.
    """
    many = sum(seen.values())
    views = f"{many} clips" + (f" x {n} crops" if (n := answer.num_crops) > 1 else "")
    lines = [*_classes(answer), "", f"{views} seen, one after another ({answer.model})"]
    if take_turns(answer):
        told = ", ".join(f"{seen.get(name, 0)} by {printable(name)}" for name in answer.encoders)
        lines.append(f"encoders  {told} (pattern {answer.schedule})")
    return "\n".join([*lines, *_costs(answer)])


def selection(chosen: Selection, *, canvas: Canvas | None = None) -> str:
    """Return the chosen clips or frames."""
    lines = [video_line(chosen.video), ""]
    if chosen.frames is not None:
        lines.append(f"{len(chosen.frames.indices)} frames ({chosen.method}):")
        frames = zip(chosen.frames.indices, chosen.frames.timestamps_seconds, chosen.frames.scores)
        lines += [
            f"  {clock(seconds):>10}  frame {index}" + ("" if score is None else f"  {score:.3f}")
            for index, seconds, score in frames
        ]
    else:
        lines += [f"{len(chosen.clips)} clips ({chosen.method}):", *clip_lines(chosen.clips)]
    lines += _time_line(chosen, canvas=canvas)
    return "\n".join(lines)


def reel(made: Reel) -> str:
    """Return how a reel was made."""
    many = f"{len(made.stretches)} stretch{'es' if len(made.stretches) > 1 else ''}"
    sound = ", sound encoded" if made.has_sound else ""
    if made.reason is None:
        more = made.seconds_copied - made.seconds_chosen
        wider = f", {more:.2f} s of them to begin at key frames" if more > 0.005 else ""
        how = f"{made.seconds_copied:.2f} s copied bit for bit{wider}{sound}"
    else:
        how = f"{made.seconds_encoded:.2f} s encoded again{sound}: {made.reason}"
    return f"reel      {printable(made.path)}: {many}, {how}"


def _classes(answer: Prediction) -> list[str]:
    """Return what the video is and the best classes."""
    best = [f"  {p.score:6.1%}  {printable(p.label)}" for p in answer.predictions[:5]]
    return [video_line(answer.video), "", *best]


def _costs(answer: Prediction) -> list[str]:
    """Return what an answer cost."""
    cost = answer.cost
    share = cost.macs / cost.dense_macs if cost.dense_macs else 1.0
    looked = "" if not cost.look_macs else f" ({giga(cost.look_macs)} of it to choose)"
    stages = ", ".join(
        f"{k} {v:.2f}" for k, v in cost.seconds.items() if k != "total" and v >= 0.005
    )
    return [
        "",
        f"cost      {giga(cost.macs)}{looked}, {share:.1%} of the {giga(cost.dense_macs)} of "
        "looking at every clip",
        f"          {cost.frames_decoded} frames decoded, {cost.bytes_read / 1e6:.1f} MB read, "
        f"peak memory {cost.peak_bytes / 1e6:.0f} MB",
        f"          {cost.seconds['total']:.2f} s ({stages})",
    ]


def _time_line(answer: Prediction | Selection, *, canvas: Canvas | None) -> list[str]:
    """Return saliency over time with the chosen moments marked.

    Nothing where none was scored, unless several encoders took turns: then where each did.
    """
    if answer.saliency is None and not take_turns(answer):
        return []
    duration = answer.video.duration_seconds
    clips = [chosen.clip for chosen in answer.clips]
    scores: dict[str, Sequence[float | None]] = dict(answer.parts or {})
    edges = np.array([0.0, duration])
    if answer.saliency is not None:
        if len(scores) != 1:
            scores["saliency"] = answer.saliency
        edges = infer_edges(clips, count=len(answer.saliency), duration_seconds=duration)
    spans: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    for chosen in answer.clips:
        span = (chosen.clip.start_seconds, chosen.clip.end_seconds)
        spans[is_cheap(answer, chosen)].append(span)
    marks, lesser = spans
    if not isinstance(answer, Prediction) and answer.frames is not None:
        marks = [(seconds, seconds) for seconds in answer.frames.timestamps_seconds]
    drawn = draw_strip(
        scores,
        edges=edges,
        marks=marks,
        lesser=lesser,
        duration_seconds=duration,
        canvas=canvas or Canvas(),
    )
    return ["", *drawn]


def _attention(answer: Prediction, *, canvas: Canvas | None) -> list[str]:
    """Return what was attended to over time, where the answer was compressed over it."""
    if answer.attention is None:
        return []
    steps, moments = lay_steps(answer), most_attended(answer)
    edges, received = steps.over_time()
    drawn = draw_strip(
        {"attention": received},
        edges=edges,
        marks=[(moment.start_seconds, moment.end_seconds) for moment in moments],
        duration_seconds=steps.duration_seconds,
        canvas=canvas or Canvas(),
        marked="most",
    )
    K, T = steps.weights.shape
    told = f"kept      {K} of {T} step{'' if T == 1 else 's'}"
    if moments:
        at = ", ".join(f"{clock(m.start_seconds)} ({m.share})" for m in moments)
        told += f"; attends most to {at}"
    return ["", *drawn, told]


def inspection(report: Inspection) -> str:
    """Return streams, groups of pictures and the packet time line."""
    lines = [video_line(report.video), ""]
    lines += [f"  stream {s.index}: {s.kind}, {s.codec}{s.details}" for s in report.streams]
    width = max(0, len(report.timeline_bytes) - 3)
    types = ", ".join(f"{n} {kind}" for kind, n in report.picture_types.items())
    lines += [
        "",
        f"  {report.num_packets} pictures ({types}), {report.bytes_video / 1e6:.2f} MB",
        f"  {report.num_gops} groups of pictures, {report.gop_frames_mean:.1f} frames on average, "
        f"{report.gop_frames_max} the longest",
        f"  motion vectors: {'yes' if report.has_motion_vectors else 'not exported by this codec'}",
        "",
        f"  bytes     {sparkline(report.timeline_bytes)}",
        f"            0 s{f'{report.video.duration_seconds:.1f} s':>{width}}",
    ]
    return "\n".join(lines)


def cost(name: str, priced: Price) -> str:
    """Return what a network or model costs: the sum, what it is made of, what it is instead of."""
    whole = priced.counted
    lines = [
        f"{printable(name)}: {giga(whole.macs)}, {whole.params / 1e6:.2f} M parameters, input "
        f"{by(whole.input_shape)}"
    ]
    if priced.video is not None:
        lines += _video_lines(priced.video)
    if priced.compression is not None:
        lines += _compression_lines(priced.compression)
    return "\n".join(lines)


def _video_lines(counted: VideoCost) -> list[str]:
    """Return what a model costs for a video, part by part."""
    whole, plan = counted.whole, counted.planned
    N = sum(part.num_clips for part in counted.parts if part.role in ("expensive", "cheap"))
    several = len({part.role for part in counted.parts} & {"expensive", "cheap"}) > 1
    pattern = f", pattern {counted.pattern}" if several else ""
    lines = [f"{N} clips{pattern}"]
    if plan is not None:
        video, rate = plan.video, float(plan.video.frame_rate)
        lines = [
            f"{video.seconds:g} s of {by(video.size)} at {rate:g} frames per second, method "
            f"{plan.method}: {N} of {plan.num_grid} clips{pattern}",
            f"{whole.macs / plan.dense_macs:.1%} of the {giga(plan.dense_macs)} of looking at "
            f"every clip{', without what choosing costs' if plan.is_scored else ''}",
        ]
    scale, unit = _unit(whole.macs)
    cells = [
        [
            printable(part.name),
            part.role if several or part.role != "expensive" else "encoder",
            str(part.num_clips),
            f"{part.macs / scale:.4g}",
            f"{part.params / 1e6:.2f}",
        ]
        for part in counted.parts
    ]
    share = whole.macs / counted.expensive_macs
    return [
        *lines,
        "",
        plain_table(["part", "role", "clips", unit, "M params"], cells),
        "",
        f"{share:.1%} of the {giga(counted.expensive_macs)} of {printable(cells[0][0])} on "
        f"{'each of these clips' if N > 1 else 'the clip'}",
    ]


def _compression_lines(told: Compression) -> list[str]:
    """Return what a compression does to a whole video, and what that is instead of."""
    from vidskim.cost.whole import NUM_CLIPS, NUM_CROPS, VIDEO_FRAMES, VIDEO_SIZE

    one, bare, views = told.one_pass, told.uncompressed, told.views
    whole, paper, attention = one.counted, one.as_in_paper, one.attention_macs
    scale, unit = _unit(whole.macs)
    crops = f"{NUM_CLIPS} clips x {NUM_CROPS} crops"
    cells = [
        [what, *(f"{n / scale:.4g}" for n in numbers)]
        for what, *numbers in (
            ("one pass", whole.macs, whole.macs_with_2bn),
            ("  of it attention's own products", attention, attention),
            ("  without them, as the paper counts", paper.macs, paper.macs_with_2bn),
            ("one pass, nothing compressed", bare.macs, bare.macs_with_2bn),
            (f"{crops}, {by(views.input_shape[1:])}", views.macs, views.macs_with_2bn),
        )
    ]
    video = f"{VIDEO_FRAMES} frames of {by(VIDEO_SIZE)} in one pass, as the model sees them"
    return [
        *([video] if told.is_papers_video else []),
        f"compressed {told.ratio} to 1 after {told.at}: {one.num_steps} steps to {one.num_kept}, "
        f"{told.params / 1e6:.2f} M parameters",
        "",
        plain_table(["", unit, "MAC+2BN"], cells),
        "",
        f"{whole.macs / views.macs:.1%} of {crops}, {whole.macs / bare.macs:.1%} of the pass that "
        "compresses nothing",
        f"attention's own products are {attention / whole.macs:.1%} of the pass",
        COUNTERS,
    ]


def _unit(macs: int) -> tuple[float, str]:
    return (1e9, "GMACs") if macs >= 1e9 else (1e6, "MMACs")


def sampler_cost(told: SamplerCost) -> str:
    """Return what choosing costs beside classifying everything."""
    from vidskim.cost.look import GOP_FRAMES

    video, kinds = told.video, list(told.inputs)
    with_residuals = "residual" in kinds
    first = ["residuals/clip"] if with_residuals else []
    head = [*first, *kinds, "look, GMACs", "of dense", "in clips"]
    cells = [
        [
            *([str(look.residuals or "all")] if with_residuals else []),
            *(f"{look.macs[kind] / 1e9:.2f}" for kind in kinds),
            f"{look.total / 1e9:.2f}",
            f"{look.total / told.dense_macs:.1%}",
            f"{look.total / told.clip_macs:.1f}",
        ]
        for look in told.looks
    ]
    inputs = [f"{k:<9} {' x '.join(map(str, shape))}" for k, shape in told.inputs.items()]
    return "\n".join(
        [
            f"{video.seconds:g} s at {float(video.frame_rate):g} frames per second, I-frames "
            f"{GOP_FRAMES} apart, no B-frames",
            f"dense     {told.num_clips} clips, {told.dense_macs / 1e9:.0f} GMACs",
            *inputs,
            "",
            plain_table(head, cells),
        ]
    )


def paper_costs(rows: Sequence[PaperRow]) -> str:
    """Return the papers' figures beside ours; notes are numbered below."""
    head = ("paper", "table", "row", "published", "ours", "unit", "counter", "verdict", "note")
    notes = list(dict.fromkeys(r.note for r in rows if r.note))
    cells = [
        (
            r.paper,
            r.table,
            r.row,
            f"{r.published:g}",
            f"{r.ours:g}",
            r.unit,
            r.counter,
            r.verdict,
            f"[{notes.index(r.note) + 1}]" if r.note else "",
        )
        for r in rows
    ]
    numbered = [
        textwrap.fill(note, 100, initial_indent=f"[{n}] ", subsequent_indent="    ")
        for n, note in enumerate(notes, start=1)
    ]
    return "\n".join([plain_table(head, cells), "", COUNTERS, *numbered])


def models(found: Sequence[ModelRecord]) -> str:
    """Return the backbones, one line each, with their default weights."""
    head = (
        "name",
        "GMACs",
        "M params",
        "input",
        "weights",
        "top-1",
        "tested on",
        "license",
        "more",
    )
    cells = []
    for m in found:
        default = m.weights[0] if m.weights else None
        cells.append(
            (
                m.name,
                f"{m.macs / 1e9:.2f}",
                f"{m.params / 1e6:.2f}",
                by(m.input[1:]),
                default.id if default else "-",
                _percent(default.top1 if default else None),
                f"{default.views or '?'} {default.clip.num_frames}x{default.clip.stride} "
                f"{default.clip.size[0]}"
                if default
                else "-",
                default.license_name if default else "-",
                f"+{len(m.weights) - 1}" if len(m.weights) > 1 else "",
            )
        )
    hints = (
        "Weights are named by publisher and data set (k400: Kinetics-400). Tested on: clips x",
        "crops, frames x stride, pixels; ? where the publisher does not say.",
        "vidskim models NAME shows all weights of a network, their source, terms and protocol;",
        "--model NAME takes the default ones, --model NAME@ID others (more).",
        "vidskim cost faster16 (faster32) prices FASTER: two of these networks, a whole video.",
    )
    return "\n".join([plain_table(head, cells), "", *hints])


def model(found: ModelRecord) -> str:
    """Return one backbone and all weights that are published for it."""
    shape = by(found.input[1:])
    lines = [f"{found.name}: {giga(found.macs)}, {found.params / 1e6:.2f} M parameters, {shape}"]
    if not found.weights:
        lines += ["", "  no published weights are known"]
    for i, weights in enumerate(found.weights):
        lines += ["", f"  {weights.name}{' (default)' if i == 0 else ''}"]
        lines += [f"    {what:<9} {text}" for what, text in _weight_facts(weights)]
    return "\n".join(lines)


def _weight_facts(weights: Weights) -> list[tuple[str, str]]:
    if weights.sha256_prefix is not None:
        checksum = f"SHA-256 begins with {weights.sha256_prefix}"
    else:
        checksum = "none is published; written down at the first use, then held to"
    names = weights.class_order or "not known, called by number"
    number = "" if weights.num_classes is None else f"{weights.num_classes} classes, "
    return [
        ("publisher", f"{weights.publisher}, {weights.source}"),
        ("file", weights.url + (" (fetch it by hand)" if weights.is_manual else "")),
        ("checksum", checksum),
        ("license", weights.license),
        ("data", f"{weights.dataset}; {number}names: {names}"),
        ("clip", f"{weights.clip}; {weights.transform}"),
        ("top-1", f"{_percent(weights.top1)}; {weights.protocol}"),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def video_line(video: VideoInfo) -> str:
    """Return one line on a file."""
    sound = "sound" if video.has_audio else "no sound"
    return (
        f"{video.path}: {clock(video.duration_seconds)}, {video.num_frames} frames, "
        f"{video.width}x{video.height}, {float(video.frame_rate):.4g} fps, {video.codec}, {sound}"
    )


def clip_lines(clips: Sequence[ChosenClip], *, with_encoder: bool = False) -> list[str]:
    """Return one line per clip."""
    return [
        f"  {clock(c.clip.start_seconds):>10} - {clock(c.clip.end_seconds):>10}"
        + ("" if c.saliency is None else f"  {c.saliency:.3f}")
        + (f"  {printable(c.encoder)}" if with_encoder else "")
        for c in clips
    ]


def sparkline(values: Sequence[float], *, width: int = 72) -> str:
    """Return values as a line of block characters, the largest of each stretch shown."""
    if not values:
        return ""
    width = min(width, len(values))
    edges = [i * len(values) // width for i in range(width + 1)]
    tops = [max(values[a:b]) for a, b in pairwise(edges)]
    low, high = min(tops), max(tops)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((top - low) * scale)] for top in tops)
