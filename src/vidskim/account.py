"""What an answer costs: the MACs of a network, and the running account of one video."""

import copy
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from vidskim.errors import UsageError, first_line, unknown_name
from vidskim.types import Cost

STAGES = ("look", "read", "encode", "aggregate")
"""The stages of an answer whose wall time and MACs are kept apart."""


@dataclass(frozen=True, slots=True)
class Count:
    """Multiply-adds and parameters of a network on one input.

    One multiply-add counts 1 (the papers' "GFLOPs" are 1e9 of these); convolutions, linear layers
    and matrix products are counted, nothing else.
    """

    macs: int
    params: int
    input_shape: tuple[int, ...]
    macs_with_2bn: int
    """``macs`` and two operations for each number that enters a batch norm: how selective feature
    compression counts its GFLOPs."""


def count(model: nn.Module, input_shape: Sequence[int]) -> Count:
    """Count a network on the meta device: no arithmetic is done, no weight is copied or changed.

    Args:
        model: any module with one tensor as input.
        input_shape: of that tensor; a leading batch dimension of one may be left out.

    Returns:
        The count of one call, for the input shape that was run.

    Raises:
        UsageError: the network does not take this shape.
    """
    shape = tuple(input_shape)
    if not shape or any(type(n) is not int or n < 1 for n in shape):
        raise UsageError(f"an input shape is whole numbers above zero, got {list(shape)}")
    ghost = on_meta(model)
    normalized: list[int] = []
    for module in ghost.modules():
        if isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(lambda _, args: normalized.append(args[0].numel()))
    reason: Exception | None = None
    for tried in (shape, (1, *shape)):
        normalized.clear()
        try:
            with torch.device("meta"), torch.no_grad(), MacCounter() as counter:
                ghost(torch.empty(tried))
        except Exception as error:  # of any network, wrapped
            reason = reason or error
            continue
        return Count(
            macs=counter.macs,
            params=sum(p.numel() for p in model.parameters()),
            input_shape=tried,
            macs_with_2bn=counter.macs + 2 * sum(normalized),
        )
    raise UsageError(
        f"{type(model).__name__} does not take an input of shape {list(shape)}: "
        f"{first_line(reason) if reason else ''}"
    )


class MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the multiply-adds of whatever runs inside ``with``, by torch's own formulas.

    ``torch.utils.flop_counter.FlopCounterMode`` gives the same number and says which module it
    belongs to, at twice the overhead: too much where a look runs many small operations.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self._whole: set[Any] = set()

    @property
    def macs(self) -> int:
        """Multiply-adds so far."""
        return self.flops // 2

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation and add its cost; composite ones are counted by their parts."""
        kwargs = kwargs or {}
        formula = flop_registry.get(func.overloadpacket)
        if formula is None and func not in self._whole:
            with self:
                out = _decompose(func, *args, **kwargs)
            if out is not NotImplemented:
                return out
            self._whole.add(func)
        out = func(*args, **kwargs)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=out)
        return out


def _decompose(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a composite operation by its parts; NotImplemented for any other.

    By the kernel that runs without a counter: some have a second one in Python, which rounds
    otherwise, so that counting changed single gray levels of resized frames.
    """
    composite = torch._C.DispatchKey.CompositeImplicitAutograd
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), composite):
        return func._op_dk(composite, *args, **kwargs)
    return func.decompose(*args, **kwargs)


def _unchanged(x: Tensor) -> Tensor:
    return x


def on_meta(model: nn.Module) -> nn.Module:
    """Copy a module in evaluation mode, each tensor replaced by its shape alone.

    Shapes pass its batch norms as they are: their decomposition on meta takes half of the time.
    """
    memo: dict[int, object] = {}
    for parameter in model.parameters():
        shell = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
        memo[id(parameter)] = shell
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    ghost = copy.deepcopy(model, memo).eval()
    for module in ghost.modules():
        if isinstance(module, _BatchNorm):
            module.forward = _unchanged  # type: ignore[method-assign,assignment]
    return ghost


class Account:
    """The running account of one video: seconds, MACs, frames, bytes and peak memory.

    Time runs from construction. Stages may nest: the inner one's seconds are not counted in the
    outer one, so that the stages never add up to more than the total. One account is kept by one
    thread; as peak memory belongs to the process, accounts that overlap share it.

    Args:
        device: where the networks run; on CUDA stages end with a synchronization, and the peak is
            the device's.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.frames_decoded = 0
        self.bytes_read = 0
        self.macs = dict.fromkeys(STAGES, 0)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._device = torch.device(device)
        self._open: list[str] = []
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            reset_peak_rss()
        self._start = self._mark = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charge the wall time of the block to a stage.

        Raises:
            UsageError: an unknown stage.
        """
        self._switch(_known(name), enter=True)
        try:
            yield
        finally:
            self._switch(name, enter=False)

    def add_macs(self, macs: int, *, stage: str) -> None:
        """Charge multiply-adds to a stage.

        Raises:
            UsageError: an unknown stage or a negative number.
        """
        if macs < 0:
            raise UsageError(f"MACs cannot be negative, got {macs}")
        self.macs[_known(stage)] += macs

    @property
    def peak_bytes(self) -> int:
        """Largest resident memory of the process (CUDA: of the device) since construction.

        Where the system does not let a process reset its high-water mark, since the process began.
        """
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return peak_rss_bytes()

    def to_cost(self, *, dense_macs: int) -> Cost:
        """Close the books; ``dense_macs`` is the cost of the encoder on every clip of the grid."""
        total = time.perf_counter() - self._start
        return Cost(
            macs=sum(self.macs.values()),
            dense_macs=dense_macs,
            look_macs=self.macs["look"],
            frames_decoded=self.frames_decoded,
            bytes_read=self.bytes_read,
            seconds={**self.seconds, "total": total},
            peak_bytes=self.peak_bytes,
        )

    def _switch(self, name: str, *, enter: bool) -> None:
        """Charge the time since the last switch to the stage that was running, if any was."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._mark
        self._mark = now
        if enter:
            self._open.append(name)
        else:
            self._open.pop()


def reset_peak_rss() -> bool:
    """Start the process's high-water mark of memory anew; False where that is not permitted."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_rss_bytes() -> int:
    """Return the process's high-water mark of resident memory; 0 where no way to ask is known."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _known(stage: str) -> str:
    if stage not in STAGES:
        raise unknown_name("stage", stage, STAGES)
    return stage
