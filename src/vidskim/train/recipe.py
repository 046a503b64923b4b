"""Recipes: one flat, complete YAML file each; flags of the same names replace single values."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from jsonargparse import ArgumentParser

from vidskim.errors import UsageError, unknown_name
from vidskim.train.key import check_given
from vidskim.train.loop import is_first_process
from vidskim.train.task import Task
from vidskim.train.tasks.aggregator import train_faster
from vidskim.train.tasks.clips import train_clips
from vidskim.train.tasks.compression import train_sfc
from vidskim.train.tasks.joint import train_joint
from vidskim.train.tasks.memory import train_memory
from vidskim.train.tasks.saliency import train_saliency

TASKS: dict[str, Task[Any]] = {
    "clips": train_clips,
    "saliency": train_saliency,
    "saliency_joint": train_joint,
    "faster": train_faster,
    "memory": train_memory,
    "sfc": train_sfc,
}


MAX_BYTES = 100_000
"""A recipe is a page of text."""

TEXT, NUMBERS = "tag:yaml.org,2002:str", ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
"""What YAML calls the kinds of a value."""

NULLS = ("null", "Null", "NULL", "~")
"""How YAML writes that there is nothing."""


class _Loader(yaml.SafeLoader):
    """Refuses what a flat file never needs and what hides mistakes.

    That is a key that stands twice, of which YAML silently takes the last, and aliases, of which a
    short file can build an endless value.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Read one value."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*name) stands for a value, write the value itself")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Check the keys of one mapping, then build it."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.YAMLError(f"key {key.value!r} stands twice, keep one")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def run_recipe(arguments: Sequence[str]) -> str:
    """Run ``vidskim train RECIPE [--key value ...]``; return what to print.

    Nothing in all but the first of several processes that train together.

    Raises:
        UsageError: a missing or malformed recipe, an unknown task or key, or values that cannot be
            meant; the message begins with the recipe's path.
        VidskimError: whatever else ends a training.
    """
    if not arguments or arguments[0].startswith("-"):
        if arguments and arguments[0] in ("-h", "--help"):
            return _help()
        raise UsageError("give a recipe: vidskim train RECIPE.yaml [--key value ...]")
    recipe, run = read_recipe(arguments[0], overrides=arguments[1:])
    with _named(Path(arguments[0])):
        metrics = run(recipe)
    return json.dumps({"out": recipe.out, **metrics}) if metrics and is_first_process() else ""


def read_recipe(
    path: str | Path, *, overrides: Sequence[str] = ()
) -> tuple[Any, Callable[[Any], dict[str, Any]]]:
    """Read and check a recipe.

    Args:
        path: the YAML file.
        overrides: ``--key value`` arguments; ``--print_config`` prints the recipe and exits.

    Returns:
        The recipe's dataclass and the function that runs it.

    Raises:
        UsageError: a missing or malformed file, an unknown task or key, a value of the wrong type,
            null where there must be something.
    """
    path = Path(path)
    text = _read_text(path)
    values = _read_values(text, path=path)
    task = values.get("task")
    if task is None:
        raise UsageError(f"{path}: no key 'task'; give one of {', '.join(TASKS)}")
    if str(task) not in TASKS:
        raise unknown_name(f"task in {path}", str(task), TASKS)
    run = TASKS[str(task)]
    kind = run.recipe
    valid = [field.name for field in fields(kind)]
    given = [*values] + [_key(a) for a in overrides if a.startswith("--")]
    for key in given:
        if key not in (*valid, "print_config", "help"):
            raise unknown_name(f"key in {path}", key, valid)
    with _named(path):
        check_given(kind, [*values.items(), *_flags(overrides)])
    parser = ArgumentParser(prog=f"vidskim train {path}", exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(kind, as_positional=False)
    try:
        found = parser.parse_args(["--config", _quoted(text, kind=kind), *overrides])
    except Exception as error:  # jsonargparse raises what its parts raise
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: {reason}") from None
    return kind(**{name: found[name] for name in valid}), run


def _read_text(path: Path) -> str:
    """Read a recipe, which is no longer than a page.

    Raises:
        UsageError: no such file, a larger one, or one that is no text.
    """
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: cannot read the recipe (not a regular file)")
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode()
    except OSError as error:
        raise UsageError(f"{path}: cannot read the recipe ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: the recipe is not valid YAML: {error}") from None
    if len(text) > MAX_BYTES:
        raise UsageError(f"{path}: is larger than {MAX_BYTES // 1000} kB; give a recipe in YAML")
    return text


def _read_values(text: str, *, path: Path) -> dict[str, Any]:
    """Return the keys and values of a recipe; whatever it holds, the time this takes is bounded.

    Raises:
        UsageError: anything but flat 'key: value' lines.
    """
    try:
        values = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: the recipe is not valid YAML: {reason}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: a recipe is a list of 'key: value' lines")
    for key, value in values.items():
        if not isinstance(key, str):
            raise UsageError(f"{path}: key {key!r} is no text; a recipe is 'key: value' lines")
        if isinstance(value, list | dict | tuple | set):
            raise UsageError(f"{path}: {key} takes one value, got a {type(value).__name__}")
    return values


def _quoted(text: str, *, kind: type) -> str:
    """Return a recipe whose numbers stand in quotes where a key takes text.

    So ``drop_epochs: 16`` is what ``drop_epochs: "16"`` is, and a folder may be called 2024.
    """
    root = yaml.compose(text, _Loader)
    assert isinstance(root, yaml.MappingNode), "_read_values lets nothing else pass"
    texts = {name for name, hint in get_type_hints(kind).items() if hint in (str, str | None)}
    for key, value in root.value:
        if key.value in texts and value.tag in NUMBERS:
            value.tag, value.style = TEXT, '"'
    return str(yaml.serialize(root, allow_unicode=True, width=MAX_BYTES))


def _flags(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield key and value of ``--key value`` and ``--key=value``, None where that is null."""
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        key, is_whole, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--"):
            text = value if is_whole else following
            yield key, None if text in NULLS else text


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Begin what is said of a recipe's values with its path.

    Raises:
        UsageError: instead of one that was raised.
    """
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _key(argument: str) -> str:
    return argument[2:].partition("=")[0]


def _help() -> str:
    keys = {task: [f.name for f in fields(run.recipe)] for task, run in TASKS.items()}
    return "usage: vidskim train RECIPE.yaml [--key value ...] [--print_config]\n" + "\n".join(
        f"  task {task}: {', '.join(names)}" for task, names in keys.items()
    )
