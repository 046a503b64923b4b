"""The networks there are: what each costs, and the weights that are published for it."""

from dataclasses import dataclass
from typing import Any

from vidskim.backbones.catalog.record import Weights
from vidskim.backbones.catalog.weights import find_weights, list_weights, split_name
from vidskim.backbones.registry import CLIP_BACKBONES, list_networks
from vidskim.cost.model import cost_of
from vidskim.errors import unknown_name

DEFAULT_KEYS = (
    "id",
    "publisher",
    "dataset",
    "url",
    "sha256_prefix",
    "license",
    "protocol",
    "top1",
    "transform",
)
"""What ``vidskim models --json`` repeats of the default weights beside the network's cost."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One line of ``vidskim models``."""

    name: str
    kind: str
    """"clip" or "image"."""
    macs: int
    params: int
    input: tuple[int, ...]
    weights: tuple[Weights, ...] = ()
    """Published ones, the default first."""

    def to_json(self) -> dict[str, Any]:
        """Return one object of ``vidskim models --json``."""
        weights = [w.to_json() for w in self.weights]
        default = weights[0] if weights else {}
        return {
            "name": self.name,
            "kind": self.kind,
            "macs": self.macs,
            "params": self.params,
            "input": list(self.input),
            **{key: default.get(key) for key in DEFAULT_KEYS},
            "weights": weights,
        }


def find_model(name: str) -> ModelRecord:
    """Return one network with its cost and its published weights.

    Args:
        name: of a network, or ``NAME@ID`` of some of its weights.

    Raises:
        UsageError: an unknown name or id; the nearest is named.
    """
    name, weights_id = split_name(given := name)
    if weights_id is not None:
        find_weights(given)
    if name not in list_networks():
        raise unknown_name("backbone", name, list_networks())
    counted = cost_of(name)
    return ModelRecord(
        name=name,
        kind="clip" if name in CLIP_BACKBONES else "image",
        macs=counted.macs,
        params=counted.params,
        input=counted.input_shape,
        weights=list_weights(name),
    )


def list_models() -> list[ModelRecord]:
    """Return every network with its cost and its published weights."""
    return [find_model(name) for name in list_networks()]
