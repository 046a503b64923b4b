"""The task of aggregating: FASTER's second stage (section 4.1, "learning to aggregate").

The encoders are trained by themselves before, by the clip recipe, and stay as they are: their maps
are made once (`vidskim.data.cache.maps`), and a step costs what adapters and aggregator cost. In
training N clips are drawn at random and put in order of time, in testing they are placed uniformly.
"""

from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.backbones.network import Network
from vidskim.backbones.open import open_model
from vidskim.data.cache.answers import check_labels
from vidskim.data.cache.maps import Maps, clip_maps
from vidskim.data.manifest import Row
from vidskim.errors import CheckpointError, UsageError
from vidskim.model.adapter import make_adapters
from vidskim.model.aggregate import Learned, create_aggregator
from vidskim.model.file import load_model, save_model
from vidskim.model.model import Model, same_span
from vidskim.model.presets import faster
from vidskim.model.schedule import EXPENSIVE, Routed, parse_pattern
from vidskim.train.batches.maps import MapBatches, Turns, same_clips
from vidskim.train.examples import Examples, check_trained
from vidskim.train.pooling import compare, write_answers
from vidskim.train.run import Run
from vidskim.train.task import Job, Published, Task
from vidskim.train.tasks.aggregator_recipe import FasterRecipe, check_faster
from vidskim.train.tasks.routing import route_scores


def _check(recipe: FasterRecipe) -> None:
    check_faster(recipe)
    parse_pattern(recipe.pattern)


def _prepare(recipe: FasterRecipe, examples: Examples, fabric: Fabric) -> Job:
    pattern = parse_pattern(recipe.pattern)
    names = [name for name in (recipe.expensive, recipe.cheap) if name is not None]
    encoders = [open_model(name)[0] for name in names]
    for name, encoder in zip(names, encoders, strict=True):
        check_labels([*examples.train, *examples.test], encoder, name=name)
    torch.manual_seed(recipe.seed)
    model = build(recipe, encoders)
    if recipe.init is not None:
        start_from(model, recipe.init)
    classes = encoders[0].classes
    assert classes is not None, "check_labels lets no encoder pass that names no classes"
    index = {label: place for place, label in enumerate(classes)}

    def maps_of(rows: tuple[Row, ...]) -> tuple[Maps, ...]:
        return same_clips(
            [
                clip_maps(
                    rows,
                    encoder,
                    folder=recipe.cache,
                    max_clips=recipe.max_clips,
                    device=fabric.device,
                )
                for encoder in encoders
            ]
        )

    def turns_of(maps: tuple[Maps, ...]) -> Turns:
        if recipe.route is None:
            return Turns(pattern)
        scores = route_scores(
            maps[0],
            recipe.route,
            sampler=recipe.sampler,
            k=max(1, pattern(recipe.num_clips).count(EXPENSIVE)),
            clip=model.clip,
            folder=recipe.cache,
        )
        return Turns(Routed(pattern), scores)

    maps = maps_of(examples.train)
    check_trained(examples, maps[0].rows, path=recipe.data)

    def measure(run: Run) -> dict[str, Any]:
        held_out = maps_of(examples.test)
        truth = np.array([index[row.label] for row in held_out[0].rows])
        turns = turns_of(held_out)
        methods = compare(model, held_out, truth, turns=turns, batch_size=recipe.batch_size)
        write_answers(methods, held_out[0], classes=classes, truth=truth, folder=run.folder)
        return {
            "test_accuracy": methods[0].accuracy,
            "methods": {method.name: method.to_json() for method in methods},
            "test_videos": len(truth),
            "train_videos": len(maps[0]),
            "protocol": (
                f"{recipe.num_clips} clips x 1 crop placed uniformly, {model.clip}, encoders "
                f"{turns.schedule}, split {recipe.test_split}"
            ),
        }

    trained_with = [
        {"model": encoder.name, "weights_sha256": weights_sha256(encoder)} for encoder in encoders
    ]
    return Job(
        model=model,
        batch_of=MapBatches(
            maps,
            np.array([index[row.label] for row in maps[0].rows]),
            turns=turns_of(maps),
            num_clips=recipe.num_clips,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
        ),
        measure=measure,
        publish=lambda: [Published(model, save_model, {"trained_with": trained_with})],
    )


train_faster = Task(FasterRecipe, _check, _prepare)
"""Trains an aggregator on frozen encoders."""


def build(recipe: FasterRecipe, encoders: list[Network]) -> Model:
    """Build the untrained model of a recipe around its encoders.

    Raises:
        UsageError: encoders that do not fit each other or the pattern, or an aggregator's numbers
            that are none.
    """
    same_span(encoders)
    adapters = make_adapters(encoders, channels=recipe.channels)
    channels = recipe.channels or encoders[0].num_features
    aggregator = create_aggregator(
        recipe.aggregator,
        channels=channels,
        num_classes=encoders[0].num_classes,
        **recipe.options,
    )
    return faster(
        encoders,
        aggregator,
        adapters=adapters,
        pattern=recipe.pattern,
        num_clips=recipe.num_clips,
    )


def start_from(model: Model, path: str) -> None:
    """Give a model the adapters and the aggregator of a FASTER file.

    The head is kept as it is where the file's is for other classes.

    Raises:
        UsageError: an aggregator or adapters of another form.
        CheckpointError: an unusable file.
    """
    known = load_model(path)
    mine, theirs = model.aggregator, known.aggregator
    assert isinstance(mine, Learned)
    if not isinstance(theirs, Learned):
        raise CheckpointError(
            f"{path}: holds no FASTER model; train one with a recipe of task 'faster'"
        )
    if mine.name != theirs.name:
        raise UsageError(
            f"{path}: holds aggregator {theirs.name}, the recipe has {mine.name}; name the former"
        )
    has_same_classes = known.classes == model.classes
    state = {
        name: tensor
        for name, tensor in theirs.state_dict().items()
        if has_same_classes or not name.startswith("head.")
    }
    _fill(mine, state, path=path)
    for adapter, other in zip(model.adapters, known.adapters):
        _fill(adapter, other.state_dict(), path=path)


def _fill(module: nn.Module, state: dict[str, torch.Tensor], *, path: str) -> None:
    own = module.state_dict()
    differing = [
        name for name, tensor in state.items() if name not in own or own[name].shape != tensor.shape
    ]
    missing = [name for name in own if name not in state and not name.startswith("head.")]
    if differing or missing:
        raise UsageError(
            f"{path}: its {differing[0] if differing else missing[0]} is not of the recipe's "
            "form; give the channels, reduction and encoders it was trained with"
        )
    module.load_state_dict({**own, **state})
