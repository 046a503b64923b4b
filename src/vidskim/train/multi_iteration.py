"""One step on N clips of every video: all at once, or one after another at constant memory.

Yang et al., "Beyond Short Clips", CVPR 2021, section 3.3. **Batch reduction** puts all clips into
one pass. **Multi-iteration** goes over them twice, one clip of every video at a time: the first
scan writes the memory and keeps no activations, the second answers and learns.

The paper does not say what of the gradient the second scan has. Two forms are here:

``full``
    all of it, equal to that of batch reduction. A loss reaches clip n in two ways only: by its
    mean features, on which its answer rests, and by what it wrote into the memory. After the first
    scan the loss of all clips is a function of the mean features and the memory alone; its
    gradients to both are taken at once, and the second scan carries them on into each clip::

        scan 1   x_n = mean of X_n, M = sum of what X_n write          no gradients kept
        loss     L(x_1, ..., x_N, M); dL/dx_n, dL/dM                   N C + D D numbers
        scan 2   backward of <dL/dx_n, mean of X_n> + <dL/dM, what X_n writes>

    As scan 2 needs no answer, a clip is encoded twice and never three times.

``own``
    what a reading of the paper's two sentences gives: the answer of clip n learns through X_n,
    through what it reads and through its own term of the memory; the terms of other clips are
    constants. Without that own term W_k and W_v would learn nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from vidskim.model.memory import Memory
from vidskim.train.multi_clip import MultiClip
from vidskim.train.sub_batch import Grouping

Gradient = Literal["full", "own"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits ``[B, N, K]``, targets) to a scalar."""

Backward = Callable[[Tensor], object]
"""Starts the backward pass from a loss."""


@dataclass(frozen=True, slots=True)
class ClipByClip:
    """The clips of a step that are made when it is their turn, so that not even they are kept."""

    num_clips: int
    """N."""
    draw: Callable[[int], Tensor]
    """Makes clip n of every video, ``[B, 1, 3, T, h, w]``; the same each time."""


def multi_iteration(
    model: MultiClip,
    clips: Tensor | ClipByClip,
    target: Tensor,
    *,
    loss_of: Loss,
    grouping: Grouping,
    backward: Backward,
    gradient: Gradient = "full",
) -> Tensor:
    """Add the gradients of one step to the parameters, clip by clip; return the loss.

    Batch norm sees one clip of every video at a time, which is the group that sub-batch norm makes
    of a whole batch: both strategies learn the same.

    Args:
        model: in training mode.
        clips: ``[B, N, 3, T, h, w]``, or drawn one after another, twice; each is moved to the
            model's device when it is its turn.
        target: of the videos.
        loss_of: of the logits of all clips.
        grouping: of the backbone's norms.
        backward: starts a backward pass from a loss; may scale it.
        gradient: "full" or "own".

    Returns:
        The loss, detached.
    """
    device = next(model.backbone.parameters()).device
    grouping.num_groups = 1
    N = clips.num_clips if isinstance(clips, ClipByClip) else clips.shape[1]
    seeds = torch.randint(2**62, (N,)).tolist()

    def encode(n: int) -> Tensor:
        x = clips.draw(n) if isinstance(clips, ClipByClip) else clips[:, n : n + 1]
        torch.manual_seed(seeds[n])  # what a backbone draws at random is the same in both scans
        return model.encode(x.to(device))  # [B, 1, C, T', H', W']

    memory: Memory | None = None
    known: list[Tensor] = []
    with torch.no_grad(), grouping.paused():
        for n in range(N):
            features = encode(n)
            if model.memory is not None:
                memory = model.memory.write(features, memory)
            known.append(condensed(model, features))
    learn = _full if gradient == "full" else _own
    with grouping.together():
        return learn(
            model, encode, known, memory, target=target, loss_of=loss_of, backward=backward
        )


def condensed(model: MultiClip, features: Tensor) -> Tensor:
    """Return what the classifier needs of maps ``[B, n, C, T', H', W']``.

    Mostly their mean ``[B, n, C, 1, 1, 1]``: reading from a memory and averaging may change places.
    A classifier that weighs places needs the maps as they are.
    """
    if model.backbone.takes_mean():
        return features.mean((3, 4, 5), keepdim=True)
    return features


def _answers(model: MultiClip, known: Tensor, memory: Memory | None) -> Tensor:
    """Return the logits ``[B, n, K]`` of condensed clips."""
    if model.memory is not None and memory is not None:
        known = model.memory.read(known, memory)
    return model.classify(known)


def _full(
    model: MultiClip,
    encode: Callable[[int], Tensor],
    known: list[Tensor],
    memory: Memory | None,
    *,
    target: Tensor,
    loss_of: Loss,
    backward: Backward,
) -> Tensor:
    leaf = torch.cat(known, dim=1).requires_grad_()  # [B, N, C, 1, 1, 1]
    if memory is not None:
        memory = replace(memory, total=memory.total.detach().requires_grad_())
    loss = loss_of(_answers(model, leaf, memory), target)
    backward(loss)
    assert leaf.grad is not None
    if not any(p.requires_grad for p in model.backbone.parameters()) and memory is None:
        return loss.detach()
    for n in range(len(known)):
        features = encode(n)
        carried = (condensed(model, features) * leaf.grad[:, n : n + 1]).sum()
        if model.memory is not None and memory is not None:
            assert memory.total.grad is not None
            carried = carried + (model.memory.write(features).total * memory.total.grad).sum()
        if carried.requires_grad:
            carried.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def _own(
    model: MultiClip,
    encode: Callable[[int], Tensor],
    known: list[Tensor],
    memory: Memory | None,
    *,
    target: Tensor,
    loss_of: Loss,
    backward: Backward,
) -> Tensor:
    with torch.no_grad():
        fixed = _answers(model, torch.cat(known, dim=1), memory)  # [B, N, K]
    loss = torch.zeros(())
    for n in range(len(known)):
        features = encode(n)
        mine = memory
        if model.memory is not None and memory is not None:
            written = model.memory.write(features).total
            mine = replace(memory, total=memory.total - written.detach() + written)
        logits = _answers(model, condensed(model, features), mine)  # [B, 1, K]
        together = torch.cat([fixed[:, :n], logits, fixed[:, n + 1 :]], dim=1)
        loss = loss_of(together, target)
        backward(loss)
    return loss.detach()
