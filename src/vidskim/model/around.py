"""A kind of model around a backbone: how one is opened, and what is said of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from vidskim.backbones.network import Network
from vidskim.backbones.open import is_file_of, open_model
from vidskim.errors import UsageError
from vidskim.types import Origin

Model = TypeVar("Model")


@dataclass(frozen=True, slots=True)
class Around(Generic[Model]):
    """A kind of model around a backbone: how one is opened, and what is said of it.

    Attributes:
        method: of the kind, by default.
        noun: what it adds to a backbone: "memory".
        phrase: the same as it stands in a sentence: "a memory".
        holds: says whether a file holds one.
        load: opens such a file.
        untrained: puts an untrained one around a backbone.
        told: says what a model is in a few words, its backbone's name first.
    """

    method: str
    noun: str
    phrase: str
    holds: Callable[[Path], bool]
    load: Callable[[str], Model]
    untrained: Callable[[Network], Model]
    told: Callable[[Model], str]

    def is_file(self, model: str) -> bool:
        """Say whether a model's name is the path of one.

        Raises:
            CheckpointError: the file is damaged.
        """
        return is_file_of(model, self.holds)

    def open(self, model: str, *, random_weights: bool = False) -> tuple[Model, Origin]:
        """Return a model and where it comes from.

        Args:
            model: the path of one; with random weights the name of any clip classifier, around
                which an untrained one is put.
            random_weights: build the networks untrained, for measuring cost and speed.

        Raises:
            UsageError: a model of another kind, and no random weights.
            CheckpointError: a file that is missing or damaged.
        """
        if self.is_file(model):
            if random_weights:
                raise UsageError(
                    f"random weights go with a backbone's name, not with the file of a {self.noun}"
                )
            found = self.load(model)
            return found, Origin(f"{model} ({self.told(found)})")
        if not random_weights:
            if Path(model).suffix == ".safetensors" and not Path(model).exists():
                open_model(model)  # says what is missing
            raise UsageError(
                f"method {self.method!r} needs a backbone with {self.phrase}, {model} has none: "
                f"train one with recipes/{self.method} and give its file as the model"
            )
        backbone, origin = open_model(model, random_weights=True)
        return self.untrained(backbone), origin
