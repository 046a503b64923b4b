"""The verb `cost`: what a network costs on a clip, a model on a video, and the papers' figures."""

from typing import Unpack

from vidskim.cli import console
from vidskim.cli.words import refuse
from vidskim.errors import UsageError
from vidskim.options import PlanOptions
from vidskim.show.models import check_name


def cost(
    name: str | None = None,
    /,
    input: str | None = None,
    sampler: str | None = None,
    seconds: float | None = None,
    frame_rate: str | None = None,
    size: str | None = None,
    papers: bool = False,
    json: bool = False,
    **options: Unpack[PlanOptions],
) -> None:
    """Count the multiply-adds and parameters of a network or a model, or check the papers' tables.

    Args:
        name: a backbone, hf:<id or folder>, or the path of a checkpoint; faster16, faster32, sfc or
            the path of a model of several parts for a whole video, part by part.
        input: another input than the one it was made for: channels, frames, height and width of a
            clip (3x32x256x256) or whole video, channels, height and width of an image (2x14x14).
        sampler: also count what these saliency networks cost to look at the video, by default a
            minute, for each number of residual frames per clip; checkpoints, or kinds of sources
            for the paper's networks (motion,residual,audio).
        seconds: count the answer to a video of this length.
        frame_rate: its frames per second, 25 or 30000/1001 (default: 30).
        size: height and width of its frames (default: 256x340).
        papers: print the papers' figures beside ours.
        json: print JSON.
    """
    if name is not None:
        check_name(name, more=["demo", "faster", "faster16", "faster32", "sfc"])
    from vidskim.cost.look import networks_of, sampler_cost
    from vidskim.cost.model import dense_clip, price, read_shape, read_video
    from vidskim.cost.papers import paper_rows
    from vidskim.show import text as printing

    if papers == (name is not None):
        raise UsageError("give the name of a backbone, or --papers")
    given: dict[str, object] = {
        "input": input,
        "sampler": sampler,
        "seconds": seconds,
        "size": size,
    }
    given |= {"frame_rate": frame_rate, "size": size, **options}
    words = {key for key, value in given.items() if value is not None}
    if papers:
        refuse(words, reason="goes with the name of a backbone, not with --papers")
        rows = paper_rows()
        console.show([row.to_json() for row in rows] if json else printing.paper_costs(rows))
        return
    if input is not None:
        refuse(words - {"input"}, reason="cannot go with --input, which is that of one network")
    if seconds is None:
        refuse(words & {"frame_rate", "size"}, reason="goes with --seconds")
    named, parts = str(name), dict(options)
    if "crops" in parts:
        parts["num_crops"] = parts.pop("crops")
    video = None if seconds is None else read_video(seconds, frame_rate, size)
    shape = None if input is None else read_shape(input)
    priced = price(named, input_shape=shape, video=video, parts=parts)
    record, text = {"name": name, **priced.to_json()}, printing.cost(named, priced)
    if sampler is not None:
        clip, macs = dense_clip(named)
        look = sampler_cost(networks_of(sampler), clip=clip, clip_macs=macs, video=video)
        record["minute" if video is None else "look"] = look.to_json()
        text = f"{text}\n\n{printing.sampler_cost(look)}"
    console.show(record if json else text)
