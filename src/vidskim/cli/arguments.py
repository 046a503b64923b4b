"""The arguments of a verb: read from the command line, explained by ``--help``, printed again.

A verb is a function. What it takes by position stands in its signature and docstring, and so may
options of its own; what it takes as ``**options`` is declared in `vidskim.options`. Only what is
given reaches it. Whatever is wrong is said in one line.
"""

import shlex
from argparse import SUPPRESS, ArgumentParser, HelpFormatter
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, NoReturn, get_args

from vidskim.declare import GROUPS, OLD_NAMES, Declared, Option, declared, flag
from vidskim.errors import UsageError, unknown_name

Verb = Callable[..., None]

BY_NAME = Parameter.POSITIONAL_OR_KEYWORD

OTHERS = "options"
"""Heading of what belongs to no group."""


def call(verb: Verb, words: Sequence[str], *, name: str) -> None:
    """Call a function with the arguments that are written on the command line.

    Args:
        verb: the function.
        words: its arguments; option names may have dashes or underscores.
        name: what the user calls it.

    Raises:
        UsageError: an unknown option, a missing argument, a value of the wrong type or range.
        SystemExit: help was asked for and printed.
    """
    words = [spelled(word, "_", "-") for word in words]
    options = options_of(verb)
    _check_words(options, words)
    parser, many = _parser_of(verb, name=name), _many(verb)
    found = vars(parser.parse_args(words) if many is None else parser.parse_intermixed_args(words))
    by_place = [found.pop(key, other) for key, other in _by_place(verb).items()]
    by_place += [] if many is None else found.pop(many)
    verb(*by_place, **{key: _read(options[key], value) for key, value in found.items()})


def summary(verb: Verb) -> str:
    """Return the first line of a docstring."""
    return (verb.__doc__ or "").strip().splitlines()[0]


def options_of(verb: Verb) -> dict[str, Declared]:
    """Return all that a verb takes by name, group by group.

    Those of its own signature are of no group.
    """
    found: dict[str, Declared] = {}
    texts = _argument_texts(verb)
    for key, parameter in signature(verb).parameters.items():
        if parameter.kind is Parameter.VAR_KEYWORD:
            found |= declared(*get_args(parameter.annotation))
        elif parameter.kind is Parameter.KEYWORD_ONLY or parameter.kind is BY_NAME:
            found[key] = Declared(key, parameter.annotation, Option(texts[key], group=OTHERS))
    return found


def typed(verb: Verb, *by_place: str, **given: Any) -> str:
    """Return the command that calls a verb with these arguments.

    Args:
        verb: the function; its name is the command's.
        *by_place: arguments by position.
        **given: options, in the order in which they are printed.
    """
    words = ["vidskim", verb.__name__, *by_place]
    for key, value in given.items():
        words += [flag(key)] if value is True else [flag(key), str(value)]
    return shlex.join(words)


def spelled(word: str, old: str, new: str) -> str:
    """Write an option's name with dashes or underscores: users may type either."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace(old, new) + equals + value


def flags_of(name: str) -> list[str]:
    """Return what may be typed for an option, its old name last."""
    return [flag(name), *(flag(OLD_NAMES[name]) for _ in range(name in OLD_NAMES))]


class _Parser(ArgumentParser):
    """Says what is wrong in one line, as everything else here does."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print with its usage."""
        raise UsageError(f"{message} (see '{self.prog} --help')")


