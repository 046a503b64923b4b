"""An answer as HTML, section by section."""

import os
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np

from vidskim.clips.grid import lay_clip, stride_of
from vidskim.errors import printable
from vidskim.io.write.jpeg import to_jpeg
from vidskim.look.moments import Selection
from vidskim.show.attended import lay_steps, most_attended
from vidskim.show.edges import infer_edges
from vidskim.show.page.attention import draw_attention
from vidskim.show.page.chart import Mark, draw_chart
from vidskim.show.page.style import STYLE
from vidskim.show.storyboard import frames_at, middle_frames
from vidskim.show.tables import clock, giga
from vidskim.show.turns import is_cheap, is_routed, shares, shares_text, take_turns
from vidskim.types import ChosenClip, Cost, Prediction, TimeAttention, VideoInfo
from vidskim.video import Video

MOST_SHOTS = 24
"""Thumbnails of chosen moments; of more, as many are shown, evenly."""
LEAST_SHOTS = 6
"""Thumbnails of the least salient clips."""
MOST_CLASSES = 10
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STAGES = ("look", "read", "encode", "aggregate")


def page(answer: Prediction | Selection, *, command: str | None) -> str:
    """Return the page of an answer.

    Raises:
        VideoError: the video is gone.
    """
    video = answer.video
    name = _text(Path(video.path).name)
    body = [
        f"<h1>{name}</h1>",
        f'<p class="under">{_headline(answer)}</p>',
        _tiles(answer),
        _warnings(answer.warnings),
        _attention(answer),
        _time_line(answer) if _attended(answer) is None or answer.saliency is not None else "",
        _shots(answer),
    ]
    pair = [_file(video), _settings(answer, command=command)]
    if isinstance(answer, Prediction):
        pair = [_classes(answer), _cost(answer.cost), *pair]
    body.append(f'<div class="two">{"".join(pair)}</div>')
    head = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name} - vidskim</title><style>{STYLE}</style>"
    )
    whole = "\n".join(part for part in body if part)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{whole}\n'
        "</main></body></html>\n"
    )


def _text(value: object) -> str:
    """Return a text that may hold anything as inert HTML."""
    known = os.fsencode(str(value)).decode(errors="replace")  # a file name need not be UTF-8
    return escape(printable(known), quote=True)


def _section(title: str, content: str, *, kind: str = "") -> str:
    marked = f' class="{kind}"' if kind else ""
    return f"<section{marked}><h2>{_text(title)}</h2>{content}</section>"


def _headline(answer: Prediction | Selection) -> str:
    of = "" if answer.saliency is None else f" of {len(answer.saliency)}"
    attention = _attended(answer)
    if isinstance(answer, Prediction) and attention is not None:
        K, T = attention.weights.shape
        many = len(answer.clips)
        return (
            f"{_text(answer.model)} saw {many} clip{'' if many == 1 else 's'} at once and kept {K} "
            f"of {T} steps, {_text(answer.method)}"
        )
    if isinstance(answer, Prediction):
        return (
            f"{_text(answer.model)} looked closely at {len(answer.clips)}{of} clips, chosen by "
            f"{_text(answer.method)}"
        )
    if answer.frames is not None:
        return f"{len(answer.frames.indices)} frames chosen by {_text(answer.method)}"
    return f"{len(answer.clips)}{of} clips chosen by {_text(answer.method)}"


def _tiles(answer: Prediction | Selection) -> str:
    """Return the few figures that tell most."""
    clips = [chosen.clip for chosen in answer.clips]
    seen = sum(clip.end_seconds - clip.start_seconds for clip in clips)
    share = seen / max(answer.video.duration_seconds, 1e-6)
    tiles = []
    if isinstance(answer, Prediction):
        best, cost = answer.predictions[0], answer.cost
        tiles.append((best.label, f"{best.score:.1%} probability"))
        if cost.macs and cost.dense_macs:
            tiles.append((f"{cost.dense_macs / cost.macs:.1f}x", "fewer multiply-adds than dense"))
        tiles.append((f"{cost.seconds.get('total', 0.0):.2f} s", "from file to answer"))
    elif answer.frames is not None:
        tiles.append((f"{len(answer.frames.indices)}", f"of {answer.video.num_frames} frames"))
    if (attention := _attended(answer)) is not None:
        K, T = attention.weights.shape
        tiles.append((f"{K} of {T}", "steps of time were kept"))
    elif isinstance(answer, Prediction) or answer.frames is None:
        tiles.append((f"{seen:.1f} s", f"in chosen clips, {min(share, 1):.1%} of it"))
    cells = [f'<div class="tile"><b>{_text(a)}</b><span>{_text(b)}</span></div>' for a, b in tiles]
    return f'<div class="tiles">{"".join(cells)}</div>'


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{_text(text)}</li>" for text in warnings)
    return _section("Warnings", f"<ul>{items}</ul>", kind="warn")


