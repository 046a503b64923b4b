"""The one path from a file to an answer: look, schedule, read, encode, relate, aggregate."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from vidskim.account import Account, MacCounter
from vidskim.answer.attention import together
from vidskim.answer.encode import Answer, Batch, ClipRun, Encoding, runs_of_choice
from vidskim.answer.lane import Encoded, labels_of, make_lane
from vidskim.answer.precision import check_precision
from vidskim.answer.scans import MAX_KEPT_BYTES, related
from vidskim.answer.stream import answers
from vidskim.backbones.contract import ClipSpec
from vidskim.clips.views import check_crops, fold
from vidskim.errors import CheckpointError, UsageError, VideoError, first_line, memory_told
from vidskim.look.look import Choice, Look
from vidskim.look.selection import uniform
from vidskim.model.compressed import Compressed
from vidskim.model.contract import Encoder
from vidskim.model.model import Model, as_model
from vidskim.model.schedule import Routed, Schedule, places_of
from vidskim.types import ChosenClip, Prediction, Score, TimeAttention, VideoInfo
from vidskim.video import Video

BATCH_SIZE = 4
"""Views per forward pass where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """How an answer is computed; what it is, but for its last digits, does not depend on this.

    Attributes:
        crops: crops of each clip, 1 or 3 along its longer side. The clips of one crop are related
            and aggregated like those of one video; the answer is the mean probability of the crops
            (the papers' "10 clips x 3 crops" is k = 10 and crops = 3).
        batch_size: views (clips x crops) per forward pass, by default 4, and one clip where there
            are adapters or several encoders, as in FASTER. `Recognizer.stream` goes clip by clip,
            and equals a recognizer of one clip per batch bit for bit.
        precision: "fp32", "bf16" (autocast of the encoders; what follows is float32), or "auto",
            the faster of both as `vidskim.answer.precision` measures it.
        device: where the networks run.
        max_kept_bytes: what the maps of a video may take between a memory's two scans; beyond it
            clips are read and encoded again.

    Raises:
        UsageError: an unknown precision, an impossible batch size.
    """

    crops: int = 1
    batch_size: int | None = None
    precision: str = "fp32"
    device: str | torch.device = "cpu"
    max_kept_bytes: int = MAX_KEPT_BYTES

    def __post_init__(self) -> None:
        check_precision(self.precision)
        for name in ("crops", "batch_size", "max_kept_bytes"):
            value = getattr(self, name)
            least = 0 if name == "max_kept_bytes" else 1
            if value is not None and (type(value) is not int or value < least):
                raise UsageError(f"{name} is a whole number, at least {least}, got {value!r}")


