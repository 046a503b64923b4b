"""A trained aggregator beside average pooling of the same clips: accuracy, cost, each answer."""

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidskim.account import count
from vidskim.backbones.network import Network
from vidskim.cost.video import video_count
from vidskim.data.cache.maps import Maps
from vidskim.io.write.files import whole
from vidskim.model.model import Model
from vidskim.model.schedule import NAMED, Pattern
from vidskim.train.batches.maps import Turns, gather, placed


@dataclass(frozen=True, slots=True)
class Measured:
    """What one method answered to every row."""

    name: str
    guesses: np.ndarray
    """Class index per row."""
    is_right: np.ndarray
    """bool per row."""
    macs: float
    """Mean multiply-adds per video: encoders on the clips, adapters, aggregator."""

    @property
    def accuracy(self) -> float:
        """Share of rows that are right."""
        return float(self.is_right.mean())

    def to_json(self) -> dict[str, Any]:
        """Return accuracy and cost."""
        return {"accuracy": self.accuracy, "macs_per_video": round(self.macs)}


def compare(
    model: Model,
    maps: Sequence[Maps],
    truth: np.ndarray,
    *,
    turns: Turns,
    batch_size: int,
) -> list[Measured]:
    """Measure the aggregator, then average pooling of the same clips by each choice of encoders.

    Average pooling is the mean of the class probabilities that each clip's own encoder gives
    (FASTER, section 4.1): taking the same turns, all expensive, and all cheap.

    Args:
        model: with its encoders.
        maps: one per encoder, of the same rows and clips.
        truth: class index of each row.
        turns: which encoder sees which clips; as often as the model's pattern has it.
        batch_size: videos at once.

    Returns:
        The aggregator first, named as it is; then "average", "average_expensive",
        "average_cheap".
    """
    places = [placed(len(maps[0][n]), model.card.num_clips) for n in range(len(truth))]
    whole = [count(network, _shape(network)).macs for network in model.networks]
    others = {
        "average": (turns, model.pattern),
        "average_expensive": (Turns(NAMED["all"]), NAMED["all"]),
    }
    if len(maps) > 1:
        others["average_cheap"] = (Turns(NAMED["none"]), NAMED["none"])
    found = {
        _name_of(model): (
            _aggregate(model, maps, places, turns=turns, batch_size=batch_size),
            _mean_macs(places, partial(_aggregated_macs, model)),
        )
    }
    for name, (other, pattern) in others.items():
        found[name] = (
            np.array([_average(maps, row, clips, other) for row, clips in enumerate(places)]),
            _mean_macs(places, partial(_averaged_macs, whole, pattern)),
        )
    return [
        Measured(name, guesses, guesses == truth, macs) for name, (guesses, macs) in found.items()
    ]


def write_answers(
    methods: Sequence[Measured],
    maps: Maps,
    *,
    classes: Sequence[str],
    truth: np.ndarray,
    folder: Path,
) -> None:
    """Write ``answers.csv``: of every row its file and label, of every method its guess and 0 or 1.

    Args:
        methods: what `compare` gives.
        maps: of any encoder, for the rows.
        classes: names of the class indices.
        truth: class index of each row.
        folder: where to write.
    """
    columns = ["path", "start_seconds", "end_seconds", "label"]
    for method in methods:
        columns += [method.name, f"{method.name}_guess"]

    with (
        whole(folder / "answers.csv") as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        for n, row in enumerate(maps.rows):
            told = [row.path, row.start_seconds, row.end_seconds, classes[truth[n]]]
            for method in methods:
                told += [int(method.is_right[n]), classes[method.guesses[n]]]
            table.writerow(told)


@torch.inference_mode()
def _aggregate(
    model: Model,
    maps: Sequence[Maps],
    places: Sequence[Sequence[int]],
    *,
    turns: Turns,
    batch_size: int,
) -> np.ndarray:
    """Return the guess of the aggregator for each row; rows of as many clips go together."""
    model.eval()
    aggregator: Any = model.aggregator
    device = next(aggregator.parameters()).device
    guesses = np.empty(len(places), np.int64)
    for number in sorted({len(clips) for clips in places}):
        rows = [n for n, clips in enumerate(places) if len(clips) == number]
        for first in range(0, len(rows), batch_size):
            batch = rows[first : first + batch_size]
            lanes = gather(maps, batch, [places[n] for n in batch], turns=turns)
            moved = {e: (x.to(device), positions) for e, (x, positions) in lanes.items()}
            guesses[batch] = model(moved).argmax(1).cpu().numpy()
    return guesses


def _shape(network: Network) -> tuple[int, ...]:
    assert network.clip is not None
    return network.clip.input_shape


def _average(maps: Sequence[Maps], row: int, places: Sequence[int], turns: Turns) -> int:
    """Return the guess of average pooling for one row."""
    probability = torch.zeros(())
    for encoder, place in zip(turns(row, places), places, strict=True):
        logits = maps[encoder][row].logits([place])[0]
        probability = probability + torch.softmax(logits.double(), 0)
    return int(probability.argmax())


def _aggregated_macs(model: Model, num_clips: int) -> int:
    return video_count(model, num_clips=num_clips).macs


def _averaged_macs(whole: Sequence[int], pattern: Pattern, num_clips: int) -> int:
    return sum(whole[encoder] for encoder in pattern(num_clips))


def _mean_macs(places: Sequence[Sequence[int]], macs_of: Callable[[int], int]) -> float:
    """Return the mean over videos of what their number of clips costs."""
    numbers = Counter(len(clips) for clips in places)
    return sum(times * macs_of(number) for number, times in numbers.items()) / len(places)


def _name_of(model: Model) -> str:
    aggregator: Any = model.aggregator
    return str(aggregator.name)
