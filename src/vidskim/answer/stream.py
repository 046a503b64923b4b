"""Answers while a video is still being written or sent: one after every full run of clips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import torch
from torch import Tensor

from vidskim.account import Account
from vidskim.answer.encode import Answer, Batch, ClipRun
from vidskim.errors import UsageError
from vidskim.io.live.clips import LiveClips
from vidskim.look.look import told_short
from vidskim.model.schedule import Pattern
from vidskim.types import ChosenClip, Clip, Prediction

if TYPE_CHECKING:
    from vidskim.answer.recognizer import Recognizer


@torch.inference_mode()
def answers(
    recognizer: Recognizer,
    source: str | Path | BinaryIO,
    *,
    idle_seconds: float,
    warnings: list[str] | None,
) -> Iterator[Prediction]:
    """Answer after every run; see `Recognizer.stream`."""
    pattern = check_online(recognizer)
    account = Account(recognizer.device)
    state = recognizer.model.aggregator.start()
    clip = recognizer.clip
    with LiveClips(
        source,
        num_frames=clip.num_frames,
        stride=clip.stride,
        idle_seconds=idle_seconds,
        warnings=warnings,
    ) as live:
        clips = iter(live)
        for number in range(2**62):
            place = pattern.at(number)
            batch = _next(recognizer, clips, place, live, account)
            if batch is None:
                return
            state = recognizer.step(state, batch, account)
            logits = recognizer.read(state, account)
            account.frames_decoded = live.stats.frames_decoded
            account.bytes_read = live.stats.bytes_read
            label = recognizer.lanes[place].label
            seen = tuple(ChosenClip(clip, None, label) for clip in batch.runs[0].clips)
            yield recognizer.prediction(
                live.info,
                Answer(seen, logits),
                account,
                num_grid=seen[-1].clip.index + 1,
                warnings=live.warnings,
            )


def _next(
    recognizer: Recognizer,
    clips: Iterator[tuple[Clip, Tensor]],
    place: int,
    live: LiveClips,
    account: Account,
) -> Batch | None:
    """Encode the next run, as far as it comes; None at the end."""
    encoding, lane = recognizer.encoding, recognizer.lanes[place]
    seen: list[Clip] = []
    parts: list[Tensor] = []
    while len(seen) < (lane.join or 1):
        with account.stage("read"):
            clip, frames = next(clips, (None, None))
            if clip is None or frames is None:
                break
            if clip.index == 0 and clip.num_valid < clip.num_frames:
                live.warnings.append(told_short(clip))
            if lane.is_joined:
                parts.append(encoding.part(clip, frames, place))
        seen.append(clip)
        if not lane.is_joined:
            return encoding.one(clip, frames, place, account)
    if not seen:
        return None
    return encoding.encode_joined(ClipRun(place, ()), iter(parts), seen, account)


def check_online(recognizer: Recognizer) -> Pattern:
    """Return the pattern by which runs go to encoders as they come.

    Raises:
        UsageError: something must see the whole video first.
    """
    model, look, schedule = recognizer.model, recognizer.look, recognizer.schedule
    reason = ""
    if look.saliency is not None or look.k is not None:
        reason = f"method {look.method!r} chooses among all clips: give 'dense'"
    elif not isinstance(schedule, Pattern):
        reason = "the schedule follows the saliency of all clips: give a fixed pattern"
    elif model.context is not None:
        reason = "a memory relates all clips of a video: recognize it when it is finished"
    elif any(join is None for join in model.card.join):
        reason = "all clips of the video are joined: recognize it when it is finished, or give join"
    elif any(lane.clip.num_frames != recognizer.clip.num_frames for lane in recognizer.lanes):
        reason = "its encoders take other frames of a clip: recognize it when it is finished"
    if reason or not isinstance(schedule, Pattern):
        raise UsageError(f"no answer after every clip: {reason}")
    return schedule
