"""What a key of a recipe is: declared as an annotation, checked, explained, kept portable.

``seed: Annotated[int, Key("for the order", low=0)] = 0`` in a class under `recipe` declares one; a
class below gives it another default by ``seed: int = 1``. Those that tasks share stand in
`vidskim.train.keys`.
"""

import textwrap
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import yaml

from vidskim.errors import UsageError

Kind = TypeVar("Kind", bound=type)

KINDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
"""What users call the types of a recipe's values."""


@dataclass(frozen=True, slots=True)
class Key:
    """What there is to know of a key besides its type and default.

    Attributes:
        help: what it does.
        low: its least value.
        high: its largest value.
        wanted: what is to stand there, for a key that takes text.
        is_file: whether it names a file, whose folder does not travel with a checkpoint.
        several: whether it may name several, with commas between.
    """

    help: str
    low: float | None = None
    high: float | None = None
    wanted: str = ""
    is_file: bool = False
    several: bool = False


@dataclass_transform(kw_only_default=True, frozen_default=True)
def recipe(kind: Kind) -> Kind:
    """Make a class of keys a frozen dataclass, documented by them."""
    made: Any = dataclass(frozen=True, kw_only=True)(kind)
    made.__doc__ = f"{kind.__doc__}\n\n    Attributes:\n{_described(made)}\n    "
    return cast(Kind, made)


def keys_of(kind: type) -> dict[str, Key]:
    """Return the keys of a recipe's class by name; an attribute that says none has its base's."""
    found: dict[str, Key] = {}
    for base in reversed(kind.__mro__):
        for name, hint in get_type_hints(base, include_extras=True).items():
            told = [extra for extra in get_args(hint) if isinstance(extra, Key)]
            found[name] = told[0] if told else found.get(name, Key(f"must be {name}"))
    return {field.name: found[field.name] for field in fields(kind)}


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
            raise UsageError(f"{key} is null; give {_valid(kind, key, choices)}")
        if is_optional and value in ("none", "None"):
            raise UsageError(f"{key} is {value!r}: write null where there is to be none")
        if is_optional and str in choices and isinstance(value, str) and not value.strip():
            raise UsageError(f"{key} is empty; give {keys_of(kind)[key].wanted or 'text, or null'}")


def check_numbers(recipe: Any) -> None:
    """Refuse a recipe whose values cannot be meant each by itself, whatever its task.

    Args:
        recipe: a recipe's dataclass.

    Raises:
        UsageError: a value outside its range, a warm-up as long as the training, an empty name of a
            file or folder, or see `check_given`.
    """
    check_given(type(recipe), vars(recipe).items())
    values = asdict(recipe)
    keys = keys_of(type(recipe))
    for name in ("data", "out", "cache"):
        if not str(values[name]).strip():
            raise UsageError(f"{name} is empty; give {keys[name].wanted}")
    for name, key in keys.items():
        value = values[name]
        if value is None or key.low is None or key.high is None:
            continue
        if not key.low <= value <= key.high:
            wanted = f"a value between {key.low:g} and {key.high:g}"
            if key.high > 1:
                bound = f"at most {key.high:g}" if value > key.high else f"at least {key.low:g}"
                wanted = f"a value of {bound}"
            raise UsageError(f"{name} is {value}; give {wanted}")
    if values["steps"] is not None and values["warmup_steps"] >= values["steps"]:
        raise UsageError(
            f"warmup_steps is {values['warmup_steps']} of {values['steps']} steps; give fewer"
        )


def portable(recipe: Any) -> dict[str, Any]:
    """Return a recipe's values for a checkpoint that travels: file names without their folders."""
    values: dict[str, Any] = asdict(recipe)
    for name in ("out", "cache"):
        values.pop(name)
    for name, key in keys_of(type(recipe)).items():
        if key.is_file and values[name]:
            files = str(values[name]).split(",") if key.several else [values[name]]
            values[name] = ",".join(Path(file).name for file in files)
    return values


def _described(kind: type) -> str:
    lines = (f"{name}: {key.help}." for name, key in keys_of(kind).items())
    return "\n".join(
        textwrap.fill(line, 100, initial_indent=" " * 8, subsequent_indent=" " * 12)
        for line in lines
    )


def _valid(kind: type, name: str, choices: Iterable[Any]) -> str:
    """Say what may stand at a key that takes no null, and what stands there by default."""
    told = keys_of(kind)[name].wanted or " or ".join(dict.fromkeys(map(_name, choices)))
    default = next(field.default for field in fields(kind) if field.name == name)
    if default in (MISSING, ""):
        return told
    return f"{told} (the default is {_written(default)})"


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
