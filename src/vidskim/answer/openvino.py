"""The convolutional part of a classifier by OpenVINO, in bf16 or in int8 calibrated on clips.

An extra (``pip install "vidskim[fast]"``): on a CPU with VNNI int8 is four to seven times as fast
as float32. What it costs in accuracy depends on network and footage, so it is measured on clips of
the user's own videos before anything is answered, and told. The head stays torch's, in float32.
"""

import io
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from vidskim.backbones.contract import Backbone, Features
from vidskim.errors import UsageError, VideoError, unknown_name
from vidskim.look.selection import uniform
from vidskim.video import Video

KINDS = ("bf16", "int8")
"""What ``--fast`` takes."""

CALIBRATION_CLIPS = 16
CHECK_CLIPS = 8

INSTALL = 'pip install "vidskim[fast]"'

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the fast network answers clips that it was not calibrated on, beside torch's float32."""

    num_clips: int
    max_difference: float
    """Of class probabilities, as the next."""
    mean_difference: float
    same_label: float
    """Share of the clips whose best class is the same."""
    exact_seconds: float
    """Of torch's float32 per clip, median; the next is the fast network's."""
    fast_seconds: float
    exact_accuracy: float | None = None
    """Share of the clips whose best class is their video's label, where labels are known."""
    fast_accuracy: float | None = None

    def __str__(self) -> str:
        text = (
            f"{self.num_clips} clips: probabilities differ by {self.mean_difference:.4f} on "
            f"average and {self.max_difference:.4f} at most, the best class is the same for "
            f"{self.same_label:.0%}"
        )
        if self.exact_accuracy is not None and self.fast_accuracy is not None:
            loss = self.exact_accuracy - self.fast_accuracy
            text += (
                f", clip accuracy {self.fast_accuracy:.1%} instead of {self.exact_accuracy:.1%} "
                f"(loss {loss:+.1%})"
            )
        return (
            f"{text}; {1000 * self.fast_seconds:.1f} ms per clip instead of "
            f"{1000 * self.exact_seconds:.1f}"
        )