def _attended(answer: Prediction | Selection) -> TimeAttention | None:
    return answer.attention if isinstance(answer, Prediction) else None


def _attention(answer: Prediction | Selection) -> str:
    """Return what was attended to over time, where the answer was compressed over it."""
    if not isinstance(answer, Prediction) or answer.attention is None:
        return ""
    moments = most_attended(answer)
    drawn = draw_attention(answer, moments, address_of=_image, clock=clock)
    legend = (
        '<span><i class="scale"></i>how much a kept step attends to a moment</span>'
        '<span><i style="background:var(--curve)"></i>received: share of what was kept that comes '
        "from each step</span>"
    )
    if moments:
        legend += '<span><i style="background:var(--attended)"></i>attended to most</span>'
    if lay_steps(answer).holes:
        legend += '<span><i style="background:var(--line)"></i>not seen</span>'
    frames = [moment.frame for moment in moments]
    pictures = frames_at(answer.video.path, frames) if frames else ()
    figures = [
        _figure_of(
            _image(picture.permute(1, 2, 0).numpy()),
            when=clock(moment.start_seconds),
            score=moment.share,
            spoken=f"{clock(moment.start_seconds)} - {clock(moment.end_seconds)}",
        )
        for moment, picture in zip(moments, pictures)
    ]
    return _section(
        "Attention over time",
        f'<div class="wide attended">{drawn}</div><p class="legend">{legend}</p>'
        f'<div class="shots attended">{"".join(figures)}</div>',
    )


def _time_line(answer: Prediction | Selection) -> str:
    """Return scores over time; without scores only where the clips lie."""
    clips = [chosen.clip for chosen in answer.clips]
    duration = answer.video.duration_seconds
    scores: dict[str, Sequence[float | None]] = dict(answer.parts or {})
    main = "saliency"
    if answer.saliency is None:
        scores = {"chosen": [None]}
        main, edges = "chosen", np.array([0.0, duration])
    else:
        if len(scores) == 1:
            main = next(iter(scores))
        else:
            scores[main] = answer.saliency
        edges = infer_edges(clips, count=len(answer.saliency), duration_seconds=duration)
    if isinstance(answer, Selection) and answer.frames is not None:
        found = zip(answer.frames.timestamps_seconds, answer.frames.scores)
        marks = [Mark(at, at, _moment(at, None, score)) for at, score in found]
    else:
        marks = [_mark(answer, chosen) for chosen in answer.clips]
    drawn = draw_chart(scores, main=main, edges=edges, marks=marks, duration_seconds=duration)
    legend = '<span><i style="background:var(--chosen)"></i>chosen</span>'
    if isinstance(answer, Prediction) and take_turns(answer):
        legend = "".join(
            f'<span><i style="background:var(--{color})"></i>{share.num_clips} chosen, seen by '
            f"{_text(share.encoder)}</span>"
            for share, color in zip(shares(answer), ("chosen", "cheap"))
        )
    if answer.saliency is None:
        legend += f"<span>{_text(answer.method)} chooses without looking</span>"
    else:
        what = "the expensive encoder was sent" if is_routed(answer) else "the clips were chosen"
        legend = (
            f'<span><i style="background:var(--curve)"></i>{_text(main)}, what {what} by</span>'
            f"{legend}"
        )
    return _section("Over time", f'<div class="wide">{drawn}</div><p class="legend">{legend}</p>')


