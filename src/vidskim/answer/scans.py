"""Two scans over a video's clips: all write the memory, then each reads it.

Only the center crop of each clip writes; all its crops read (collaborative memory, section 4.1,
"inference": ten center crops for all thirty). Where the maps of all views fit into a bound they are
kept, and each view is encoded once; where they do not, the second scan reads and encodes the clips
again, and memory stays constant.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor

from vidskim.account import Account, MacCounter
from vidskim.answer.encode import Batch, Encoding
from vidskim.errors import UsageError
from vidskim.model.contract import Context

MAX_KEPT_BYTES = 2**28
"""Of the maps of one video: 256 MiB hold the thirty views of a full-size Slow-only R50 twice."""


def related(
    context: Context,
    encoding: Encoding,
    *,
    batches: Callable[[Encoding], Iterator[Batch]],
    keeps: bool,
    account: Account,
) -> Iterator[Batch]:
    """Yield runs whose maps have read the memory that all of them wrote.

    Args:
        context: of the video.
        encoding: how runs are encoded, in V crops.
        batches: the runs as an encoding takes them; called once for each scan.
        keeps: whether maps are kept between the scans.
        account: charged with all that is computed, a second encoding included.
    """
    first = encoding if keeps else replace(encoding, num_crops=1)
    center = first.num_crops // 2
    written: Any = None
    kept: list[Batch] = []
    for batch in batches(first):
        with account.stage("aggregate"), MacCounter() as counter:
            written = context.write(batch.maps[center : center + 1], written)
            if not hasattr(written, "shared_by"):
                raise UsageError(
                    f"context {type(context).__name__} writes a {type(written).__name__}: what it "
                    "writes has shared_by(num_crops), see vidskim.model.contract.Context"
                )
        account.add_macs(counter.macs, stage="aggregate")
        if keeps:
            kept.append(batch)
    if written is None:
        return
    for batch in kept if keeps else batches(encoding):
        with account.stage("aggregate"), MacCounter() as counter:
            infused = context.read(batch.maps, written.shared_by(encoding.num_crops))
            if not isinstance(infused, Tensor) or infused.shape[:2] != batch.maps.shape[:2]:
                told = list(infused.shape) if isinstance(infused, Tensor) else type(infused)
                raise UsageError(
                    f"context {type(context).__name__} gives {told} for maps "
                    f"{list(batch.maps.shape)}: one map for each"
                )
        account.add_macs(counter.macs, stage="aggregate")
        yield replace(batch, maps=infused)
