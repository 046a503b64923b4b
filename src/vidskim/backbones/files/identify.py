"""Whose tensors are these: the backbone, the publisher's layout and the variant of a state dict."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from vidskim.backbones.layouts import LAYOUTS
from vidskim.backbones.registry import VARIANTS, list_networks, shapes_of
from vidskim.clips.transform import Transform
from vidskim.errors import SHOWN, CheckpointError, listed

HEAD = ("fc.weight", "fc.bias")
"""The tensors whose shapes tell the number of classes and no network."""

NORM_COUNTER = ".num_batches_tracked"
"""Absent from files of PyTorch before 0.4.1 and from Caffe2's; counts training steps only."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Identity:
    """A state dict in our names, and the backbone it belongs to."""

    name: str
    options: dict[str, Any]
    publisher: str
    """Whose names it came in; ``vidskim`` for our own, which torchvision and VMZ share."""
    tensors: dict[str, Tensor]
    left_out: dict[str, str]
    """Keys that belong to training only, to the reason."""
    share: float
    """Share of names and shapes that agree, the head's aside; 1 fits."""
    transform: Transform | None = None
    """What the publisher feeds the network, None for what the builder says."""

    @property
    def num_classes(self) -> int | None:
        """Rows of the head; None where there is no head we know."""
        weight = self.tensors.get("fc.weight")
        return weight.shape[0] if weight is not None and weight.ndim == 2 else None


def identify(state: Mapping[str, Tensor], *, name: str | None, path: Path) -> Identity:
    """Find the backbone, layout and variant that a state dict fits.

    Args:
        state: named tensors of a file.
        name: the backbone the user says it is; None looks among all.
        path: of the file, for errors.

    Returns:
        What fits, each tensor by name and shape.

    Raises:
        CheckpointError: nothing fits, or more than one backbone does and none was named; the
            nearest are named.
    """
    if name is not None:
        found = max(_readings(state, name), key=lambda reading: reading.share)
        if found.share < 1:
            raise CheckpointError(_misfit(found, state, path))
        return found
    readings = [reading for n in list_networks() for reading in _readings(state, n)]
    fitting = {reading.name: reading for reading in readings if reading.share == 1}
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise CheckpointError(
            f"{path}: fits {', '.join(fitting)}, which have the same tensors: give the backbone's "
            f"name, on the command line as {next(iter(fitting))}:{path}"
        )
    nearest = max(readings, key=lambda reading: reading.share)
    if nearest.share < 0.5:
        hint = f" (nearest: {nearest.name}, {nearest.share:.0%} of the tensors)"
        raise CheckpointError(
            f"{path}: fits no backbone{hint if nearest.share > 0 else ''}: give the backbone's name"
        )
    faults = list_faults(
        nearest.tensors, _template(nearest.name, nearest.options), any_classes=True
    )
    raise CheckpointError(f"{path}: fits no backbone, nearest is {nearest.name}: tensors {faults}")


def _readings(state: Mapping[str, Tensor], name: str) -> Iterator[Identity]:
    """Yield every way to read a state dict as one backbone: each layout, each variant."""
    for layout in LAYOUTS.get(name, ()):
        if layout.matches(state):
            read = layout.translate(state)
            yield Identity(
                name,
                read.options,
                read.publisher,
                read.tensors,
                read.left_out,
                _agreement(read.tensors, _template(name, read.options)),
                read.transform,
            )
    for options in VARIANTS.get(name, ({},)):
        agreement = _agreement(state, _template(name, options))
        yield Identity(name, dict(options), "vidskim", dict(state), {}, agreement)


def _agreement(tensors: Mapping[str, Tensor], wanted: Shapes) -> float:
    given = {(k, tuple(v.shape)) for k, v in tensors.items() if k not in HEAD}
    needed = {
        (k, shape)
        for k, shape in wanted.items()
        if k not in HEAD and (k in tensors or not k.endswith(NORM_COUNTER))
    }
    share = len(given & needed) / max(1, len(given | needed))
    # a head that is missing or of another width must not pass for a fit
    heads = [tuple(tensors[k].shape[1:]) if k in tensors else None for k in HEAD]
    fits = heads == [wanted[k][1:] if k in wanted else None for k in HEAD]
    return share if fits else min(share, 0.999)


def _template(name: str, options: Mapping[str, Any]) -> Shapes:
    return _cached_template(name, tuple(sorted(options.items())))


@cache
def _cached_template(name: str, options: tuple[tuple[str, Any], ...]) -> Shapes:
    network = shapes_of(name, num_classes=1, **dict(options))
    return {k: tuple(v.shape) for k, v in network.state_dict().items()}


def _misfit(found: Identity, state: Mapping[str, Tensor], path: Path) -> str:
    """Say what is wrong with a state dict for the backbone it was meant for."""
    faults = list_faults(found.tensors, _template(found.name, found.options), any_classes=True)
    readings = [reading for n in list_networks() for reading in _readings(state, n)]
    most = max(reading.share for reading in readings)
    likely = list(dict.fromkeys(reading.name for reading in readings if reading.share == most))
    better = most > max(0.5, found.share)
    return f"{path}: does not fit {found.name}: tensors {faults}" + (
        f"; it looks like {' or '.join(likely[:SHOWN])}" if better else ""
    )


def list_faults(tensors: Mapping[str, Tensor], wanted: Shapes, *, any_classes: bool = False) -> str:
    """List the first tensors that are missing, left over or of another shape; "" if none is.

    Args:
        tensors: in our names.
        wanted: name to shape.
        any_classes: whether the head may have any number of them.
    """

    def fits(key: str) -> bool:
        given, shape = tuple(tensors[key].shape), wanted[key]
        free = any_classes and key in HEAD
        return len(given) == len(shape) and given[free:] == shape[free:]

    def shown(key: str) -> str:
        if any_classes and key in HEAD:
            return f"[{', '.join(map(str, ['classes', *wanted[key][1:]]))}]"
        return str(list(wanted[key]))

    faults = {
        "missing": [k for k in wanted if k not in tensors and not k.endswith(NORM_COUNTER)],
        "left over": [k for k in tensors if k not in wanted],
        "of another shape": [
            f"{k} {list(tensors[k].shape)} for {shown(k)}"
            for k in wanted
            if k in tensors and not fits(k)
        ],
    }
    return ", ".join(
        f"{len(keys)} {kind} ({listed(keys)})" for kind, keys in faults.items() if keys
    )
