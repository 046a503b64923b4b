"""Recipes: one flat, complete YAML file each; flags of the same names replace single values."""

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from vidskim.errors import UsageError, unknown_name
from vidskim.train.clips import ClipRecipe, train_clips
from vidskim.train.saliency import SaliencyRecipe, train_saliency

TASKS: dict[str, tuple[type, Callable[[Any], dict[str, Any]]]] = {
    "clips": (ClipRecipe, train_clips),
    "saliency": (SaliencyRecipe, train_saliency),
}


def run_recipe(arguments: Sequence[str]) -> str:
    """Run ``vidskim train RECIPE [--key value ...]``; return what to print.

    Raises:
        UsageError: a missing or malformed recipe, an unknown task or key.
    """
    if not arguments or arguments[0].startswith("-"):
        if arguments and arguments[0] in ("-h", "--help"):
            return _help()
        raise UsageError("give a recipe: vidskim train RECIPE.yaml [--key value ...]")
    recipe, run = read_recipe(arguments[0], overrides=arguments[1:])
    metrics = run(recipe)
    return json.dumps({"out": recipe.out, **metrics})


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
        UsageError: a missing or malformed file, an unknown task or key, a value of the wrong type.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the recipe ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: the recipe is not valid YAML: {reason}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: a recipe is a list of 'key: value' lines")
    task = values.get("task")
    if task is None:
        raise UsageError(f"{path}: no key 'task'; give one of {', '.join(TASKS)}")
    if str(task) not in TASKS:
        raise unknown_name("task", str(task), TASKS)
    kind, run = TASKS[str(task)]
    valid = [field.name for field in fields(kind)]
    given = [str(key) for key in values] + [_key(a) for a in overrides if a.startswith("--")]
    for key in given:
        if key not in (*valid, "print_config", "help"):
            raise unknown_name(f"key in {path}", key, valid)
    parser = ArgumentParser(prog=f"vidskim train {path}", exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(kind, as_positional=False)
    try:
        found = parser.parse_args(["--config", str(path), *overrides])
    except Exception as error:  # jsonargparse raises what its parts raise
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: {reason}") from None
    return kind(**{name: found[name] for name in valid}), run


def _key(argument: str) -> str:
    return argument[2:].partition("=")[0]


def _help() -> str:
    keys = {task: [f.name for f in fields(kind)] for task, (kind, _) in TASKS.items()}
    return "usage: vidskim train RECIPE.yaml [--key value ...] [--print_config]\n" + "\n".join(
        f"  task {task}: {', '.join(names)}" for task, names in keys.items()
    )
