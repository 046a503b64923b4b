"""Tensors from a weight file of any format we know, safely."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vidskim.backbones.files.numpy_pickle import read_numpy_pickle
from vidskim.errors import CheckpointError, listed

WRAPPERS = ("state_dict", "model", "model_state_dict", "model_state")
"""Keys under which training scripts keep the weights of a model, at times one in another."""

MAX_WRAPPERS = 3

MAX_EXPANDED = 1 << 26
"""Numbers of a tensor that repeats fewer stored ones: more than this would fill the memory."""

MAX_SHOWN = 80
"""Characters of a name in a message."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "encoder.")
"""What data-parallel training, ``torch.compile`` and Lightning put before every name."""


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the named tensors of a weight file on the CPU.

    Safetensors, PyTorch's own files (zip and legacy) and Caffe2's pickles are told apart by their
    first bytes, whatever the file is called. Only tensors are read: a pickle that wants to run code
    is refused. Where a training script wrapped the weights under ``state_dict`` or ``model``, those
    are taken, and `PREFIXES` that all names share are removed.

    Raises:
        CheckpointError: the file is missing, empty, unsafe, damaged or no weight file.
    """
    path = Path(path)
    match weight_format(path):
        case "safetensors":
            return _without_prefix(_read_safetensors(path))
        case "torch":
            return _without_prefix(_read_torch(path))
        case "pickle":
            return read_numpy_pickle(path)


Format = Literal["safetensors", "torch", "pickle"]
"""PyTorch's own files are zip archives or several pickles; Caffe2's are one plain pickle."""

LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How PyTorch's files began before they were zip archives: its magic number, pickled."""


def check_finite(state: Mapping[str, Tensor], *, path: Path) -> None:
    """Raise unless all weights of a file are numbers.

    Raises:
        CheckpointError: one is NaN or infinite.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{path}: holds weights that are no numbers ({listed([name])})")


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
    _check_archive(path)
    try:
        with warnings.catch_warnings(), open(path, "rb") as file:  # a path is judged by its suffix
            warnings.simplefilter("ignore")  # about pickle protocols; errors follow if it matters
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, it holds more than tensors or is damaged, and reading it could run "
            "code; save the state dict alone, best as safetensors"
        ) from error
    except Exception as error:  # a parser fed with damaged bytes raises nearly anything
        raise CheckpointError(
            f"{path}: damaged PyTorch file ({_first_line(error)}), copy or download it again"
        ) from error
    for _ in range(MAX_WRAPPERS):
        if isinstance(loaded, Mapping):
            inner = (loaded[w] for w in WRAPPERS if isinstance(loaded.get(w), Mapping))
            loaded = next(inner, loaded)
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(
            f"{path}: holds a {type(loaded).__name__}, expected a state dict of named tensors"
        )
    for key, value in loaded.items():
        fault = _fault(key, value)
        if fault:
            name = repr(key)[:MAX_SHOWN] if isinstance(key, str | int) else "a key"
            raise CheckpointError(
                f"{path}: {name} is {fault}, expected a state dict of named dense tensors"
            )
    return dict(loaded)


def _check_archive(path: Path) -> None:
    """Refuse a zip archive that is no state dict, or that unpacks to more than it is long.

    PyTorch stores tensors as they are, but would unpack compressed ones: a small file could take
    all memory.

    Raises:
        CheckpointError: such an archive, or a damaged one.
    """
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # as above
        raise CheckpointError(
            f"{path}: damaged PyTorch file ({_first_line(error)}), copy or download it again"
        ) from error
    names = {entry.filename.rpartition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        raise CheckpointError(
            f"{path}: is a TorchScript program, which is not run: save its state dict alone, best "
            "as safetensors"
        )
    if "data.pkl" not in names:
        raise CheckpointError(f"{path}: a zip archive without data.pkl, expected a state dict")
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise CheckpointError(
            f"{path}: refused, it unpacks to more than it is long, which no file of torch.save "
            "does: save the state dict again"
        )


def _fault(key: object, value: object) -> str:
    """Say why an entry is no plain tensor with a name; "" if it is one."""
    if not isinstance(key, str) or not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if value.is_nested or value.layout != torch.strided or value.is_quantized:
        return "a sparse, nested or quantized tensor"
    if value.device.type != "cpu":
        return "a tensor without its numbers"
    needed = value.numel() * value.element_size()
    if value.numel() > MAX_EXPANDED and needed > value.untyped_storage().nbytes():
        return f"a tensor of shape {list(value.shape)} with fewer numbers than that"
    return ""


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove what training put before every name."""
    while state:
        shared = [p for p in PREFIXES if all(key.startswith(p) for key in state)]
        if not shared:
            break
        state = {key.removeprefix(shared[0]): value for key, value in state.items()}
    return state


def _first_line(error: Exception) -> str:
    """Return the first sentence: later ones tell users of PyTorch to switch its safety off."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line.partition(". ")[0]