class FastBackbone(nn.Module):
    """A backbone whose `features` run by OpenVINO; keeps the contract of `contract.Backbone`.

    Its stages, parameters and head are those of the torch network, and a copy of it is a copy of
    that network: a compiled one cannot be copied, and is not what is counted.

    Args:
        backbone: the torch network, in evaluation mode.
        kind: one of `KINDS`.
        compiled: OpenVINO's network, clips ``[N, 3, T, H, W]`` to ``[N, C, T', H', W']``.
    """

    def __init__(self, backbone: Backbone, *, kind: str, compiled: Any) -> None:
        super().__init__()
        assert isinstance(backbone, nn.Module)
        self.backbone = backbone
        self.precision = f"openvino {kind}"
        self.agreement: Agreement | None = None
        self.name = backbone.name
        self.options: Mapping[str, Any] = backbone.options
        self.num_features = backbone.num_features
        self.num_classes = backbone.num_classes
        self.classes = backbone.classes
        self.stages = backbone.stages
        self.clip = backbone.clip
        self.transform = backbone.transform
        self._compiled = compiled

    def features(self, x: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` to ``[N, C, T', H', W']``.

        Raises:
            UsageError: clips of another shape than the network was compiled for.
        """
        assert self.clip is not None
        if x.shape[1:] != self.clip.input_shape[1:]:
            raise UsageError(
                f"{self.name} was compiled for clips of {list(self.clip.input_shape[1:])}, got "
                f"{list(x.shape[1:])}"
            )
        answer = self._compiled(x.detach().float().contiguous().numpy())[0]
        return torch.from_numpy(answer.copy())  # OpenVINO writes the next answer to the same place

    def classify(self, features: Tensor) -> Tensor:
        """Map ``[N, C, T', H', W']`` to logits ``[N, num_classes]``."""
        return cast(Backbone, self.backbone).classify(features)

    def forward(self, x: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` to logits ``[N, num_classes]``."""
        return self.classify(self.features(x))

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """Return torch's stages: a split network runs by torch."""
        return cast(Backbone, self.backbone).stage_modules()

    def reset_classifier(self, num_classes: int, *, classes: tuple[str, ...] | None = None) -> None:
        """Replace the head by an untrained one.

        Raises:
            UsageError: fewer than one class, or names that do not fit the number.
        """
        cast(Backbone, self.backbone).reset_classifier(num_classes, classes=classes)
        self.num_classes, self.classes = num_classes, classes

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        return deepcopy(self.backbone, memo)


def accelerate(
    backbone: Backbone,
    *,
    kind: str,
    videos: Sequence[str | Path],
    labels: Sequence[str] | None = None,
    calibrate: Sequence[str | Path] | None = None,
) -> FastBackbone:
    """Compile a clip classifier for this CPU, and measure and log what that costs in accuracy.

    int8 is nncf's post-training quantization: the range of every activation is taken from
    `CALIBRATION_CLIPS` clips, spread evenly; no label is used. The check is on other clips, but
    where the videos are too short to have enough.

    Args:
        backbone: the network; put into evaluation mode.
        kind: "bf16" or "int8".
        videos: files whose clips are checked, and calibrated on.
        labels: what each of them shows, where known.
        calibrate: files to calibrate on instead.

    Raises:
        UsageError: an unknown kind, a network that takes no clips or cannot be compiled,
            calibration for bf16, or the extra is not installed.
        VideoError: no clip of the files can be read.
    """
    check_fast_options(kind, calibrate=calibrate is not None)
    if backbone.clip is None or backbone.transform is None:
        raise UsageError(f"{backbone.name} is no clip classifier: it has no clip to compile for")
    assert isinstance(backbone, nn.Module)
    backbone.eval().cpu()
    clips = read_clips(videos, backbone, num_clips=CALIBRATION_CLIPS + CHECK_CLIPS)
    check = clips[1::3] or clips
    rest = [clip for n, clip in enumerate(clips) if n % 3 != 1]
    if calibrate is not None:
        rest = read_clips(calibrate, backbone, num_clips=CALIBRATION_CLIPS)
    fast = compile_backbone(backbone, kind=kind, clips=[x for _, x in rest])
    known = None if labels is None else dict(zip(map(str, videos), labels, strict=True))
    fast.agreement = compare(
        backbone,
        fast,
        clips=[x for _, x in check],
        labels=None if known is None else [known[path] for path, _ in check],
    )
    logger.info("%s, %s against fp32 on %s", backbone.name, fast.precision, fast.agreement)
    return fast


def check_fast_options(
    kind: str | None, *, calibrate: bool, precision: str = "fp32", device: str = "cpu"
) -> None:
    """Refuse, before anything is read, options that do not go together.

    Args:
        kind: one of `KINDS`, or None for torch.
        calibrate: whether files to calibrate on are given.
        precision: what torch is to run in.
        device: where.

    Raises:
        UsageError: an unknown kind, calibration for another kind than int8, a precision or device
            beside it, or the extra is not installed.
    """
    if kind is None:
        if calibrate:
            raise UsageError("only fast int8 is calibrated: give --fast int8, or no --calibrate")
        return
    if precision != "fp32" or device != "cpu":
        raise UsageError(
            f"fast {kind} runs on the CPU in a precision of its own: leave precision {precision!r} "
            f"and device {device!r} out"
        )
    if kind not in KINDS:
        raise unknown_name("kind of fast network", kind, KINDS)
    if calibrate and kind != "int8":
        raise UsageError(f"only fast int8 is calibrated, {kind} is not: leave --calibrate out")
    _openvino()
    if kind == "int8":
        _nncf()


def compile_backbone(backbone: Backbone, *, kind: str, clips: Sequence[Tensor]) -> FastBackbone:
    """Compile `features` for clips of the backbone's shape and batches of any size.

    Args:
        backbone: the network, in evaluation mode on the CPU.
        kind: "bf16" or "int8".
        clips: network input ``[3, T, h, w]`` to calibrate int8 on.

    Raises:
        UsageError: the extra is not installed, or cannot compile this network.
    """
    assert backbone.clip is not None
    _openvino()
    with _quiet(), torch.no_grad():
        try:
            compiled = _compiled(backbone, kind=kind, clips=clips)
        except Exception as error:  # of many kinds, from three libraries
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"{backbone.name} cannot be compiled by OpenVINO ({reason}): leave --fast out"
            ) from error
    return FastBackbone(backbone, kind=kind, compiled=compiled)


