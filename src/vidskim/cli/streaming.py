"""Answers while the video still comes: one line after every clip, the whole answer at the end."""

import sys
from collections import Counter
from typing import Unpack

from vidskim.cli import console
from vidskim.errors import VideoError
from vidskim.options import PartOptions


def answer_live(
    source: str,
    *,
    model: str,
    idle_seconds: float,
    as_json: bool,
    **parts: Unpack[PartOptions],
) -> None:
    """Recognize a stream and print every answer as soon as it is known.

    Args:
        source: path of a file or pipe, or ``-`` for standard input.
        model: see `vidskim.api.stream`.
        idle_seconds: a file that has not grown for so long is finished.
        as_json: print JSON objects, one per line.
        parts: see `vidskim.api.stream`.

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
        idle_seconds=idle_seconds,
        warnings=warnings,
        **parts,
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
