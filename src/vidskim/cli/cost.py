"""The verb `cost`: what a network costs on a clip, FASTER on a video, and the papers' figures."""

from typing import Any

from vidskim.cli import console
from vidskim.errors import UsageError


def cost(
    name: str | None = None,
    /,
    input: str | None = None,
    sampler: str | None = None,
    papers: bool = False,
    json: bool = False,
) -> None:
    """Count the multiply-adds and parameters of a network, or check the papers' tables.

    Args:
        name: a backbone, hf:<id or folder>, or the path of a checkpoint; faster16, faster32 or the
            path of a FASTER model for a whole video, part by part; sfc or the path of a model with
            a compression inside for a whole video in one pass.
        input: another input than the one it was made for: channels, frames, height and width of a
            clip (3x32x256x256) or whole video, channels, height and width of an image (2x14x14).
        sampler: also count what these saliency networks cost to look at a minute of video, for each
            number of residual frames per clip; checkpoints, or kinds of sources for the paper's
            networks (motion,residual,audio).
        papers: print the papers' figures beside ours.
        json: print JSON.
    """
    from vidskim.cost.look import minute_cost, networks_of
    from vidskim.cost.model import clip_of, cost_of, find_model, read_shape, whole_cost
    from vidskim.cost.papers import paper_rows
    from vidskim.model.compressed import Compressed
    from vidskim.show import text as printing

    if papers == (name is not None):
        raise UsageError("give the name of a backbone, or --papers")
    if papers and input is not None:
        raise UsageError("--input goes with the name of a backbone, not with --papers")
    if sampler is not None and (papers or input is not None):
        raise UsageError("--sampler goes with the name of a backbone alone")
    if papers:
        rows = paper_rows()
        console.show([row.to_json() for row in rows] if json else printing.paper_costs(rows))
        return
    named = str(name)
    shape = None if input is None else read_shape(input)
    more: dict[str, Any] = {}
    model = find_model(named)
    first = None if model is None else model.networks[0]
    if model is not None and (
        len(model.networks) > 1
        or (model.card.join[0] is not None and isinstance(first, Compressed))
    ):
        from vidskim.cost.video import video_cost

        if input is not None or sampler is not None:
            raise UsageError("--input and --sampler go with a single backbone, not with FASTER")
        priced = video_cost(model)
        counted, more, text = priced.whole, priced.to_json(), printing.video_cost(named, priced)
    elif isinstance(first, Compressed):
        if sampler is not None:
            raise UsageError(
                "--sampler goes with a backbone that sees clips, not with one that sees the whole "
                "video"
            )
        whole = whole_cost(first, name=named, input_shape=shape)
        counted, more = whole.one_pass.counted, whole.to_json()
        text = printing.whole_cost(named, whole)
    else:
        counted = cost_of(named, input_shape=shape)
        text = printing.cost(named, counted)
    if sampler is not None:
        minute = minute_cost(networks_of(sampler), clip=clip_of(named), clip_macs=counted.macs)
        more["minute"] = minute.to_json()
        text = f"{text}\n\n{printing.minute_cost(minute)}"
    record = {
        "name": name,
        "macs": counted.macs,
        "params": counted.params,
        "input": list(counted.input_shape),
        **more,
    }
    console.show(record if json else text)
