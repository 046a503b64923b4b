"""Tensors from a weight file of any format we know, safely."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vidskim.backbones.numpy_pickle import read_numpy_pickle
from vidskim.errors import CheckpointError

WRAPPERS = ("state_dict", "model", "model_state_dict", "model_state")
"""Keys under which training scripts keep the weights of a model."""


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the named tensors of a weight file on the CPU.

    Safetensors, PyTorch's own files (zip and legacy) and Caffe2's pickles are told apart by their
    first bytes. Only tensors are read: a pickle that wants to run code is refused. Where a training
    script wrapped the weights under ``state_dict`` or ``model``, those are taken, and the prefix
    ``module.`` of data-parallel training is removed.

    Raises:
        CheckpointError: the file is missing, empty, unsafe, damaged or no weight file.
    """
    path = Path(path)
    match weight_format(path):
        case "safetensors":
            return _read_safetensors(path)
        case "torch":
            return _read_torch(path)
        case "pickle":
            return read_numpy_pickle(path)


Format = Literal["safetensors", "torch", "pickle"]
"""PyTorch's own files are zip archives or several pickles; Caffe2's are one plain pickle."""

LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How PyTorch's files began before they were zip archives: its magic number, pickled."""


def weight_format(path: Path) -> Format:
    """Tell the format of a weight file by its first bytes.

    Raises:
        CheckpointError: the file is missing, empty or of no format we know.
    """
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder, give a weight file")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file, give a weight file (.safetensors, .pth)")
    try:
        with open(path, "rb") as file:
            start = file.read(len(LEGACY_TORCH))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if not start:
        raise CheckpointError(f"{path}: is empty, copy or download it again")
    if start[8:9] == b"{":
        return "safetensors"
    if start.startswith((b"PK\x03\x04", LEGACY_TORCH)):
        return "torch"
    if start[:1] == b"\x80" or start.startswith(b"(d"):
        return "pickle"
    raise CheckpointError(
        f"{path}: not a weight file, expected safetensors, a PyTorch state dict (.pth, .pyth) or "
        "Caffe2's .pkl"
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: damaged safetensors file ({_first_line(error)}), copy or download it again"
        ) from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols; errors follow if it matters
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, it holds more than tensors or is damaged, and reading it could run "
            "code; save the state dict alone, best as safetensors"
        ) from error
    except Exception as error:  # a parser fed with damaged bytes raises nearly anything
        raise CheckpointError(
            f"{path}: damaged PyTorch file ({_first_line(error)}), copy or download it again"
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
            break
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(
            f"{path}: holds a {type(loaded).__name__}, expected a state dict of named tensors"
        )
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor) or value.is_sparse:
            raise CheckpointError(
                f"{path}: {key!r} is a {type(value).__name__}, expected a state dict of named "
                "dense tensors"
            )
    if all(key.startswith("module.") for key in loaded):
        loaded = {key.removeprefix("module."): value for key, value in loaded.items()}
    return dict(loaded)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
