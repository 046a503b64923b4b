"""What a user may call a model: a backbone's name, a file of any kind, or ``demo``."""

from pathlib import Path

from vidskim.backbones.files.header import read_raw
from vidskim.backbones.open import DEMO, VALID, open_model
from vidskim.errors import UsageError
from vidskim.model.card import is_around
from vidskim.model.contract import Encoder
from vidskim.model.file import load_model
from vidskim.model.model import Model, as_model, describe
from vidskim.model.presets import single
from vidskim.types import Origin


def open_any(
    model: str | Path | Model | Encoder, *, random_weights: bool = False, keeps_files: bool = False
) -> Model:
    """Return a model, which knows where it comes from.

    Args:
        model: as `vidskim.backbones.open.open_model` takes it, the path of a file with several
            parts, or a model or encoder itself.
        random_weights: build the network of a name untrained, for measuring cost and speed.
        keeps_files: the weights of a file of several parts stay, what is untrained goes around it.

    Raises:
        UsageError: no such name, or random weights for the file of a model of several parts.
        CheckpointError: a file that holds no model, or weights that cannot be had.
    """
    if not isinstance(model, str | Path):
        return as_model(model)
    name, path = str(model), Path(model)
    is_kept = keeps_files and path.is_file() and is_around(read_raw(path))
    if name not in VALID and path.is_file() and (is_kept or not random_weights):
        found = load_model(path)
        found.origin = Origin(f"{name} ({describe(found)})")
        return found
    if name not in VALID and path.is_file() and is_around(read_raw(path)):
        raise UsageError(
            f"random weights go with a backbone's name, not with the file of a model, {name}"
        )
    network, origin = open_model(name, random_weights=random_weights)
    found = single(network)
    found.origin = origin
    return found


def is_name(model: object) -> bool:
    """Return whether a model is the name of a backbone, whose weights may have to be fetched."""
    return isinstance(model, str) and model != DEMO and not Path(model).exists()
