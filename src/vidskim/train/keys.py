"""What the keys of a recipe are given: null and empty text stand only where they mean something."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from vidskim.errors import UsageError

PLACES: Mapping[str, str] = {
    "data": "a manifest, or a folder with one folder per class",
    "out": "the folder of the run",
    "cache": "a folder",
}
"""Keys that every recipe must name something by; empty they would be the current folder."""

WANTED: Mapping[str, str] = {
    **PLACES,
    "at": "the name of a stage, or null for the usual one",
    "audio": "the checkpoint of a network that listens",
    "cheap": "the checkpoint of a clip classifier, or null to do without",
    "classifier": "the checkpoint of a clip classifier, or null to do without",
    "drop_epochs": "rising numbers with commas between, or null for half a cosine",
    "expensive": "the checkpoint of a clip classifier",
    "init": "a checkpoint to start from, or null to start from scratch",
    "model": "the name of a network",
    "moments": "a manifest of moments, or null to do without",
    "network": "the name of a network",
    "pattern": "which encoder sees which clip, as in 1:7",
    "sampler": "checkpoints of saliency networks with commas between, or null for the demo's",
    "sfc.init": "the checkpoint of a backbone, or null beside the name of one as model",
    "sfc.model": "the name of a backbone, or null beside its checkpoint as init",
    "test_split": "the name of a split",
    "train_split": "the name of a split",
    "visual": "checkpoints of visual networks with commas between",
}
"""What is to stand at a key that takes text, or at one of a single task, ``TASK.KEY``."""

KINDS: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
"""What users call the types of a recipe's values."""


def check_given(kind: type, given: Iterable[tuple[str, Any]]) -> None:
    """Refuse null, and words for it, where a recipe's annotations have another meaning for them.

    Args:
        kind: a recipe's dataclass.
        given: keys and values as they were written; unknown keys are passed over.

    Raises:
        UsageError: null at a key without ``| None``; Python's word for nothing, or empty text, at
            one with it.
    """
    types = get_type_hints(kind)
    for key, value in given:
        if key not in types:
            continue
        choices = get_args(types[key]) if _is_union(types[key]) else (types[key],)
        is_optional = NoneType in choices
        if value is None and not is_optional:
            raise UsageError(f"{key} is null; give {_told(kind, key, choices)}")
        if is_optional and value in ("none", "None"):
            raise UsageError(f"{key} is {value!r}: write null where there is to be none")
        if is_optional and str in choices and isinstance(value, str) and not value.strip():
            raise UsageError(f"{key} is empty; give {_wanted(kind, key) or 'text, or null'}")


def check_recipe(recipe: Any) -> None:
    """Refuse a recipe that was built in code for what `check_given` refuses in a file.

    Args:
        recipe: a recipe's dataclass.

    Raises:
        UsageError: see `check_given`.
    """
    check_given(type(recipe), vars(recipe).items())


def _told(kind: type, key: str, choices: Iterable[Any]) -> str:
    """Say what may stand at a key that takes no null, and what stands there by default."""
    told = _wanted(kind, key) or " or ".join(dict.fromkeys(map(_name, choices)))
    default = _default(kind, key)
    if default in (MISSING, ""):
        return told
    return f"{told} (the default is {_written(default)})"


def _wanted(kind: type, key: str) -> str | None:
    return WANTED.get(f"{_default(kind, 'task')}.{key}", WANTED.get(key))


def _default(kind: type, key: str) -> Any:
    return next(field.default for field in fields(kind) if field.name == key)


def _name(choice: Any) -> str:
    """Return what users call a type, or the values it has."""
    if get_origin(choice) is Literal:
        values = [_written(value) for value in get_args(choice)]
        return f"one of {', '.join(values)}" if len(values) > 1 else values[0]
    return KINDS[choice]


def _written(value: Any) -> str:
    """Return a value as it is written in a recipe."""
    return str(yaml.safe_dump(value)).removesuffix("...\n").strip()


def _is_union(found: Any) -> bool:
    return get_origin(found) in (Union, UnionType)
