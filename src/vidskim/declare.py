"""What an option is: declared as an annotation, checked, explained, and written as a flag.

``k: Annotated[int | None, Option("clips to encode", low=1)]`` in a `TypedDict` declares one, see
`vidskim.options`.
"""

import operator
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from math import inf
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, get_args

from vidskim.errors import UsageError, printable, unknown_name

GROUPS = {
    "look": "which clips are encoded",
    "model": "what encodes them",
    "run": "how it runs",
    "output": "what is written",
}
"""Headings of the help, in its order."""

OLD_NAMES = {
    "rule": "combine",
    "every": "clip_stride",
    "min_gap_seconds": "min_gap",
    "idle_seconds": "idle",
}
"""Names that the command line had before it shared those of the library; it goes on taking them."""

NOUNS = {str: "a word", bool: "True or False", int: "a whole number", float: "a number"}

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Option:
    """What there is to know of an option besides its type.

    Attributes:
        help: what it does, and what holds where it is left out.
        group: one of `GROUPS`.
        low: its least value.
        high: its largest value.
        above: what it must exceed.
        choices: the words it takes on the command line; in Python objects may stand there too.
        elsewhere: words that mean something elsewhere, as the library says of them.
        is_file: whether it names a file or folder.
    """

    help: str
    group: str = "look"
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: Sequence[str] = ()
    elsewhere: Sequence[str] = ()
    is_file: bool = False

    def check(self, name: str, value: float) -> None:
        """Raise for a number out of range, NaN among them.

        Raises:
            UsageError: such a number.
        """
        is_enough = self.low is None or value >= self.low
        is_more = self.above is None or value > self.above
        if not (is_enough and is_more and value <= (inf if self.high is None else self.high)):
            raise UsageError(f"{name} is {self.range}, got {value:g}")

    @property
    def range(self) -> str:
        """The valid numbers in words.

        >>> Option("", low=1).range, Option("", above=0, high=1).range
        ('at least 1', 'in (0, 1]')
        """
        if self.high is not None:
            if self.above is not None:
                return f"in ({self.above:g}, {self.high:g}]"
            return f"between {self.low or 0:g} and {self.high:g}"
        if self.above is not None:
            return f"above {self.above:g}"
        return "a number" if self.low is None else f"at least {self.low:g}"


@dataclass(frozen=True, slots=True)
class Declared:
    """One option as it was declared: its name, its type, and the rest."""

    name: str
    type: Any
    option: Option

    @property
    def kinds(self) -> set[Any]:
        """The types that a value may have; None stands for an option that is left out."""
        return set(get_args(self.type) or [self.type]) - {type(None)}

    @property
    def kind(self) -> type:
        """What a word of the command line becomes: bool, int, float or str."""
        if len(self.kinds) > 1:
            return str
        return next((kind for kind in (bool, int, float) if kind in self.kinds), str)


def declared(options: type) -> dict[str, Declared]:
    """Return the options of a class of `vidskim.options`, by name, group by group.

    >>> from vidskim.options import RunOptions
    >>> declared(RunOptions)["crops"].kind
    <class 'int'>
    """
    found = {}
    for name, annotation in options.__annotations__.items():
        kind, option = get_args(annotation)
        found[name] = Declared(name, kind, option)
    places = list(GROUPS)

    def place(pair: tuple[str, Declared]) -> tuple[int, bool]:
        return places.index(pair[1].option.group), pair[0] not in ("method", "methods", "model")

    return dict(sorted(found.items(), key=place))


def given(values: Mapping[str, Any], options: type) -> dict[str, Any]:
    """Return the options that are given, as the types that are declared.

    None is the same as leaving an option out; whole numbers of NumPy are whole numbers.

    Args:
        values: names to values.
        options: the class that declares them.

    Raises:
        UsageError: an unknown option, a value of another type or out of range.
    """
    known = declared(options)
    for name in values:
        if name not in known:
            raise unknown_name("option", name, known)
    return {name: _typed(known[name], value) for name, value in values.items() if value is not None}


def takes_key(function: Callable[..., Any], key: str) -> bool:
    """Return whether a function takes a keyword argument of a name.

    >>> takes_key(sorted, "reverse"), takes_key(sorted, "counts")
    (True, False)
    """
    parameters = signature(function).parameters
    return key in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def looks_like_path(name: str) -> bool:
    """Return whether a word names a file rather than something else: by its form, or it is there.

    >>> looks_like_path("runs/model"), looks_like_path("r3d_18")
    (True, False)
    """
    return os.sep in name or Path(name).suffix != "" or Path(name).exists()


def flag(name: str) -> str:
    """Return how an option is written on the command line.

    >>> flag("visual_k")
    '--visual-k'
    """
    return "--" + name.replace("_", "-")


def check_path(path: object, *, what: str = "a video") -> None:
    """Raise unless something can name a file.

    Args:
        path: anything.
        what: it would name.

    Raises:
        UsageError: anything but a string or path.
    """
    if not isinstance(path, str | PathLike) or not str(path):
        shown = printable(repr(path)[:60])
        raise UsageError(f"{what} is given by its path, a string or pathlib.Path, got {shown}")


def described(options: type, *, indent: str = " " * 8) -> str:
    """Return the options as lines of an ``Args:`` section.

    >>> from vidskim.options import RunOptions
    >>> print(described(RunOptions, indent="").splitlines()[0])
    crops: crops of each clip, 1 in the center or 3 along its longer side (default: 1).
    """
    lines: list[str] = []
    for name, found in declared(options).items():
        text = f"{name}: {found.option.help.rstrip('.')}."
        lines += textwrap.wrap(text, 100, initial_indent=indent, subsequent_indent=indent + "    ")
    return "\n".join(lines)


def takes(options: type) -> Callable[[Function], Function]:
    """Write a class of options into the docstring of a function that takes them.

    They go in the place of the line that tells of ``**options``.
    """

    def documented(function: Function) -> Function:
        lines = (function.__doc__ or "").splitlines()
        at = next(i for i, line in enumerate(lines) if line.strip().startswith("**options:"))
        function.__doc__ = "\n".join([*lines[:at], described(options), *lines[at + 1 :]])
        return function

    return documented


def _typed(known: Declared, value: Any) -> Any:
    """Return a value as its declared type.

    Raises:
        UsageError: it cannot be one, or is out of range.
    """
    if known.kinds not in ({str}, {bool}, {int}, {float}):  # the library looks at it
        return value
    is_bool = type(value).__name__ in ("bool", "bool_")  # NumPy's too, which is not imported here
    made: Any = None
    if known.kind is str and isinstance(value, str):
        return value
    if known.kind is bool and is_bool:
        return bool(value)
    if known.kind is int and hasattr(value, "__index__") and not is_bool:
        made = operator.index(value)
    if known.kind is float and isinstance(value, Real) and not is_bool:
        made = float(value)
    if made is None:
        shown = printable(repr(value)[:60])
        raise UsageError(f"{known.name} is {NOUNS[known.kind]}, got {shown}")
    known.option.check(known.name, made)
    return made
