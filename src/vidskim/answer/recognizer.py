"""The one path from a file to an answer: look, select, read, encode, relate, aggregate."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vidskim.account import Account, MacCounter
from vidskim.answer.encode import Batch, Encoding
from vidskim.answer.lane import Head, labels_of, make_lane
from vidskim.answer.precision import check_precision
from vidskim.answer.scans import MAX_KEPT_BYTES, SharedMemory, related
from vidskim.backbones.contract import Backbone, ClipSpec, same_clip
from vidskim.clips.views import check_crops, fold
from vidskim.errors import CheckpointError, UsageError, VideoError, memory_told
from vidskim.io.live.clips import LiveClips
from vidskim.look.look import Choice, Look, told_short
from vidskim.look.selection import uniform
from vidskim.model.aggregate import Average, TemporalMax
from vidskim.model.contract import Aggregator, Context
from vidskim.model.schedule import Pattern, Schedule
from vidskim.types import ChosenClip, Clip, Origin, Prediction, Score, TimeAttention, VideoInfo
from vidskim.video import Video

BATCH_SIZE = 4
"""Views per forward pass where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Clips that were read, and logits per crop ``[V, K]``."""

    seen: tuple[ChosenClip, ...]
    logits: Tensor
    attention: TimeAttention | None = None


@runtime_checkable
class StepwiseAggregator(Protocol):
    """An `Aggregator` that can also take the clips as they come, at constant memory."""

    def start(self) -> Any:
        """Return the state before the first clip."""
        ...

    def step(self, state: Any, features: Tensor) -> Any:
        """Take in the next clips ``[B, N, C, T', H', W']``."""
        ...

    def read(self, state: Any) -> Tensor:
        """Return the logits ``[B, K]`` after the clips so far."""
        ...


class Recognizer:
    """Recognizes what happens in a video by looking closely at the clips that matter.

    The command line, the Python functions and the evaluation all answer through this class, so the
    same file gives the same answer everywhere.

    Args:
        encoder: a clip classifier, unmodified; its clip length, stride and transform are used. A
            `vidskim.answer.openvino.FastBackbone` runs on the CPU in its own precision.
        look: which clips are looked at closely.
        others: further encoders of the same clips, FASTER's cheap one; each has its own transform.
        schedule: which encoder sees which clip; by default the first one sees all.
        adapters: for each encoder, what brings its maps to the form that the aggregator takes; by
            default they are taken as they are.
        context: relates the clips of the video to each other; None leaves them alone. A
            `vidskim.answer.scans.SharedMemory` is written by the center crop of every clip and read
            by all crops, at constant memory.
        aggregator: clips to logits; by default the mean of the clips' class probabilities, each as
            its own encoder's classifier tells them, and the largest over time where several classes
            may be true.
        is_multilabel: whether several classes may be true at once: scores are sigmoids.
        max_kept_bytes: where a memory relates the clips, how much their maps may take between its
            two scans; beyond it clips are read and encoded again.
        num_crops: crops of each clip, 1 or 3 along its longer side. The clips of one crop are
            related and aggregated like those of one video; the answer is the mean probability of
            the crops (the papers' "10 clips x 3 crops" is k = 10 and num_crops = 3).
        batch_size: views (clips x crops) per forward pass, by default 4, and one clip where there
            are adapters or several encoders, as in FASTER. The size of a batch changes the last
            digits of an answer: `stream` goes clip by clip, and equals a recognizer of one clip per
            batch bit for bit.
        precision: "fp32", "bf16" (autocast of the encoders; what follows is float32), or "auto",
            the faster of both as `vidskim.answer.precision` measures it.
        device: where the networks run.
        origin: what the answers call the classifier; by default the encoder's name.

    Raises:
        UsageError: an unknown precision or device, an impossible batch size or number of crops, a
            network that takes no clips, encoders of different clips or classes, adapters without an
            aggregator.
    """

    def __init__(
        self,
        encoder: Backbone,
        *,
        look: Look,
        others: Sequence[Backbone] = (),
        schedule: Schedule | None = None,
        adapters: Sequence[nn.Module] | None = None,
        context: Context | SharedMemory | None = None,
        aggregator: Aggregator | None = None,
        is_multilabel: bool = False,
        max_kept_bytes: int = MAX_KEPT_BYTES,
        num_crops: int = 1,
        batch_size: int | None = None,
        precision: str = "fp32",
        device: str | torch.device = "cpu",
        origin: Origin | None = None,
    ) -> None:
        check_precision(precision)
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        encoders = (encoder, *others)
        clip = same_clip(encoders)
        for one in encoders:
            assert one.transform is not None
            check_crops(num_crops, one.transform)
        if others and schedule is None:
            raise UsageError(f"{len(encoders)} encoders need a schedule that tells their clips")
        if adapters is not None and len(adapters) != len(encoders):
            raise UsageError(f"{len(encoders)} encoders need as many adapters, got {len(adapters)}")
        if aggregator is None:
            if adapters is not None:
                raise UsageError("adapters bring maps to an aggregator: give one, or no adapters")
            join = TemporalMax if is_multilabel else Average
            aggregator = join(nn.Identity() if others else encoder.classify)
            adapters = [Head(e) for e in encoders] if others else None
        self.device = usable_device(device)
        self.lanes = tuple(
            make_lane(
                one,
                label=label,
                adapter=None if adapters is None else adapters[place],
                device=self.device,
                precision=precision,
            )
            for place, (one, label) in enumerate(zip(encoders, labels_of(encoders), strict=True))
        )
        for part in (context, aggregator):
            if isinstance(part, nn.Module):
                part.eval().to(self.device)
        self.encoder: Backbone = encoder
        self.clip: ClipSpec = clip
        self.look = look
        self.schedule = schedule
        self.context: Context | SharedMemory | None = context
        self.aggregator = aggregator
        self.is_multilabel = is_multilabel
        self.max_kept_bytes = max_kept_bytes
        self.num_crops = num_crops
        self.encoding = Encoding(
            self.lanes,
            num_crops=num_crops,
            batch_size=batch_size or (BATCH_SIZE if adapters is None else num_crops),
            device=self.device,
        )
        self.precision = " and ".join(dict.fromkeys(lane.precision for lane in self.lanes))
        self.origin = Origin(encoder.name) if origin is None else origin

    def with_look(self, look: Look, *, schedule: Schedule | None = None) -> "Recognizer":
        """Return the same with another look, and another schedule if given; networks are shared."""
        other = copy.copy(self)
        other.look = look
        other.schedule = schedule or self.schedule
        return other

    @torch.inference_mode()
    def __call__(self, video: Video | str | Path) -> Prediction:
        """Answer for one video.

        Raises:
            VideoError: the file cannot be read, or no clip of it can, or memory is too small.
            CheckpointError: the networks answer with something that is no number.
            UsageError: encoders whose maps differ in size, and no adapters.
        """
        if not isinstance(video, Video):
            video = Video(video)
        with memory_told(video.path):
            return self._answer(video)

    def _answer(self, video: Video) -> Prediction:
        account = Account(self.device)
        decoded, read = video.stats.frames_decoded, video.stats.bytes_read
        with account.stage("look"):
            info = video.info
            choice = self.look(
                video, num_frames=self.clip.num_frames, stride=self.clip.stride, account=account
            )
        answer = self._encode(video, choice, choice.chosen, account)
        if answer is None:
            answer = self._encode(video, choice, _others(choice), account)
            if answer is not None:
                video.warnings.append(
                    "none of the chosen clips can be read: others were seen instead"
                )
        if answer is None:
            reason = "; ".join(video.warnings) or "no frame decodes"
            raise VideoError(video.path, f"none of its clips can be read ({reason})")
        account.frames_decoded += video.stats.frames_decoded - decoded
        account.bytes_read += video.stats.bytes_read - read
        scores = choice.scores
        return self._prediction(
            info,
            answer,
            account,
            num_grid=choice.num_touching,
            saliency=None if scores is None else tuple(scores.tolist()),
            parts={name: _told(part) for name, part in choice.parts.items()} or None,
            warnings=video.warnings,
        )

    @torch.inference_mode()
    def stream(
        self,
        source: str | Path | BinaryIO,
        *,
        idle_seconds: float = 10.0,
        warnings: list[str] | None = None,
    ) -> Iterator[Prediction]:
        """Answer after every clip of a video that is still being written or sent.

        Memory does not grow with the stream. Each answer is about everything so far, and its
        ``clips`` holds the newest clip alone. The last answer's probabilities are, bit for bit,
        those that the recognizer gives for the finished file with the look ``dense`` and one clip
        per batch (FASTER, section 3.2: the state can be read at any time).

        Args:
            source: a file, which may still grow, a named pipe, or an open binary file or pipe.
            idle_seconds: a file that has not grown for so long is finished.
            warnings: what could not be read is added here too, for most of it shows only at the
                end of the stream, after the last answer.

        Yields:
            An answer as soon as the frames of a further clip are there.

        Raises:
            UsageError: a recognizer that must see the whole video first: a look other than
                ``dense``, a schedule that follows saliency, a context, an aggregator without steps.
            VideoError: the source cannot be read, or ends before its first frame.
            CheckpointError: the networks answer with something that is no number.
        """
        steps = self._online()
        account = Account(self.device)
        with LiveClips(
            source,
            num_frames=self.clip.num_frames,
            stride=self.clip.stride,
            idle_seconds=idle_seconds,
            warnings=warnings,
        ) as live:
            state = steps.start()
            clips = iter(live)
            while True:
                with account.stage("read"):
                    clip, frames = next(clips, (None, None))
                    if clip is None or frames is None:
                        return
                    if clip.index == 0 and clip.num_valid < clip.num_frames:
                        live.warnings.append(told_short(clip))
                    place = self._places(1, first=clip.index)[0]
                    batch = self.encoding.one(clip, frames, place=place)
                    del frames
                state = self._step(steps, state, self.encoding.features(batch, account), account)
                with account.stage("aggregate"), MacCounter() as counter:
                    logits = steps.read(state)
                account.add_macs(counter.macs, stage="aggregate")
                account.frames_decoded = live.stats.frames_decoded
                account.bytes_read = live.stats.bytes_read
                label = self.lanes[place].label
                yield self._prediction(
                    live.info,
                    Answer((ChosenClip(clip, None, label),), logits),
                    account,
                    num_grid=clip.index + 1,
                    warnings=live.warnings,
                )

    def _prediction(
        self,
        info: VideoInfo,
        answer: Answer,
        account: Account,
        *,
        num_grid: int,
        saliency: tuple[float, ...] | None = None,
        parts: dict[str, tuple[float | None, ...]] | None = None,
        warnings: Sequence[str],
    ) -> Prediction:
        logits = answer.logits.float()
        shares = logits.sigmoid() if self.is_multilabel else logits.softmax(1)  # [V, K]
        probability = fold(shares, num_crops=self.num_crops)[0].cpu()  # [K]
        if not probability.isfinite().all():
            raise CheckpointError(
                f"{self.origin.model}: answers with something that is no number; its weights are "
                "damaged, give others"
            )
        return Prediction(
            video=info,
            method=self.look.method,
            model=self.origin.model,
            predictions=self._ranked(probability),
            clips=answer.seen,
            saliency=saliency,
            cost=account.to_cost(dense_macs=self._dense_macs(num_grid)),
            num_crops=self.num_crops,
            precision=self.precision,
            parts=parts,
            warnings=tuple(dict.fromkeys([*self.origin.warnings, *warnings])),
            encoders=tuple(lane.label for lane in self.lanes),
            schedule=str(self.schedule) if len(self.lanes) > 1 else None,
            is_multilabel=self.is_multilabel,
            attention=answer.attention,
        )

    def _dense_macs(self, num_grid: int) -> int:
        """Return the multiply-adds of the encoder alone on every clip of a grid."""
        return self.lanes[0].clip_macs * self.num_crops * num_grid

    def _encode(
        self, video: Video, choice: Choice, chosen: Sequence[int], account: Account
    ) -> Answer | None:
        """Encode clips of the grid batch by batch; None if not one of them can be read."""
        clips = [choice.grid[n] for n in chosen]
        scores = choice.scores
        of_these = None if scores is None else scores[torch.tensor(chosen, dtype=torch.long)]
        places = self._places(len(clips), scores=of_these)
        place_of = dict(zip(chosen, places, strict=True))
        aggregator = self.aggregator
        steps: StepwiseAggregator | None = None
        context = None if isinstance(self.context, SharedMemory) else self.context
        if isinstance(aggregator, StepwiseAggregator) and context is None:
            steps = aggregator
        state = None if steps is None else steps.start()
        kept: list[Tensor] = []
        seen: list[ChosenClip] = []
        for found, features in self._features(video, clips, place_of, account):
            seen += [
                choice.as_chosen(clip, encoder=self.lanes[place_of[clip.index]].label)
                for clip in found
            ]
            if steps is None:
                kept.append(features)
            else:
                state = self._step(steps, state, features, account)
        if not seen:
            return None
        with account.stage("aggregate"), MacCounter() as counter:
            if steps is not None:
                logits = steps.read(state)
            else:
                together = torch.cat(kept, dim=1)  # [V, N, C, T', H', W']
                if context is not None:
                    together = context(together)
                logits = aggregator(together)
        account.add_macs(counter.macs, stage="aggregate")
        return Answer(tuple(seen), logits)

    def _features(
        self, video: Video, clips: Sequence[Clip], place_of: Mapping[int, int], account: Account
    ) -> Iterator[tuple[tuple[Clip, ...], Tensor]]:
        """Yield clips and their maps ``[V, n, C, T', H', W']``, related if there is a memory."""

        def batches(encoding: Encoding) -> Iterator[Batch]:
            return encoding.batches(video, clips, place_of, account)

        if isinstance(self.context, SharedMemory):
            most = max((lane.map_bytes for lane in self.lanes), default=0)
            yield from related(
                self.context,
                self.encoding,
                batches=batches,
                keeps=most * len(clips) * self.num_crops <= self.max_kept_bytes,
                account=account,
            )
            return
        for batch in batches(self.encoding):
            yield batch.clips, self.encoding.features(batch, account)

    @staticmethod
    def _step(steps: StepwiseAggregator, state: Any, features: Tensor, account: Account) -> Any:
        with account.stage("aggregate"), MacCounter() as counter:
            state = steps.step(state, features)
        account.add_macs(counter.macs, stage="aggregate")
        return state

    def _places(self, num_clips: int, *, first: int = 0, scores: Tensor | None = None) -> list[int]:
        """Return which lane sees each clip.

        Raises:
            UsageError: the schedule needs scores, or names an encoder that is not there.
        """
        if self.schedule is None:
            return [0] * num_clips
        if first:
            assert isinstance(self.schedule, Pattern)
            places = [self.schedule.at(first + n) for n in range(num_clips)]
        else:
            places = self.schedule(num_clips, scores)
        if max(places, default=0) >= len(self.lanes):
            raise UsageError(
                f"schedule {self.schedule} needs a cheap encoder beside {self.encoder.name}"
            )
        return places

    def _online(self) -> StepwiseAggregator:
        """Return the aggregator that takes clips as they come.

        Raises:
            UsageError: something must see the whole video first.
        """
        reason = ""
        if self.look.saliency is not None or self.look.k is not None:
            reason = f"method {self.look.method!r} chooses among all clips: give 'dense'"
        elif not isinstance(self.schedule, Pattern | None):
            reason = "the schedule follows the saliency of all clips: give a fixed pattern"
        elif self.context is not None:
            reason = "a memory relates all clips of a video: recognize it when it is finished"
        elif not isinstance(self.aggregator, StepwiseAggregator):
            reason = f"{type(self.aggregator).__name__} takes all clips at once"
        if reason or not isinstance(self.aggregator, StepwiseAggregator):
            raise UsageError(f"no answer after every clip: {reason}")
        return self.aggregator

    def _ranked(self, probability: Tensor) -> tuple[Score, ...]:
        names = self.encoder.classes
        if names is None or len(names) != len(probability):
            names = tuple(f"class {i}" for i in range(len(probability)))
        order = torch.sort(probability, descending=True, stable=True).indices.tolist()
        return tuple(Score(names[i], float(probability[i])) for i in order)


def usable_device(name: str | torch.device) -> torch.device:
    """Return a device that tensors can be put on.

    Raises:
        UsageError: there is no such device here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"device {str(name)!r} cannot be used here ({reason}): try 'cpu'"
        ) from None
    return device


def _told(part: Tensor) -> tuple[float | None, ...]:
    """Return scores ``[N]``, None for clips that were not seen."""
    return tuple(None if x != x else x for x in part.tolist())


def _others(choice: Choice) -> tuple[int, ...]:
    """Return as many other clips as were chosen, spread evenly, for where those cannot be read."""
    chosen = set(choice.chosen)
    rest = [clip.index for clip in choice.grid if clip.index not in chosen]
    return tuple(rest[i] for i in uniform(len(rest), k=max(1, len(chosen))))
