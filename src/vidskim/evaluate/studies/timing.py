"""Run time as a recognizer has it: methods answer a sample of the videos, decoding included."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch

from vidskim.account import Account
from vidskim.answer.recognizer import Recognizer, Runtime
from vidskim.backbones.network import Network
from vidskim.errors import VideoError
from vidskim.look import methods
from vidskim.look.look import Look
from vidskim.video import Video


@dataclass(frozen=True, slots=True)
class Timed:
    """Means per video of the sample."""

    look: float
    """Seconds of choosing."""
    total: float
    """Seconds of the whole answer; of a look alone the same as ``look``."""
    frames: float
    """Frames that were decoded."""
    clips: float
    """Clips that were chosen."""

    @property
    def per_clip(self) -> float:
        """Seconds of reading and encoding one chosen clip."""
        return (self.total - self.look) / self.clips


class Clock:
    """Measures on a few videos and remembers.

    Args:
        paths: the sample; empty where nothing is to be measured.
        precision: of the classifiers.
        device: where they run.
    """

    def __init__(self, paths: Sequence[Path], *, precision: str, device: str) -> None:
        self.paths = tuple(paths)
        self.precision = precision
        self.device = device
        self._known: dict[tuple[str, ...], Timed | None] = {}
        self._recognizers: dict[int, Recognizer] = {}

    def answer(self, network: Network, look: Look, *, key: tuple[str, ...]) -> Timed | None:
        """Measure whole answers, None without a sample.

        Args:
            network: the classifier.
            look: which clips it sees.
            key: what tells this measurement from all others.
        """
        if key not in self._known:
            self._known[key] = self._answer(network, look)
        return self._known[key]

    def look(self, network: Network, look: Look, *, key: tuple[str, ...]) -> Timed | None:
        """Measure the choosing alone, None without a sample.

        Args:
            network: the classifier, whose clips lay the grid.
            look: which clips it would see.
            key: what tells this measurement from all others.
        """
        if key not in self._known:
            self._known[key] = self._look(network, look)
        return self._known[key]

    def _answer(self, network: Network, look: Look) -> Timed | None:
        found: list[tuple[float, float, float, float]] = []
        for path in self._warm(self.paths):
            try:
                prediction = self._recognizer(network).with_look(look)(path)
            except VideoError:
                continue
            cost = prediction.cost
            seconds, total = cost.seconds["look"], cost.seconds["total"]
            found.append((seconds, total, cost.frames_decoded, len(prediction.clips)))
        return _mean(found)

    def _look(self, network: Network, look: Look) -> Timed | None:
        assert network.clip is not None
        found: list[tuple[float, float, float, float]] = []
        for path in self._warm(self.paths):
            video, account = Video(path), Account()
            try:
                with account.stage("look"):
                    _ = video.info
                    choice = look(
                        video,
                        num_frames=network.clip.num_frames,
                        stride=network.clip.stride,
                        account=account,
                    )
            except VideoError:
                continue
            seconds = account.seconds["look"]
            found.append((seconds, seconds, video.stats.frames_decoded, len(choice.chosen)))
        return _mean(found)

    def _recognizer(self, network: Network) -> Recognizer:
        if id(network) not in self._recognizers:
            self._recognizers[id(network)] = Recognizer(
                network,
                look=methods.dense(),
                runtime=Runtime(precision=self.precision, device=self.device),
            )
        return self._recognizers[id(network)]

    def _warm(self, paths: Sequence[Path]) -> Sequence[Path]:
        """Read each file once, so that no method pays for the first access to the disk."""
        for path in paths if not self._known else ():
            path.read_bytes()
        return paths


def spread_sample(paths: Sequence[Path], count: int) -> list[Path]:
    """Return so many paths, evenly spread over the list; all if there are fewer."""
    places = torch.linspace(0, len(paths) - 1, min(count, len(paths))).round().int().tolist()
    return [paths[place] for place in dict.fromkeys(places)] if paths else []


def _mean(found: Sequence[tuple[float, float, float, float]]) -> Timed | None:
    return Timed(*(fmean(column) for column in zip(*found))) if found else None