def _mark(answer: Prediction | Selection, chosen: ChosenClip) -> Mark:
    """Return a chosen clip for the chart."""
    start, end = chosen.clip.start_seconds, chosen.clip.end_seconds
    told = _moment(start, end, chosen.saliency)
    if take_turns(answer):
        told += f", seen by {printable(chosen.encoder)}"
    return Mark(start, end, told, is_cheap(answer, chosen))


def _moment(start: float, end: float | None, score: float | None) -> str:
    """Return when something is, and its score."""
    times = clock(start) if end is None else f"{clock(start)} - {clock(end)}"
    return times if score is None else f"{times}, saliency {score:.3f}"


def _shots(answer: Prediction | Selection) -> str:
    """Return thumbnails of what was chosen and, where there are scores, of what was not."""
    shown = _chosen(answer)
    many = len(shown)
    if many > MOST_SHOTS:
        places = sorted({round(i) for i in np.linspace(0, many - 1, MOST_SHOTS)})
        shown = [shown[n] for n in places]
    dull = _least(answer)
    pictures = middle_frames(answer.video.path, [*shown, *dull])
    images = [_image(picture.permute(1, 2, 0).numpy()) for picture in pictures]
    is_frames = isinstance(answer, Selection) and answer.frames is not None
    figures = [
        _figure(
            c,
            image,
            is_frame=is_frames,
            encoder=c.encoder if take_turns(answer) else None,
            is_cheap=is_cheap(answer, c),
        )
        for c, image in zip(shown, images)
    ]
    what = "frames" if is_frames else "clips"
    note = f'<p class="note">{len(shown)} of {many} are shown.</p>' if len(shown) < many else ""
    title = f"Chosen {what}" if _attended(answer) is None else "Clips that were joined"
    parts = [_section(title, f'<div class="shots">{"".join(figures)}</div>{note}')]
    if dull:
        rest = [_figure(c, image, is_frame=False) for c, image in zip(dull, images[len(shown) :])]
        grid = f'<div class="shots dull">{"".join(rest)}</div>'
        parts.append(_section("Least salient clips", grid))
    return "\n".join(parts)


def _chosen(answer: Prediction | Selection) -> list[ChosenClip]:
    """Return what was chosen, frames as clips of one frame."""
    if not isinstance(answer, Selection) or answer.frames is None:
        return list(answer.clips)
    frames = answer.frames
    return [
        ChosenClip(
            lay_clip(number, num_frames=1, index=n, start_seconds=at, end_seconds=at), score, ""
        )
        for n, (number, at, score) in enumerate(
            zip(frames.indices, frames.timestamps_seconds, frames.scores)
        )
    ]


def _least(answer: Prediction | Selection) -> list[ChosenClip]:
    """Return the clips of the lowest score that were not chosen, in time order."""
    if answer.saliency is None or not answer.clips:
        return []
    like = answer.clips[0].clip
    grid = Video(answer.video.path).clips(num_frames=like.num_frames, stride=stride_of(like))
    if len(grid) != len(answer.saliency):
        return []
    chosen = {c.clip.index for c in answer.clips}
    rest = [clip for clip in grid if clip.index not in chosen]
    scores = answer.saliency
    rest.sort(key=lambda clip: (scores[clip.index], clip.index))
    low = sorted(rest[:LEAST_SHOTS], key=lambda clip: clip.index)
    return [ChosenClip(replace(clip), scores[clip.index], "") for clip in low]


def _image(picture: np.ndarray) -> str:
    return "data:image/jpeg;base64," + b64encode(to_jpeg(picture)).decode("ascii")


def _figure(
    chosen: ChosenClip,
    image: str,
    *,
    is_frame: bool,
    encoder: str | None = None,
    is_cheap: bool = False,
) -> str:
    clip = chosen.clip
    middle = (clip.start_seconds + clip.end_seconds) / 2
    when = clock(clip.start_seconds) if is_frame else f"{clock(middle)}"
    score = "" if chosen.saliency is None else f"{chosen.saliency:.3f}"
    spoken = _moment(clip.start_seconds, None if is_frame else clip.end_seconds, None)
    if encoder is not None:
        spoken += f", seen by {encoder}"
    return _figure_of(
        image, when=when, score=score, spoken=spoken, kind="cheap" if is_cheap else ""
    )


