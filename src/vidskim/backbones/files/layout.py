"""How others name the tensors of a family: a `Layout` turns a published state dict into ours.

A layout is a table of regular expressions. A key that no rule knows keeps its name, so that the
check that follows lists it; nothing is dropped but what the layout says is for training only.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vidskim.clips.transform import Transform

Rule = tuple[str, str]
"""A pattern for the whole key and its replacement, as in `re.sub`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The names and shapes that one publisher gives to the tensors of one family."""

    publisher: str
    """As users know it: ``PySlowFast``, ``PyTorchVideo``, ``mmaction2``, ..."""
    telltale: str
    """Pattern of a key that only this layout has; the state is of this layout if a key matches."""
    rules: tuple[Rule, ...]
    """Tried in order, the first that matches a whole key renames it."""
    via: tuple[Rule, ...] = ()
    """Applied before ``rules``: into the names of another publisher, whose rules these are."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the backbone, where this publisher's differs: ``{"mid": "vmz"}``."""
    unused: tuple[Rule, ...] = ()
    """Pattern and reason for tensors that belong to training only; named in a log line."""
    convert: Callable[[str, Tensor], Tensor] | None = None
    """From our key and their tensor to ours, where shapes differ; None takes it as it is."""
    transform: Transform | None = None
    """What this publisher's networks are fed, where it differs from the builder's."""

    def matches(self, state: Mapping[str, Tensor]) -> bool:
        """Say whether a state dict is of this layout."""
        pattern = re.compile(self.telltale)
        return any(pattern.fullmatch(key) for key in state)

    def translate(self, state: Mapping[str, Tensor]) -> "Translation":
        """Rename every tensor of a state dict to ours."""
        rules = [(re.compile(pattern), new) for pattern, new in self.rules]
        via = [(re.compile(pattern), new) for pattern, new in self.via]
        unused = [(re.compile(pattern), reason) for pattern, reason in self.unused]
        tensors: dict[str, Tensor] = {}
        left_out: dict[str, str] = {}
        for key, tensor in state.items():
            reason = next((why for pattern, why in unused if pattern.fullmatch(key)), None)
            if reason is not None:
                left_out[key] = reason
                continue
            between = _rename(key, via)
            ours = _rename(between, rules)
            if ours == between:  # no rule knows it: the check lists it by its name in the file
                ours = key
            if ours in tensors:  # two of theirs for one of ours: neither may hide the other
                ours = f"{key} (beside {ours})"
            tensors[ours] = tensor if self.convert is None else self.convert(ours, tensor)
        return Translation(self.publisher, tensors, dict(self.options), left_out, self.transform)


@dataclass(frozen=True, slots=True)
class Translation:
    """A state dict in our names, what the backbone's builder needs, and what was left out."""

    publisher: str
    tensors: dict[str, Tensor]
    options: dict[str, Any]
    left_out: dict[str, str]
    """Keys of theirs to the reason why they are not needed."""
    transform: Transform | None = None
    """What the publisher feeds the network, None for what the builder says."""


def _rename(key: str, rules: list[tuple[re.Pattern[str], str]]) -> str:
    for pattern, new in rules:
        match = pattern.fullmatch(key)
        if match:
            return match.expand(new)
    return key
