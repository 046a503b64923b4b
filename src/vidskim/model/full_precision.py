"""Where sums are too long for the half precision that a network around them runs in."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Leave autocast for what follows, as sums over thousands of places need float32."""
    if x.device.type == "meta":  # which autocast does not know
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)
