"""Named arrays from a plain pickle, as Caffe2's model zoos keep them, without running any of it.

A pickle is a program. Here it may build dictionaries, lists, tuples, numbers, strings and NumPy
arrays of plain numbers; every other name it asks for is refused. Arrays are not made by NumPy's own
unpickling but from stand-ins that only take down type, shape and bytes, which are then checked.
"""

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from vidskim.errors import CheckpointError, first_line

BLOBS = "blobs"
"""Where Caffe2's files keep the weights, beside the configuration of their training."""

PLAIN = {"OrderedDict": OrderedDict, "dict": dict, "list": list, "set": set}
"""What a pickle may call of Python's own, beside what it writes without a call."""

MAX_ITEMS = 1 << 16
"""Of a tuple, with those of the tuples in it."""

TUPLE_CODES = b")t\x85\x86\x87"
"""The instructions that make tuples."""

PLAIN_MODULES = ("collections", "builtins", "__builtin__")
ARRAY_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")


def read_numpy_pickle(path: Path) -> dict[str, Tensor]:
    """Read the named arrays of a pickle (Python 2's too), as tensors.

    Takes a dictionary of arrays, or one that keeps them under ``blobs``.

    Raises:
        CheckpointError: the pickle asks for anything but arrays and plain containers, is damaged,
            or holds something else.
    """
    try:
        with open(path, "rb") as file:
            loaded = _Unpickler(file).load()
        if isinstance(loaded, Mapping) and isinstance(loaded.get(BLOBS), Mapping):
            loaded = loaded[BLOBS]
        if not isinstance(loaded, Mapping) or not loaded:
            raise CheckpointError(
                f"{path}: holds a {type(loaded).__name__}, expected a dictionary of named arrays"
            )
        return {_name(key, path): _tensor(key, value, path) for key, value in loaded.items()}
    except _ForbiddenError as error:
        raise CheckpointError(
            f"{path}: refused, it asks for {error}, and reading it could run code; give a file "
            "that holds a state dict alone, best as safetensors"
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # a parser fed with damaged bytes raises nearly anything
        raise CheckpointError(
            f"{path}: damaged pickle ({first_line(error)}), copy or download it again"
        ) from error


class _ForbiddenError(Exception):
    """The name that a pickle asked for."""


def _counted(read: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return the reader of a tuple that counts what it made."""

    def read_and_count(unpickler: Any) -> None:
        read(unpickler)
        unpickler.count_tuple(unpickler.stack[-1])

    return read_and_count


def _whole_lines(file: IO[bytes]) -> Callable[[], bytes]:
    """Return a reader of lines that tells one that is cut off, as the reader in C does."""

    def read() -> bytes:
        line = file.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the file ends too early")
        return line

    return read


class _Unpickler(pickle._Unpickler):
    """Python's own reader written in Python: that in C lets ten bytes take 16 GB for its memo."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")  # how Python 2 wrote its bytes
        self._tuples: dict[int, tuple[tuple[object, ...], int]] = {}
        reader: Any = self
        reader._file_readline = _whole_lines(file)
        reader.dispatch = dict(reader.dispatch)
        for code in TUPLE_CODES:
            reader.dispatch[code] = _counted(reader.dispatch[code])
        del reader.dispatch[pickle.BYTEARRAY8[0]]  # takes as much memory as the file says

    def count_tuple(self, made: tuple[object, ...]) -> None:
        """Refuse tuples of tuples whose hash would never be done: each may hold one many times."""
        items = 1 + sum(self._tuples[id(x)][1] if type(x) is tuple else 1 for x in made)
        if items > MAX_ITEMS:
            raise ValueError(f"a tuple of {items} items")
        self._tuples[id(made)] = (made, items)  # kept, so that no other gets its id

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for, each time anew: a pickle may change what it is given."""
        if module in PLAIN_MODULES and name in PLAIN:
            return PLAIN[name]
        if module in ARRAY_MODULES and name in _STAND_INS:
            return partial(_STAND_INS[name])
        if (module, name) == ("_codecs", "encode"):
            return partial(_bytes)
        raise _ForbiddenError(f"{module}.{name}")


class _Type:
    """Stands in for ``numpy.dtype``: takes down the name and the byte order."""

    def __init__(self, name: object = "", *_: object) -> None:
        self.name = name
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        if state[1] in ("<", ">"):
            self.order = state[1]

    def numpy(self) -> "np.dtype[Any]":
        """Return the type, if it is one of plain numbers of at most eight bytes."""
        name = self.name.decode("latin1") if isinstance(self.name, bytes) else self.name
        if not isinstance(name, str) or name not in _NUMBERS:
            raise _ForbiddenError(f"an array of {name!r}")
        return np.dtype(self.order + name)


class _Array:
    """Stands in for ``numpy.ndarray``: takes down type, shape, order and bytes."""

    def __init__(self, *_: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state[-4:]  # newer pickles begin with a version

    def numpy(self) -> "np.ndarray[Any, Any]":
        """Return the array, if its bytes are as many as its shape says."""
        shape, kind, fortran, raw = self.state
        if not isinstance(kind, _Type):
            raise _ForbiddenError("an array of no type")
        dtype = kind.numpy()
        data = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
        if math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"{len(data)} bytes for an array of shape {shape}")
        array = np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")
        return array.astype(dtype.newbyteorder("="))


def _scalar(kind: Any, raw: Any = b"") -> _Array:
    array = _Array()
    array.state = ((), kind, False, raw)
    return array


def _bytes(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise _ForbiddenError(f"the codec {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[str, Callable[..., object]] = {
    "ndarray": _Array,
    "dtype": _Type,
    "_reconstruct": _Array,
    "scalar": _scalar,
}
_NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")


def _name(key: object, path: Path) -> str:
    if not isinstance(key, str):
        raise CheckpointError(
            f"{path}: {key if isinstance(key, int) else f'a {type(key).__name__}'} is no name, "
            "expected a dictionary of named arrays"
        )
    return key


def _tensor(key: str, value: object, path: Path) -> Tensor:
    if isinstance(value, bool | int | float):  # Caffe2 keeps counters as bare numbers
        return torch.tensor(value)
    if not isinstance(value, _Array):
        raise CheckpointError(
            f"{path}: {key!r} is a {type(value).__name__}, expected a dictionary of named arrays"
        )
    return torch.from_numpy(value.numpy())