def _figure_of(image: str, *, when: str, score: str, spoken: str, kind: str = "") -> str:
    """Return a picture with its time and its score below."""
    marked = f' class="{kind}"' if kind else ""
    told = f"<b>{_text(score)}</b>" if score else ""
    return (
        f'<figure{marked}><img src="{image}" alt="frame at {when}" title="{_text(spoken)}">'
        f"<figcaption><span>{when}</span>{told}</figcaption></figure>"
    )


def _classes(answer: Prediction) -> str:
    rows = [
        f'<span class="label">{_text(p.label)}</span>'
        f'<div class="bar"><i style="width:{min(max(p.score, 0.0), 1.0):.2%}"></i></div>'
        f"<span>{p.score:.1%}</span>"
        for p in answer.predictions[:MOST_CLASSES]
    ]
    return _section("Classes", f'<div class="bars">{"".join(rows)}</div>')


def _cost(cost: Cost) -> str:
    """Return the account."""
    facts = [
        ("multiply-adds", giga(cost.macs)),
        ("of them to choose", f"{giga(cost.look_macs)}, {cost.look_macs / max(cost.macs, 1):.1%}"),
        ("at every clip", f"{giga(cost.dense_macs)}, {_ratio(cost)}"),
        ("frames decoded", f"{cost.frames_decoded}"),
        ("read", f"{cost.bytes_read / 1e6:.2f} MB"),
        ("peak memory", f"{cost.peak_bytes / 1e6:.0f} MB"),
        ("time", f"{cost.seconds.get('total', 0.0):.2f} s"),
    ]
    total = cost.seconds.get("total", 0.0)
    stages = {name: cost.seconds.get(name, 0.0) for name in STAGES}
    stages["other"] = max(0.0, total - sum(stages.values()))
    whole = max(sum(stages.values()), 1e-9)
    stack = "".join(
        f'<i class="{name}" style="width:{seconds / whole:.2%}"></i>'
        for name, seconds in stages.items()
    )
    legend = "".join(
        f'<span><i class="{name}"></i>{name} {seconds:.2f} s</span>'
        for name, seconds in stages.items()
    )
    bars = f'<p></p><div class="stack">{stack}</div><p class="legend">{legend}</p>'
    return _section("Cost", _facts(facts) + bars)


def _ratio(cost: Cost) -> str:
    if not cost.macs or not cost.dense_macs:
        return "not known"
    return f"{cost.dense_macs / cost.macs:.2f} times as many"


def _file(video: VideoInfo) -> str:
    facts: list[tuple[str, object]] = [
        ("path", video.path),
        ("length", f"{clock(video.duration_seconds)}, {video.num_frames} frames"),
        ("rate", f"{float(video.frame_rate):.4g} frames per second"),
        ("size", f"{video.width} x {video.height}"),
        ("codec", video.codec),
        ("sound", "yes" if video.has_audio else "no"),
    ]
    if video.rotation:
        facts.append(("turned", f"{video.rotation} degrees clockwise"))
    return _section("File", _facts(facts))


def _settings(answer: Prediction | Selection, *, command: str | None) -> str:
    facts: list[tuple[str, object]] = [("method", answer.method)]
    clips = [chosen.clip for chosen in answer.clips]
    if clips:
        facts.append(("clips", f"{clips[0].num_frames} frames, stride {stride_of(clips[0])}"))
    if isinstance(answer, Prediction):
        facts += [("model", answer.model), ("crops", answer.num_crops)]
        if take_turns(answer):
            facts.append(("encoders", shares_text(answer)))
        facts.append(("precision", answer.precision))
    elif answer.reel is not None:
        reel = answer.reel
        facts.append(("reel", reel.path))
        told = reel.reason or "bit for bit"
        facts.append(("copied", f"{reel.seconds_copied:.2f} s"))
        facts.append(("encoded", f"{reel.seconds_encoded:.2f} s ({told})"))
    told = "" if command is None else f'<p class="note"><code>{_text(command)}</code></p>'
    return _section("Settings", _facts(facts) + told)


def _facts(facts: Sequence[tuple[str, object]]) -> str:
    rows = "".join(f"<dt>{_text(key)}</dt><dd>{_text(value)}</dd>" for key, value in facts)
    return f"<dl>{rows}</dl>"
