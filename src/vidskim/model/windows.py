"""The early part of a network over a long video: in windows, with the answer of one pass.

A step of the early part's map depends on few frames around it, where all its operations are
convolutions and poolings. Windows that overlap by so many frames, of which only the steps that saw
all they depend on are kept, give the numbers of one pass at the memory of one window::

    frames    0 1 2 3 4 5 6 7 8 9 ...
    window 1  [-----------)             window 2          [-----------)
    kept      * * * * .                 kept              . * * * .

What a step depends on is measured, not read off the modules: not-a-numbers are put into the frames
on one side of a place, and whatever step they reach depends on that side. A network in which they
reach every step (non-local blocks, squeeze and excitation, attention) has no such windows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidskim.backbones.contract import Maps

WINDOW_FRAMES = 64
"""Frames of one window, beside those it shares with its neighbors."""

PROBE_FRAMES = 64
PROBE_SIZE = (32, 32)
"""Of the frames that are traced; every backbone takes them."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which frames a step of a map depends on.

    Step j depends on those from ``stride * j - before`` to ``stride * j + after``.
    """

    stride: int
    before: int
    after: int


def find_reach(early: nn.Module, *, num_frames: int) -> Reach | None:
    """Measure what the steps of an early part's map depend on.

    Args:
        early: from frames ``[1, 3, T, h, w]`` to a map ``[1, C, T', H', W']``, in evaluation mode.
        num_frames: of the clip it is made for.

    Returns:
        None where windows cannot give the answer of one pass: several pathways, a network that
        takes no other number of frames, a reach over hundreds of frames, or steps whose place
        depends on the number of frames.
    """
    T = PROBE_FRAMES
    while 4 * num_frames > T:
        T *= 2
    for length in (T, 2 * T, 4 * T):
        half = length // 2
        try:
            later, earlier, odd = (
                _reached(early, total, part)
                for total, part in (
                    (length, slice(half, None)),
                    (length, slice(None, half)),
                    (length + 1, slice(half, None)),
                )
            )
        except Exception:  # of the user's network, wrapped
            return None
        if later is None or earlier is None or odd is None or length % len(later):
            return None
        if not (bool(later.any()) and bool(earlier.any()) and bool(odd.any())):
            return None  # it swallows what is no number
        if not bool(later[0]) and not bool(earlier[-1]):
            if later.nonzero()[0] != odd.nonzero()[0]:  # padding depends on the length (I3D)
                return None
            reach = _reach(later, earlier, num_frames=length)
            return reach if _equals_one_pass(early, reach, num_frames=2 * length) else None
    return None


def _equals_one_pass(early: nn.Module, reach: Reach, *, num_frames: int) -> bool:
    """Say whether windows of random frames give the map of all of them at once.

    Not-a-numbers do not show what else may depend on the window: frames that are written to, a
    branch that drops them, the number of frames.
    """
    x = torch.rand((1, 3, num_frames, *PROBE_SIZE), generator=torch.Generator().manual_seed(0)).to(
        _some(early)
    )
    with torch.no_grad():
        whole = early(x.clone())
        parts = list(in_windows(early, iter(torch.split(x, PROBE_FRAMES // 2, 2)), reach=reach))
    windows = torch.cat(parts, 2)
    return windows.shape == whole.shape and torch.allclose(
        windows, whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max())
    )


def _some(module: nn.Module) -> Tensor:
    """Return a parameter, which has a device and a dtype."""
    return next(module.parameters(), torch.empty(0))


def _reached(early: nn.Module, num_frames: int, part: slice) -> Tensor | None:
    """Say which steps ``[T']`` some of the frames reach; None of several pathways."""
    some = _some(early)
    x = torch.zeros(1, 3, num_frames, *PROBE_SIZE, device=some.device, dtype=some.dtype)
    x[:, :, part] = torch.nan
    with torch.no_grad():
        maps = early(x)
    return maps.isnan().flatten(3).any(3).any(1)[0] if isinstance(maps, Tensor) else None


def _reach(later: Tensor, earlier: Tensor, *, num_frames: int) -> Reach:
    """Return the reach by which halves of some frames reach steps ``[T']``.

    What is seen at one place is exact to one stride, the rest is taken for reached.
    """
    stride = num_frames // len(later)
    half = num_frames // 2
    before = stride * int(earlier.nonzero()[-1]) - (half - 1)
    after = half - stride * int(later.nonzero()[0])
    return Reach(stride, before + stride - 1, after + stride - 1)


def in_windows(
    early: nn.Module,
    frames: Iterator[Tensor],
    *,
    reach: Reach,
    window_frames: int = WINDOW_FRAMES,
) -> Iterator[Tensor]:
    """Yield the map of a whole video part by part, in the order of time.

    Args:
        early: from ``[1, 3, T, h, w]`` to ``[1, C, T / stride, H', W']``.
        frames: of the video, ``[1, 3, t, h, w]`` each, of any length, one after another.
        reach: of the early part.
        window_frames: new frames per window; beside them it holds what it shares with its
            neighbors, up to ``before + after`` and two strides.
    """
    stride, window_frames = reach.stride, max(1, window_frames)
    room = window_frames + reach.before + reach.after + 2 * stride  # one window and its edges
    held: list[Tensor] = []
    begin, end, done = 0, 0, 0  # of the frames held; steps that were given
    for part in frames:
        while part.shape[2]:
            piece = part[:, :, : begin + room - end]
            part = part[:, :, piece.shape[2] :]
            held.append(piece)
            end += piece.shape[2]
            known = (end - 1 - reach.after) // stride + 1  # steps that saw all they depend on
            if stride * (known - done) < window_frames:
                continue
            yield _steps(early, held, first=done - begin // stride, last=known - begin // stride)
            done = known
            # a step more is held: few frames alone, at the end, may be less than a network takes
            wanted = stride * (done - 1) - reach.before
            begin = _forget(held, begin=begin, wanted=wanted, stride=stride)
    if held and end > stride * done:
        rest = _steps(early, held, first=done - begin // stride, last=None)
        if rest.shape[2]:
            yield rest


def _steps(early: nn.Module, held: list[Tensor], *, first: int, last: int | None) -> Tensor:
    """Run the early part on the frames held, which become one; return some of its steps."""
    window = held[0] if len(held) == 1 else torch.cat(held, dim=2)
    held[:] = [window]
    maps: Maps = early(window)
    assert isinstance(maps, Tensor)
    steps = maps[:, :, first:last]
    return steps if steps.shape == maps.shape else steps.clone()  # a view keeps the others, too


def _forget(held: list[Tensor], *, begin: int, wanted: int, stride: int) -> int:
    """Drop frames that no further step depends on; return where those that are left begin."""
    start = max(begin, wanted // stride * stride)
    held[:] = [held[0][:, :, start - begin :].clone()]  # a view keeps the whole window
    return start
