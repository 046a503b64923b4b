"""Whether bf16 is faster here: measured once per network, before anything is answered.

bf16 (8 bits of mantissa) doubles the speed of CPUs with AVX512-BF16 or AMX and of GPUs since 2020;
where the processor only emulates it, it is slower than float32. No list of processors is kept: both
are timed. An answer in bf16 differs in the third digit, so it is taken only where that buys time.
"""

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vidskim.backbones.contract import Backbone
from vidskim.errors import UsageError, unknown_name

PRECISIONS: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16}
"""What a network runs in: its own float32, or autocast to this type."""

AUTO = "auto"
"""Asks for the faster of `PRECISIONS`."""

MIN_SPEEDUP = 1.1
"""Below this the digits that bf16 loses buy nothing."""

MAX_DIFFERENCE = 0.05
"""Largest change of any class probability that is taken for rounding."""

ROUNDS = 3

BATCH = 2
"""Clips that are timed at once: where a network is narrow, a CPU takes several times longer for the
clip of a batch of one in float32 but not in bf16, and a `Recognizer` avoids such batches."""

logger = logging.getLogger(__name__)


def running_in(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which a network runs in a precision; its own where none is known."""
    kind = PRECISIONS.get(precision)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=kind is not None)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a network took per clip in either precision, and how far its answers differed."""

    fp32_seconds: float
    bf16_seconds: float
    max_difference: float
    """Of class probabilities; not a number where bf16 gave none."""

    @property
    def precision(self) -> str:
        """The choice: bf16 where it is faster and agrees."""
        faster = self.fp32_seconds >= MIN_SPEEDUP * self.bf16_seconds
        return "bf16" if faster and self.max_difference <= MAX_DIFFERENCE else "fp32"

    def __str__(self) -> str:
        return (
            f"precision {self.precision}: fp32 {1000 * self.fp32_seconds:.1f} ms, bf16 "
            f"{1000 * self.bf16_seconds:.1f} ms per clip, probabilities differ by at most "
            f"{self.max_difference:.4f}"
        )


def check_precision(precision: str) -> None:
    """Refuse an unknown precision.

    Raises:
        UsageError: with the nearest valid name.
    """
    if precision not in (*PRECISIONS, AUTO):
        raise unknown_name("precision", precision, [*PRECISIONS, AUTO])


def resolve(precision: str, encoder: Backbone, *, device: str | torch.device = "cpu") -> str:
    """Return the precision to run a classifier in: what is asked for, or what the probe finds.

    A network is probed once for each clip and device; the finding is logged.

    Args:
        precision: one of `PRECISIONS`, or "auto".
        encoder: a clip classifier; moved to the device if it is probed.
        device: where it will run.

    Raises:
        UsageError: an unknown precision, or a network that takes no clips.
    """
    check_precision(precision)
    if precision != AUTO:
        return precision
    if encoder.clip is None:
        raise UsageError(f"{encoder.name} is no clip classifier: it has no clip to probe with")
    device = torch.device(device)
    known = _probes.setdefault(encoder, {})
    key = f"{encoder.clip}, {device}"
    if key not in known:
        known[key] = probe(encoder, device=device)
        logger.info("%s, %s", encoder.name, known[key])
    return known[key].precision


_probes: WeakKeyDictionary[Backbone, dict[str, Probe]] = WeakKeyDictionary()
"""Findings by network, then by clip and device."""


@torch.inference_mode()
def probe(
    encoder: Backbone,
    *,
    device: torch.device | str = "cpu",
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Probe:
    """Time `BATCH` clips in both precisions, in turn, after one round that only warms up.

    The clips are stored channels last, as a `Recognizer` gives them.

    Args:
        encoder: a clip classifier; put into evaluation mode on the device.
        device: where it runs.
        rounds: timed passes per precision; the median counts.
        clock: gives seconds.
    """
    assert isinstance(encoder, nn.Module)
    assert encoder.clip is not None
    encoder.eval().to(device)
    device = torch.device(device)
    x = _clips(encoder.clip.input_shape[1:]).to(device)
    x = x.contiguous(memory_format=torch.channels_last_3d)
    seconds: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    answers: dict[str, Tensor] = {}
    for turn in range(rounds + 1):
        for name in PRECISIONS:
            start = clock()
            with running_in(name, device):
                features = encoder.features(x)
            logits = encoder.classify(features.float())  # [N, K]
            answers[name] = torch.softmax(logits.float(), dim=1).cpu()  # waits for the device
            if turn:
                seconds[name].append((clock() - start) / len(x))
    difference = (answers["fp32"] - answers["bf16"]).abs().max()
    return Probe(
        fp32_seconds=statistics.median(seconds["fp32"]),
        bf16_seconds=statistics.median(seconds["bf16"]),
        max_difference=float(difference),
    )


def _clips(shape: tuple[int, int, int, int]) -> Tensor:
    """Draw `BATCH` clips (3, T, h, w), smooth over time and space as pictures are, always alike."""
    coarse = [max(1, n // 8) for n in shape[1:]]
    noise = torch.randn(BATCH, shape[0], *coarse, generator=torch.Generator().manual_seed(0))
    return interpolate(noise, size=shape[1:], mode="trilinear")