def _compiled(backbone: Backbone, *, kind: str, clips: Sequence[Tensor]) -> Any:
    """Return OpenVINO's network of `features`."""
    from torch.export import Dim  # a second of imports that torch alone does without

    assert backbone.clip is not None
    ov = _openvino()
    shape = backbone.clip.input_shape
    program = torch.export.export(
        Features(backbone),
        (torch.zeros(2, *shape[1:]),),
        dynamic_shapes=({0: Dim("batch", min=1)},),
    )
    model = ov.convert_model(program)
    model.reshape(ov.PartialShape([-1, *shape[1:]]))
    if kind == "int8":
        nncf = _nncf()
        data = nncf.Dataset([x[None].contiguous().numpy() for x in clips])
        # the slower correction takes a few seconds and leaves a sixth of the error: with the
        # demo's classifier 0.0036 instead of 0.0202 of probability on average (36 clips)
        model = nncf.quantize(model, data, subset_size=len(clips), fast_bias_correction=False)
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if kind == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    return ov.Core().compile_model(model, "CPU", settings)


@torch.inference_mode()
def compare(
    exact: Backbone,
    fast: Backbone,
    *,
    clips: Sequence[Tensor],
    labels: Sequence[str] | None = None,
) -> Agreement:
    """Measure a fast network beside the exact one, in batches of two clips.

    A batch of one would flatter: on a CPU torch takes several times longer for it where a network
    is narrow.

    Args:
        exact: the network in float32.
        fast: the same one, faster.
        clips: network input ``[3, T, h, w]``, at least one.
        labels: the class of each clip, where known.
    """
    answers: dict[str, list[Tensor]] = {"exact": [], "fast": []}
    seconds: dict[str, list[float]] = {"exact": [], "fast": []}
    batches = [torch.stack(list(clips[n : n + 2])) for n in range(0, len(clips), 2)]
    for n, x in enumerate([batches[0], *batches]):  # the first one twice: it builds kernels
        for name, network in (("exact", exact), ("fast", fast)):
            start = time.perf_counter()
            logits = network.classify(network.features(x))
            if n:
                seconds[name].append((time.perf_counter() - start) / len(x))
                answers[name].append(torch.softmax(logits.float(), dim=1))
    true, close = (torch.cat(answers[name]) for name in ("exact", "fast"))  # [N, K]
    difference = (true - close).abs()
    names = exact.classes
    accuracy: list[float | None] = [None, None]
    if labels is not None and names is not None:
        accuracy = [
            statistics.fmean(names[int(best)] == label for best, label in zip(p.argmax(1), labels))
            for p in (true, close)
        ]
    return Agreement(
        num_clips=len(clips),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        same_label=float((true.argmax(1) == close.argmax(1)).float().mean()),
        exact_seconds=statistics.median(seconds["exact"]),
        fast_seconds=statistics.median(seconds["fast"]),
        exact_accuracy=accuracy[0],
        fast_accuracy=accuracy[1],
    )


def read_clips(
    videos: Sequence[str | Path], backbone: Backbone, *, num_clips: int
) -> list[tuple[str, Tensor]]:
    """Read clips spread evenly over files: (file, network input ``[3, T, h, w]``) of each.

    Args:
        videos: the files; where there are more than clips, some of them are left out.
        backbone: says how its clips are made.
        num_clips: how many at most.

    Raises:
        VideoError: no clip of the files can be read.
    """
    assert backbone.clip is not None
    assert backbone.transform is not None
    found: list[tuple[str, Tensor]] = []
    reason: VideoError | None = None
    chosen = [videos[i] for i in uniform(len(videos), k=num_clips)]
    for path in chosen:
        try:
            video = Video(path)
            grid = video.clips(num_frames=backbone.clip.num_frames, stride=backbone.clip.stride)
            picked = [grid[i] for i in uniform(len(grid), k=max(1, num_clips // len(chosen)))]
            for _, frames in video.iter_frames(picked):
                found.append((str(path), backbone.transform(frames)))
        except VideoError as error:
            reason = reason or error
    if not found:
        raise reason or VideoError(chosen[0], "has no clip that can be read")
    return found


def _openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report each import and conversion."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", cast(Any, None))
    try:
        with _quiet():
            import openvino
    except ImportError:
        raise UsageError(f"--fast needs OpenVINO: {INSTALL}") from None
    return openvino


def _nncf() -> Any:
    """Import nncf; with OpenVINO's telemetry out of reach its own is off, too."""
    try:
        with _quiet():
            import nncf
    except ImportError:
        raise UsageError(f"--fast int8 needs nncf: {INSTALL}") from None
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep conversion's progress bars off standard output, and its warnings to itself."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