class _Help(HelpFormatter):
    """Leaves room for long names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


def _by_place(verb: Verb) -> dict[str, Any]:
    """Return the arguments by position, and what stands for those that are left out."""
    return {
        key: parameter.default
        for key, parameter in signature(verb).parameters.items()
        if parameter.kind is Parameter.POSITIONAL_ONLY
    }


def _many(verb: Verb) -> str | None:
    """Return the argument of which there may be several, None where there is none."""
    kinds = {parameter.kind: key for key, parameter in signature(verb).parameters.items()}
    return kinds.get(Parameter.VAR_POSITIONAL)


def _parser_of(verb: Verb, *, name: str) -> ArgumentParser:
    """Return a parser of words; what is not given is not in its answer."""
    texts, prog, places = _argument_texts(verb), f"vidskim {name}", _by_place(verb)
    many = _many(verb)
    shown = [key.upper() if other is Parameter.empty else f"[{key.upper()}]"
             for key, other in places.items()]  # fmt: skip
    shown += [] if many is None else [f"{many.upper()}..."]
    parser = _Parser(
        prog=prog,
        usage=" ".join([prog, *shown, "[options]"]),
        description=summary(verb),
        allow_abbrev=False,
        argument_default=SUPPRESS,
        formatter_class=_Help,
    )
    for key, other in places.items():
        more: dict[str, Any] = {} if other is Parameter.empty else {"nargs": "?"}
        parser.add_argument(key, metavar=key.upper(), help=texts[key], **more)
    if many is not None:
        parser.add_argument(many, metavar=many.upper(), help=texts[many], nargs="+")
    groups: dict[str, Any] = {OTHERS: parser}
    required = {
        key
        for key, parameter in signature(verb).parameters.items()
        if parameter.kind in (Parameter.KEYWORD_ONLY, BY_NAME)
        and parameter.default is Parameter.empty
    }
    for key, option in options_of(verb).items():
        group = option.option.group
        if group not in groups:
            groups[group] = parser.add_argument_group(f"{group}: {GROUPS[group]}")
        text = option.option.help.replace("%", "%%")
        if option.kind is bool:
            groups[group].add_argument(*flags_of(key), dest=key, action="store_true", help=text)
        else:
            metavar = {int: "N", float: "X", str: key.upper()}[option.kind]
            groups[group].add_argument(
                *flags_of(key), dest=key, metavar=metavar, help=text, required=key in required
            )
    return parser


def _check_words(options: Mapping[str, Declared], words: Sequence[str]) -> None:
    """Refuse unknown options, with the nearest valid name.

    Raises:
        UsageError: such a word.
    """
    valid = [name for key in options for name in flags_of(key)] + ["--help"]
    for word in words:
        if word == "--":
            return
        name, _, _ = word.partition("=")
        if not name.startswith("-") or name[1:2].isdigit() or name in ("-", "-h", "--help"):
            continue
        if name not in valid:
            raise unknown_name("option", name, valid)


def _read(known: Declared, word: Any) -> Any:
    """Return the value that is written as a word.

    Raises:
        UsageError: no number, or one out of range.
    """
    if known.kind is str and known.option.choices:
        return _chosen(known, str(word))
    if known.kind in (bool, str):
        return word
    noun = "a whole number" if known.kind is int else "a number"
    try:
        value = known.kind(word)
    except ValueError:
        raise UsageError(f"{flag(known.name)} takes {noun}, got {word!r}") from None
    known.option.check(flag(known.name), value)
    return value


def _chosen(known: Declared, word: str) -> str:
    """Return one of an option's words; what the library explains itself passes.

    Raises:
        UsageError: another one, with the nearest.
    """
    plain = word.partition("/")[0].replace("-", "_")
    if plain in (*known.option.choices, *known.option.elsewhere):
        return word
    raise unknown_name(flag(known.name), word, known.option.choices)


def _argument_texts(function: Verb) -> dict[str, str]:
    """Read the Args section of a docstring."""
    texts: dict[str, str] = {}
    current = ""
    for line in (function.__doc__ or "").partition("Args:")[2].splitlines():
        head, colon, rest = line.strip().partition(": ")
        if colon and line.startswith(" " * 8) and not line.startswith(" " * 9):
            current = head
            texts[current] = rest
        elif current and line.strip():
            texts[current] += " " + line.strip()
    return texts
