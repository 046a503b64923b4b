"""A network's weights as one name: what is kept on disk says by it what it was made with."""

import hashlib

import torch
from torch import nn


def weights_sha256(network: nn.Module) -> str:
    """Return the sha256 of a network's weights and their names."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
