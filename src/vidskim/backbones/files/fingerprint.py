"""Weights, tensors and files as one name: what is kept on disk is found and checked by it."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn


def weights_sha256(network: nn.Module) -> str:
    """Return the sha256 of a network's weights and their names."""
    return tensors_sha256(network.state_dict().items())


def tensors_sha256(tensors: Iterable[tuple[str, Tensor]], *, before: bytes = b"") -> str:
    """Return the sha256 of tensors with their names, types and shapes, behind some bytes."""
    digest = hashlib.sha256(before)
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Return a file's sha256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
