"""Recognizing a whole video in one pass, compressed inside the network (SFC).

Clips are chosen as for any other classifier: all of them, or segments. But they are not encoded one
by one: their frames, joined, are the input of one pass (selective feature compression, sections 3
and 6).
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vidskim.account import Account, MacCounter
from vidskim.answer.precision import running_in
from vidskim.answer.recognizer import Answer, Recognizer, StepwiseAggregator
from vidskim.backbones.contract import ClipSpec
from vidskim.clips.grid import with_rest
from vidskim.errors import UsageError
from vidskim.look.look import Choice, Look
from vidskim.model.compressed import Compressed
from vidskim.model.compression import Attention
from vidskim.types import Clip, Origin, TimeAttention
from vidskim.video import Video


class WholeRecognizer(Recognizer):
    """A `Recognizer` that joins the chosen clips to one input of a compressed backbone.

    Args:
        model: the backbone with its compression.
        look: which clips are joined; ``dense`` for the whole video.
        segment: the clips that are chosen from, by default the model's own.
        num_crops: must be 1: whole frames are seen.
        precision: see `Recognizer`; the attention itself is float32.
        device: where the networks run.
        origin: what the answers call the model.

    Raises:
        UsageError: several crops, or see `Recognizer`.
    """

    def __init__(
        self,
        model: Compressed,
        *,
        look: Look,
        segment: ClipSpec | None = None,
        num_crops: int = 1,
        precision: str = "fp32",
        device: str | torch.device = "cpu",
        origin: Origin | None = None,
    ) -> None:
        if num_crops != 1:
            raise UsageError(
                f"a whole video is seen in whole frames, not in {num_crops} crops: leave them out"
            )
        super().__init__(
            model.backbone, look=look, precision=precision, device=device, origin=origin
        )
        self.model = model.eval().to(self.device)
        self.clip = segment or model.segment
        if not model.takes_own_length():
            model.reach()  # what is measured once belongs to the account of no video

    def _encode(
        self, video: Video, choice: Choice, chosen: Sequence[int], account: Account
    ) -> Answer | None:
        """Join clips of the grid, and answer for all of them; None if none can be read.

        All clips are all of the video, the rest behind the last one too.
        """
        seen: list[Clip] = []
        clips = [choice.grid[n] for n in chosen]
        if len(clips) == len(choice.grid):
            total = len(video.timestamps_seconds)
            clips = with_rest(clips, total, end_seconds=video.packets.end_seconds)
        parts = self._read(video, clips, seen, account)
        first = next(parts, None)
        if first is None:
            return None
        runs = running_in(self.lanes[0].precision, self.device)
        with account.stage("encode"), MacCounter() as counter, runs:
            answer = self.model.answer(_chained(first, parts))
        account.add_macs(counter.macs, stage="encode")
        frames = [n for clip in seen for n in clip.frame_indices[: clip.num_valid]]
        taken = self.model.frames_taken(len(frames))
        if taken > len(frames):
            video.warnings.append(
                f"{self.model.name} with a ratio of {self.model.compression.ratio} takes no input "
                f"of {len(frames)} frames: the last one is repeated up to {taken}"
            )
        return Answer(
            tuple(choice.as_chosen(clip, encoder=self.lanes[0].label) for clip in seen),
            answer.logits.float(),
            time_attention(
                answer.attention,
                frames=frames,
                first_frames=self.model.first_frames(answer.num_steps),
                times=video.timestamps_seconds.tolist(),
            ),
        )

    def _dense_macs(self, num_grid: int) -> int:
        """Return the multiply-adds of the backbone on clips of its own length, as many as fill."""
        num_clips = -(-num_grid * self.clip.num_frames // self.model.clip.num_frames)
        return super()._dense_macs(num_clips)

    def _online(self) -> StepwiseAggregator:
        raise UsageError(
            "no answer after every clip: a compression sees the whole video: recognize it when it "
            "is finished"
        )

    def _read(
        self, video: Video, clips: Sequence[Clip], seen: list[Clip], account: Account
    ) -> Iterator[Tensor]:
        """Yield the frames of clips ``[1, 3, t, h, w]``, each once, and say which were read."""
        stream = video.iter_frames(list(clips))
        while True:
            with account.stage("read"):
                clip, frames = next(stream, (None, None))
                if clip is None or frames is None:
                    return
                x = self.model.transform(frames[: clip.num_valid])[None]
                del frames  # before the next clip is read: 44 MB at 1280x720
                seen.append(clip)
                x = x.to(self.device).contiguous(memory_format=torch.channels_last_3d)
            yield x


def time_attention(
    attention: Attention,
    *,
    frames: Sequence[int],
    first_frames: Sequence[int],
    times: Sequence[float],
) -> TimeAttention:
    """Say of an attention over the steps of a map when these are.

    Args:
        attention: of one video.
        frames: numbers of the frames that went in.
        first_frames: place of the frame that each step of the map begins with, ``[T]``; where the
            last frame was repeated, the last steps are its.
        times: of every frame of the video, in seconds.
    """
    indices = tuple(frames[min(place, len(frames) - 1)] for place in first_frames)
    return TimeAttention(
        frame_indices=indices,
        seconds=tuple(times[min(n, len(times) - 1)] for n in indices),
        weights=attention.weights[0].float().cpu(),
        kept=None if attention.kept is None else tuple(attention.kept[0].tolist()),
    )


def _chained(first: Tensor, rest: Iterator[Tensor]) -> Iterator[Tensor]:
    yield first
    yield from rest
