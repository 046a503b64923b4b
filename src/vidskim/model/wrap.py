"""Any `nn.Module` that takes clips as an encoder: `wrap`."""

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from vidskim.account import on_meta
from vidskim.backbones.contract import ClipSpec, Maps, check_classes
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError, first_line, listed

Part = str | Callable[[Any, Tensor], Tensor]
"""A submodule or method of a module by its (dotted) name, or a function of module and input."""


PROBED = 64
"""Logits by which a wrapped network is known again."""


@dataclass(frozen=True, slots=True)
class Split:
    """How a module falls into features and classifier.

    Attributes:
        features: clips ``[N, 3, T, H, W]`` to ``[N, C, T', H', W']``; None for the stages in order.
        classify: ``[N, C, T', H', W']`` to logits ``[N, K]``.
        stages: names of submodules in order, which are the features together.
    """

    features: Part | None = None
    classify: Part | None = None
    stages: tuple[str, ...] = ()


class Wrapped(nn.Module):
    """A module that keeps the contract of `vidskim.model.contract.Encoder`; see `wrap`."""

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        clip: ClipSpec,
        transform: Transform,
        classes: tuple[str, ...] | None,
        split: Split,
    ) -> None:
        super().__init__()
        self.module = module
        self.name = name
        self.clip: ClipSpec | None = clip
        self.transform: Transform | None = transform
        self.classes = classes
        self.num_classes = 0
        self.num_features = 0
        self.options: Mapping[str, Any] = {}
        self.stages = split.stages
        self._split = split

    @property
    def has_maps(self) -> bool:
        """Whether its features are maps, which a memory or a trained aggregator can work on."""
        return self._split.classify is not None

    def features(self, x: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` to maps, of a module in one piece to its logits as such."""
        if self._split.features is not None:
            return _call(self.module, self._split.features, x)
        if self.stages:
            maps: Maps = x
            for stage in self.stage_modules():
                maps = stage(maps)
            return maps  # type: ignore[return-value]  # checked once, when it is wrapped
        logits: Tensor = self.module(x)
        is_flat = isinstance(logits, Tensor) and logits.ndim == 2
        return logits.reshape(*logits.shape, 1, 1, 1) if is_flat else logits

    def classify(self, features: Tensor) -> Tensor:
        """Map ``[N, C, T', H', W']`` to logits ``[N, K]``."""
        if self._split.classify is not None:
            return _call(self.module, self._split.classify, features)
        return features.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` to logits ``[N, K]``."""
        return self.classify(self.features(x))

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """Return one module per stage."""
        return tuple(self.module.get_submodule(stage) for stage in self.stages)


def wrap(
    module: nn.Module,
    *,
    name: str,
    clip: ClipSpec,
    transform: Transform,
    classes: Sequence[str] | int,
    features: Part | None = None,
    classify: Part | None = None,
    stages: Sequence[str] | None = None,
) -> Wrapped:
    """Make an encoder of any module that takes clips ``[N, 3, T, H, W]``, in evaluation mode.

    Alone its clips are chosen, streamed and averaged. With ``features`` and ``classify`` a memory
    and FAST-GRU go around it, with ``stages`` and ``classify`` a compression goes inside. Sizes
    and costs are found without computing anything.

    Args:
        module: gives logits ``[N, K]``.
        name: what answers call it.
        clip: the clips it takes.
        transform: from decoded frames to its input.
        classes: a list of their names, or K.
        features: the part that gives maps ``[N, C, T', H', W']``: a submodule or method by its
            name, or a function of module and input.
        classify: the part that maps these to logits, likewise.
        stages: names of submodules that are the features, one after another.

    Raises:
        UsageError: an output of another shape than ``[N, K]``, no classes, features without
            classify, a stage or part that the module does not have, a value of another type.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(f"wrap takes an nn.Module, got {type(module).__name__}")
    if not isinstance(name, str) or not name:
        raise UsageError(f"a wrapped network has a name, a word, got {name!r}")
    kinds = {p.dtype for p in module.parameters() if p.is_floating_point()} - {torch.float32}
    if kinds:
        raise UsageError(
            f"{name}: has parameters of {listed(sorted(map(str, kinds)))}: give it in float32 "
            "(module.float()); what it runs in is the option precision"
        )
    _check_input(clip, transform, name=name)
    number, names = _classes(classes, name=name)
    if isinstance(stages, str):
        raise UsageError(f"{name}: stages are a list of names, got {stages!r}")
    split = Split(features, classify, tuple(stages or ()))
    _check_split(module, split, name=name)
    wrapped = Wrapped(
        module, name=name, clip=clip, transform=transform, classes=names, split=split
    ).eval()
    wrapped.num_classes, wrapped.num_features = number, _num_features(wrapped, clip, number)
    return wrapped


def _check_input(clip: ClipSpec, transform: Transform, *, name: str) -> None:
    for what, given, kind in (("clip", clip, ClipSpec), ("transform", transform, Transform)):
        if not isinstance(given, kind):
            raise UsageError(
                f"{name}: {what} is a vidskim.{kind.__name__}, got {type(given).__name__}"
            )
    size = transform.crop or transform.resize_to
    if size is not None and tuple(size) != clip.size:
        raise UsageError(
            f"{name}: its transform gives frames of {size[0]}x{size[1]}, its clip has "
            f"{clip.size[0]}x{clip.size[1]}: give both the same"
        )


def _classes(classes: object, *, name: str) -> tuple[int, tuple[str, ...] | None]:
    """Return K and the names, None where there are none."""
    if isinstance(classes, list | tuple) and all(isinstance(c, str) for c in classes):
        if len(set(classes)) < len(classes):
            raise UsageError(f"{name}: two classes have the same name: {listed(list(classes))}")
        check_classes(len(classes), tuple(classes))
        return len(classes), tuple(classes)
    if hasattr(classes, "__index__") and not isinstance(classes, bool):
        number = operator.index(classes)
        check_classes(number, None)
        return number, None
    raise UsageError(f"{name}: classes are a list of their names, or how many, got {classes!r}")


def identity(wrapped: Wrapped) -> dict[str, Any]:
    """Return what tells a wrapped network from others, as plain JSON values.

    Functions are told apart by what comes out: the first logits of a fixed clip.
    """
    assert wrapped.clip is not None
    assert wrapped.transform is not None
    told = {
        "fingerprint": weights_sha256(wrapped),
        "clip": wrapped.clip.to_dict(),
        "transform": wrapped.transform.to_dict(),
        "classes": wrapped.classes,
        "stages": wrapped.stages,
        "logits": _probed(wrapped),
    }
    plain: dict[str, Any] = json.loads(json.dumps(told))
    return plain


def differs(wrapped: Wrapped, told: Mapping[str, Any]) -> str:
    """Return in what a wrapped network is not the one that was told of, "" for nothing."""
    for key, value in identity(wrapped).items():
        known = told.get(key)
        if key not in told or known == value:
            continue
        if key == "logits" and known is not None and value is not None:
            one, other = (torch.tensor(numbers, dtype=torch.float64) for numbers in (value, known))
            if one.shape == other.shape and torch.allclose(one, other, rtol=1e-3, atol=1e-4):
                continue
        return {"fingerprint": "weights", "logits": "answers"}.get(key, key)
    return ""


def _probed(wrapped: Wrapped) -> list[float] | None:
    """Return the first logits of a fixed clip, None where they are no numbers."""
    assert wrapped.clip is not None
    some = next(wrapped.parameters(), torch.empty(0))
    shape = wrapped.clip.input_shape
    x = torch.sin(torch.arange(math.prod(shape), dtype=torch.float64)).reshape(shape)
    with torch.no_grad():
        logits = wrapped(x.to(some)).flatten()[:PROBED].double().cpu()
    return logits.tolist() if bool(logits.isfinite().all()) else None


def _check_split(module: nn.Module, split: Split, *, name: str) -> None:
    features, classify, stages = split.features, split.classify, split.stages
    if features is not None and stages:
        raise UsageError(f"{name}: stages are its features: leave one of both out")
    has_features = features is not None or bool(stages)
    if has_features and classify is None:
        raise UsageError(f"{name}: features or stages go with classify, from maps to logits")
    if classify is not None and not has_features:
        raise UsageError(f"{name}: classify goes with features or stages, which give the maps")
    for part in (features, classify, *stages):
        if isinstance(part, str) and _found(module, part) is None:
            raise UsageError(f"{name}: {type(module).__name__} has no part {part!r}")


def _num_features(wrapped: Wrapped, clip: ClipSpec, num_classes: int) -> int:
    """Return C of its maps, once they and its logits have the right shapes."""
    name = wrapped.name
    try:
        ghost = cast(Wrapped, on_meta(wrapped))
    except Exception as error:  # of the user's module
        raise UsageError(
            f"{name}: cannot be copied to count it: {first_line(error)}; give a module of modules, "
            "parameters and buffers"
        ) from None
    maps = _tried(name, ghost.features, torch.empty(clip.input_shape, device="meta"))
    if maps.ndim != 5:
        raise UsageError(
            f"{name}: features give {list(maps.shape)} for a clip, maps are [1, C, T, H, W]"
            if wrapped.has_maps
            else f"{name}: gives {list(maps.shape)} for a clip, logits are [1, {num_classes}]"
        )
    logits = _tried(name, ghost.classify, maps)
    if tuple(logits.shape) != (1, num_classes):
        raise UsageError(
            f"{name}: gives {list(logits.shape)} for a clip, {num_classes} classes are logits "
            f"[1, {num_classes}]: give as many classes as it has"
        )
    return maps.shape[1]


def _tried(name: str, part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return what a part makes of a shape.

    Raises:
        UsageError: it does not take it, or gives something else than a tensor.
    """
    try:
        with torch.device("meta"), torch.no_grad():
            made = part(x)
    except Exception as error:  # of the user's module
        raise UsageError(
            f"{name}: does not take {list(x.shape)}: {first_line(error)}; what it keeps are "
            "parameters or buffers, and nothing in it depends on values"
        ) from None
    if not isinstance(made, Tensor):
        raise UsageError(f"{name}: gives a {type(made).__name__} for a clip, not a tensor")
    return made


def _found(module: nn.Module, name: str) -> Any:
    """Return a submodule or method by its dotted name, None where there is none."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if callable(found) else None


def _call(module: nn.Module, part: Part, x: Tensor) -> Tensor:
    result: Tensor = _found(module, part)(x) if isinstance(part, str) else part(module, x)
    return result
