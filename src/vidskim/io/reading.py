"""One file that is being read: what is known of it, what reading has cost, what went wrong.

Every function that reads clips takes a `Reading` first. Nothing is opened before it is asked for,
nothing is read twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vidskim.io.packets import PacketIndex, read_packets
from vidskim.io.probe import probe
from vidskim.io.walk import ReadStats
from vidskim.types import VideoInfo


@dataclass(frozen=True, eq=False)
class Reading:
    """A local media file, read lazily.

    Raises:
        VideoError: from ``packets`` and ``info``, if the file cannot be read at all.
    """

    path: Path
    stats: ReadStats = field(default_factory=ReadStats)
    """What reading has cost so far."""
    warnings: list[str] = field(default_factory=list)
    """What went wrong, each thing once."""

    @cached_property
    def packets(self) -> PacketIndex:
        """Size, time, type and place of every frame, without decoding one."""
        index = read_packets(self.path)
        self.stats.bytes_read += index.bytes_total
        self.warn(index.warnings)
        return index

    @cached_property
    def info(self) -> VideoInfo:
        """What the file is; one frame is decoded for it."""
        return probe(self.path, self.packets, stats=self.stats)

    def warn(self, texts: Iterable[str]) -> None:
        """Add warnings that are not known yet."""
        self.warnings.extend(text for text in texts if text not in self.warnings)
