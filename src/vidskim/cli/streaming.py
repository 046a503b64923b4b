"""Answers while the video still comes: one line after every clip, the whole answer at the end."""

import sys
from collections import Counter

from vidskim.cli import console
from vidskim.errors import VideoError


def answer_live(
    source: str,
    *,
    model: str,
    pattern: str | None,
    random_weights: bool,
    num_crops: int,
    size: int | None,
    precision: str,
    device: str,
    idle_seconds: float,
    as_json: bool,
) -> None:
    """Recognize a stream and print every answer as soon as it is known.

    Args:
        source: path of a file or pipe, or ``-`` for standard input.
        model: see `vidskim.api.stream`, also for what follows.
        pattern: which encoder of a FASTER model sees which clip.
        random_weights: run the networks untrained.
        num_crops: crops of each clip.
        size: pixels of a crop.
        precision: of the networks.
        device: where they run.
        idle_seconds: a file that has not grown for so long is finished.
        as_json: print JSON objects, one per line.

    Raises:
        VideoError: the source cannot be read.
        UsageError: an unknown model, precision or device.
        CheckpointError: weights that cannot be had.
    """
    from vidskim import api
    from vidskim.show import text as printing

    warnings: list[str] = []
    seen: Counter[str] = Counter()
    answer = None
    for answer in api.stream(
        source,
        model=model,
        pattern=pattern,
        random_weights=random_weights,
        num_crops=num_crops,
        size=size,
        precision=precision,
        device=device,
        idle_seconds=idle_seconds,
        warnings=warnings,
    ):
        seen.update(chosen.encoder for chosen in answer.clips)
        console.show(answer.to_json() if as_json else printing.answer_so_far(answer))
        sys.stdout.flush()
    if answer is None:
        raise VideoError(source, "none of its clips can be read")
    if not as_json:
        console.show(f"\n{printing.last_answer(answer, seen=seen)}")
    texts = dict.fromkeys([*answer.warnings, *warnings])
    known = answer.warnings if as_json else ()  # the last line has them
    console.warn([text for text in texts if text not in known])
