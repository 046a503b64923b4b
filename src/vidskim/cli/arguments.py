"""A function's signature and docstring to its arguments on the command line.

Positional-only parameters are given by place, all others as ``--options``, typed as annotated and
explained as in the docstring. Whatever is wrong is said in one line.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, NoReturn, get_args

from jsonargparse import ArgumentParser, set_parsing_settings

from vidskim.errors import UsageError, unknown_name

Verb = Callable[..., None]


def call(verb: Verb, words: Sequence[str], *, name: str) -> None:
    """Call a function with the arguments that are written on the command line.

    Args:
        verb: the function.
        words: its arguments; option names may have dashes or underscores.
        name: what the user calls it.

    Raises:
        UsageError: an unknown option, a missing argument, a value of the wrong type.
        SystemExit: help was asked for and printed.
    """
    words = [spelled(word, "_", "-") for word in words]
    _check_words(verb, words)
    values = _parser_of(verb, name=name).parse_args(words).as_dict()
    by_place = [
        values.pop(key)
        for key, parameter in signature(verb).parameters.items()
        if parameter.kind is Parameter.POSITIONAL_ONLY
    ]
    verb(*by_place, **values)


def summary(verb: Verb) -> str:
    """Return the first line of a docstring."""
    return (verb.__doc__ or "").strip().splitlines()[0]


def typed(verb: Verb, values: Mapping[str, Any]) -> str:
    """Return the command that calls a verb with these arguments, defaults left out.

    Args:
        verb: the function; its name is the command's.
        values: argument name to value.
    """
    words = ["vidskim", verb.__name__]
    for key, parameter in signature(verb).parameters.items():
        value = values[key]
        if parameter.kind is Parameter.POSITIONAL_ONLY:
            words.append(str(value))
        elif value != parameter.default:
            words += [_flag(key)] if value is True else [_flag(key), str(value)]
    return shlex.join(words)


def spelled(word: str, old: str, new: str) -> str:
    """Write an option's name with dashes or underscores: users may type either."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace(old, new) + equals + value


class _Parser(ArgumentParser):
    """Says what is wrong in one line, as everything else here does."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what argparse would print with its usage."""
        raise UsageError(f"{message} (see '{self.prog} --help')") from ex


def _parser_of(verb: Verb, *, name: str) -> ArgumentParser:
    """Return a parser with the verb's arguments: required ones by position, bools as flags."""
    set_parsing_settings(docstring_parse_attribute_docstrings=False)
    parser = _Parser(prog=f"vidskim {name}", description=summary(verb), allow_abbrev=False)
    texts = _argument_texts(verb)
    for key, parameter in signature(verb).parameters.items():
        kind, text = parameter.annotation, texts[key]
        if parameter.kind is Parameter.POSITIONAL_ONLY:
            optional: dict[str, Any] = (
                {} if parameter.default is Parameter.empty else {"nargs": "?"}
            )
            parser.add_argument(key, type=kind, help=text, **optional)
        elif kind is bool:
            parser.add_argument(_flag(key), action="store_true", help=text)
        elif parameter.default is Parameter.empty:
            parser.add_argument(_flag(key), type=kind, required=True, help=text)
        else:
            parser.add_argument(_flag(key), type=kind, default=parameter.default, help=text)
    return parser


def _check_words(verb: Verb, words: Sequence[str]) -> None:
    """Refuse unknown options, and words where numbers belong, with the nearest valid name.

    Raises:
        UsageError: such a word.
    """
    options = {
        _flag(key): parameter.annotation
        for key, parameter in signature(verb).parameters.items()
        if parameter.kind is not Parameter.POSITIONAL_ONLY
    }
    for word, following in zip(words, [*words[1:], ""]):
        if word == "--":
            return
        name, equals, value = word.partition("=")
        if not name.startswith("-") or name[1:2].isdigit() or name in ("-", "-h", "--help"):
            continue
        if name not in options:
            raise unknown_name("option", name, [*options, "--help"])
        kinds = {options[name], *get_args(options[name])}
        for kind, article in ((int, "a whole number"), (float, "a number")):
            given = value if equals else following
            if kind in kinds and given and not _is_a(kind, given):
                raise UsageError(f"{name} takes {article}, got {given!r}")


def _is_a(kind: type, text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


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


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
