"""The clips of a video told of each other by a memory, however many there are.

Two scans: all chosen clips write, then each reads. Only the center crop of each clip writes; all
its crops read (collaborative memory, section 4.1, "inference": ten center crops for all thirty).
Where the maps of all views fit into a bound they are kept, and each view is encoded once; where
they do not, the second scan reads and encodes the clips again, and memory stays constant.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from vidskim.account import Account, MacCounter
from vidskim.answer.encode import Batch, Encoding
from vidskim.types import Clip

MAX_KEPT_BYTES = 2**28
"""Of the maps of one video: 256 MiB hold the thirty views of a full-size Slow-only R50 twice."""


@runtime_checkable
class SharedMemory(Protocol):
    """A `Context` that takes the clips in parts: all write, then each reads."""

    def write(self, features: Tensor, memory: Any = None) -> Any:
        """Add clips ``[B, n, C, T', H', W']`` to a memory."""
        ...

    def read(self, features: Tensor, memory: Any) -> Tensor:
        """Tell clips ``[B, n, C, T', H', W']`` what a memory holds for them."""
        ...


def related(
    memory: SharedMemory,
    encoding: Encoding,
    *,
    batches: Callable[[Encoding], Iterator[Batch]],
    keeps: bool,
    account: Account,
) -> Iterator[tuple[tuple[Clip, ...], Tensor]]:
    """Yield clips and their maps ``[V, n, C, T', H', W']`` after the memory.

    Args:
        memory: of the video.
        encoding: how clips are encoded, in V crops.
        batches: the clips as an encoding takes them; called once for each scan.
        keeps: whether maps are kept between the scans.
        account: charged with all that is computed, a second encoding included.
    """
    first = encoding if keeps else replace(encoding, num_crops=1)
    center = first.num_crops // 2
    written: Any = None
    kept: list[tuple[tuple[Clip, ...], Tensor]] = []
    for batch in batches(first):
        features = first.features(batch, account)
        with account.stage("aggregate"), MacCounter() as counter:
            written = memory.write(features[center : center + 1], written)
        account.add_macs(counter.macs, stage="aggregate")
        if keeps:
            kept.append((batch.clips, features))
    if written is None:
        return
    again = kept if keeps else _encoded(encoding, batches, account)
    for clips, features in again:
        with account.stage("aggregate"), MacCounter() as counter:
            infused = memory.read(features, written.shared_by(encoding.num_crops))
        account.add_macs(counter.macs, stage="aggregate")
        yield clips, infused


def _encoded(
    encoding: Encoding, batches: Callable[[Encoding], Iterator[Batch]], account: Account
) -> Iterator[tuple[tuple[Clip, ...], Tensor]]:
    for batch in batches(encoding):
        yield batch.clips, encoding.features(batch, account)