class Recognizer:
    """Recognizes what happens in a video by encoding the clips that matter.

    The command line, the Python functions and the evaluation all answer through this class, so the
    same file gives the same answer everywhere.

    Args:
        model: encoders and what is around them; an encoder by itself is averaged over its clips.
        look: which clips are encoded.
        schedule: which encoder takes which run of clips, by default the model's.
        runtime: crops, batches, precision, device.

    Raises:
        UsageError: an unknown precision or device, an impossible batch size or number of crops.
    """

    def __init__(
        self,
        model: Model | Encoder,
        *,
        look: Look,
        schedule: Schedule | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        for what, given, kind in (("look", look, Look), ("runtime", runtime, Runtime | None)):
            if not isinstance(given, kind):
                raise UsageError(f"{what} is a vidskim.{what.title()}, got {given!r}")
        if schedule is not None and not callable(schedule):
            raise UsageError(
                f"a schedule is a pattern or function of vidskim.model.schedule, got {schedule!r}"
            )
        self.model = model = as_model(model).eval()
        self.look = look
        self.schedule: Schedule = model.pattern if schedule is None else schedule
        self.runtime = runtime = runtime or Runtime()
        for encoder in model.networks:
            check_crops(runtime.crops, encoder.transform)
        self.device = usable_device(runtime.device)
        parts = zip(
            model.networks, labels_of(model.networks), model.adapters, model.card.join, strict=True
        )
        self.lanes = tuple(
            make_lane(
                encoder,
                label=label,
                adapter=adapter,
                join=join,
                device=self.device,
                precision=runtime.precision,
            )
            for encoder, label, adapter, join in parts
        )
        around: tuple[object, ...] = (model.context, model.aggregator)
        for part in around:
            if isinstance(part, nn.Module):
                part.to(self.device)
        plain = all(isinstance(adapter, nn.Identity) for adapter in model.adapters)
        self.encoding = Encoding(
            self.lanes,
            num_crops=runtime.crops,
            batch_size=runtime.batch_size or (BATCH_SIZE if plain else runtime.crops),
            device=self.device,
        )
        self.precision = " and ".join(dict.fromkeys(lane.precision for lane in self.lanes))

    @property
    def clip(self) -> ClipSpec:
        """The clip that lays the grid: the first encoder's."""
        return self.lanes[0].clip

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
            CheckpointError: the networks give NaN or infinity.
            UsageError: encoders whose maps differ in size, and no adapters.
        """
        if not isinstance(video, Video):
            video = Video(video)
        with memory_told(video.path):
            return self._answer(video)

    def stream(
        self,
        source: str | Path | BinaryIO,
        *,
        idle_seconds: float = 10.0,
        warnings: list[str] | None = None,
    ) -> Iterator[Prediction]:
        """Answer after every run of a video that is still being written or sent.

        Memory does not grow with the stream. Each answer is about everything so far, and its
        ``clips`` holds the newest run alone. The last answer's probabilities are, bit for bit,
        those that the recognizer gives for the finished file with the look ``dense`` and one clip
        per batch (FASTER, section 3.2: the state can be read at any time).

        Args:
            source: a file, which may still grow, a named pipe, or an open binary file or pipe.
            idle_seconds: a file that has not grown for so long is finished.
            warnings: what could not be read is added here too, for most of it shows only at the
                end of the stream, after the last answer.

        Yields:
            An answer as soon as the frames of a further run are there.

        Raises:
            UsageError: parts that must see the whole video first: a look other than ``dense``, a
                schedule that follows saliency, a context, clips that are all joined.
            VideoError: the source cannot be read, or ends before its first frame.
            CheckpointError: the networks give NaN or infinity.
        """
        return answers(self, source, idle_seconds=idle_seconds, warnings=warnings)

    def _answer(self, video: Video) -> Prediction:
        account = Account(self.device)
        decoded, read = video.stats.frames_decoded, video.stats.bytes_read
        with account.stage("look"):
            info = video.info
            choice = self.look(
                video, num_frames=self.clip.num_frames, stride=self.clip.stride, account=account
            )
            if isinstance(self.schedule, Routed) and self.schedule.by is not None:
                choice = choice.routed_by(self.schedule.by, video, account)
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
        scores = choice.shown
        return self.prediction(
            info,
            answer,
            account,
            num_grid=choice.num_touching,
            saliency=None if scores is None else tuple(scores.tolist()),
            parts=choice.told_parts,
            warnings=video.warnings,
        )

    def prediction(
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
        """Return an answer with what it cost; ``num_grid`` clips are side by side in the video."""
        model = self.model
        logits = answer.logits.float()
        shares = logits.sigmoid() if model.card.is_multilabel else logits.softmax(1)  # [V, K]
        probability = fold(shares, num_crops=self.runtime.crops)[0].cpu()  # [K]
        if not probability.isfinite().all():
            raise CheckpointError(
                f"{model.origin.model}: answers with something that is no number; its weights are "
                "damaged, give others"
            )
        lane = self.lanes[0]
        dense_macs = lane.clip_macs * self.runtime.crops * lane.bare_clips(num_grid)
        return Prediction(
            video=info,
            method=self.look.method,
            model=model.origin.model,
            predictions=self._ranked(probability),
            clips=answer.seen,
            saliency=saliency,
            cost=account.to_cost(dense_macs=dense_macs),
            num_crops=self.runtime.crops,
            precision=self.precision,
            parts=parts,
            warnings=tuple(dict.fromkeys([*model.origin.warnings, *warnings])),
            encoders=tuple(lane.label for lane in self.lanes),
            schedule=str(self.schedule) if len(self.lanes) > 1 else None,
            is_multilabel=model.card.is_multilabel,
            attention=answer.attention,
        )

    def _encode(
        self, video: Video, choice: Choice, chosen: Sequence[int], account: Account
    ) -> Answer | None:
        """Encode clips of the grid; None if not one of them can be read."""
        runs = self._runs(video, choice, chosen)
        aggregator = self.model.aggregator
        state = aggregator.start()
        seen: list[ChosenClip] = []
        attended: list[tuple[ClipRun, Encoded]] = []
        for batch in self._related(video, runs, account):
            for run in batch.runs:
                label = self.lanes[run.place].label
                seen += [choice.as_chosen(clip, encoder=label) for clip in run.clips]
            attended += zip(batch.runs, batch.encoded)
            state = self.step(state, batch, account)
        if not seen:
            return None
        attention = self._attention(video, attended)
        return Answer(tuple(seen), self.read(state, account), attention)

    def _runs(self, video: Video, choice: Choice, chosen: Sequence[int]) -> list[ClipRun]:
        """Return the inputs of the encoders in time order."""
        return runs_of_choice(
            choice,
            chosen,
            self.places(len(chosen), scores=choice.scores_to_route(chosen)),
            join=self.model.card.join,
            total=len(video.timestamps_seconds),
            end_seconds=video.packets.end_seconds,
        )

    def _related(self, video: Video, runs: Sequence[ClipRun], account: Account) -> Iterator[Batch]:
        """Yield runs and their maps, which share a memory if there is one."""

        def batches(encoding: Encoding) -> Iterator[Batch]:
            return encoding.batches(video, runs, account)

        context = self.model.context
        if context is None:
            return batches(self.encoding)
        most = max(lane.map_bytes for lane in self.lanes)
        total = most * sum(len(run.clips) for run in runs) * self.runtime.crops
        return related(
            context,
            self.encoding,
            batches=batches,
            keeps=total <= self.runtime.max_kept_bytes,
            account=account,
        )

    def step(self, state: Any, batch: Batch, account: Account) -> Any:
        """Take runs into the aggregator's state."""
        counts = batch.counts
        more = {} if counts is None else {"counts": counts}
        with account.stage("aggregate"), MacCounter() as counter:
            state = self.model.aggregator.step(state, batch.maps, **more)
        account.add_macs(counter.macs, stage="aggregate")
        return state

    def read(self, state: Any, account: Account) -> Tensor:
        """Return the logits ``[V, K]`` of a state."""
        with account.stage("aggregate"), MacCounter() as counter:
            logits = self.model.aggregator.read(state)
        account.add_macs(counter.macs, stage="aggregate")
        wanted = (self.runtime.crops, self.model.num_classes)
        if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
            given = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise UsageError(
                f"aggregator {type(self.model.aggregator).__name__} gives {given} for "
                f"{wanted[0]} crops and {wanted[1]} classes: logits {list(wanted)}"
            )
        return logits

    def places(self, num_clips: int, *, scores: Tensor | None = None) -> list[int]:
        """Return which encoder takes each of the chosen clips; a pattern counts runs.

        Raises:
            UsageError: the schedule needs scores, or names an encoder that is not there.
        """
        return places_of(self.schedule, num_clips, join=self.model.card.join, scores=scores)

    def _attention(
        self, video: Video, attended: Sequence[tuple[ClipRun, Encoded]]
    ) -> TimeAttention | None:
        """Return what was attended to in all runs that were compressed, and warn of repeats."""
        found = []
        for run, encoded in attended:
            encoder = self.model.networks[run.place]
            if not isinstance(encoder, Compressed) or encoded.attention is None:
                continue
            frames = [n for clip in run.clips for n in clip.frame_indices[: clip.num_valid]]
            taken = encoder.frames_taken(len(frames))
            warning = (
                f"{encoder.name} with a ratio of {encoder.compression.ratio} takes no input of "
                f"{len(frames)} frames: the last one is repeated up to {taken}"
            )
            if taken > len(frames) and warning not in video.warnings:
                video.warnings.append(warning)
            found.append((encoded.attention, frames, encoder.first_frames(encoded.num_steps)))
        return together(found, times=video.timestamps_seconds.tolist()) if found else None

    def _ranked(self, probability: Tensor) -> tuple[Score, ...]:
        names = self.model.classes
        if names is None:
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
        reason = first_line(error)
        raise UsageError(
            f"device {str(name)!r} cannot be used here ({reason}): try 'cpu'"
        ) from None
    return device


def _others(choice: Choice) -> tuple[int, ...]:
    """Return as many other clips as were chosen, spread evenly, for where those cannot be read."""
    chosen = set(choice.chosen)
    rest = [clip.index for clip in choice.grid if clip.index not in chosen]
    return tuple(rest[i] for i in uniform(len(rest), k=max(1, len(chosen))))
