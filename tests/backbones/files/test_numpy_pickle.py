"""Arrays from plain pickles: Python 2's and 3's are read, whatever else they want is refused."""

import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
import torch

from vidskim.backbones.files.numpy_pickle import read_numpy_pickle
from vidskim.errors import CheckpointError


def python2_array(array: np.ndarray) -> bytes:
    """Return the opcodes with which Python 2 and its NumPy pickled an array, protocol 2."""
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in array.shape) + b"t"
    raw = array.tobytes()
    name = f"{array.dtype.kind}{array.dtype.itemsize}".encode()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        b"(K\x01" + shape + b"cnumpy\ndtype\n(U\x02" + name + b"K\x00K\x01tR"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    )


def python2_blobs(blobs: dict[str, np.ndarray]) -> bytes:
    """Return a whole Caffe2 file: ``{"blobs": {name: array}}``."""
    items = b"".join(
        b"U" + bytes([len(name)]) + name.encode() + python2_array(array)
        for name, array in blobs.items()
    )
    return b"\x80\x02}U\x05blobs}(" + items + b"us."


ARRAYS = {
    "pred_w": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32),
    "pred_b": np.array([200, -1, 7], dtype=np.int64),
    "half": np.arange(6, dtype=np.float16).reshape(1, 2, 3),
}


def _same(found: dict[str, torch.Tensor], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key].numpy(), array, strict=True)


def test_python_2_files_are_read(tmp_path):
    path = tmp_path / "net.pkl"
    path.write_bytes(python2_blobs(ARRAYS))
    # the handwritten opcodes are what Python reads as well
    with open(path, "rb") as file:
        truth = pickle.load(file, encoding="latin1")["blobs"]
    np.testing.assert_array_equal(truth["pred_w"], ARRAYS["pred_w"])
    _same(read_numpy_pickle(path), ARRAYS)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("wrapped", [True, False])
def test_python_3_files_are_read(tmp_path, protocol, wrapped):
    path = tmp_path / "net.pkl"
    content = {"blobs": OrderedDict(ARRAYS), "cfg": "text"} if wrapped else ARRAYS
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    _same(read_numpy_pickle(path), ARRAYS)


def test_order_of_bytes_and_of_axes_is_kept(tmp_path):
    arrays = {
        "big": np.arange(6, dtype=">f4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype="<f8").reshape(2, 3)),
        "iter": np.int64(7),
    }
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol=2))
    found = read_numpy_pickle(path)
    assert found["big"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["fortran"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["iter"].item() == 7


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *args) -> None:
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Call(open, "trap", "w"), r"refused, it asks for (_?io|__builtin__)\.open"),
        ({"w": Call(eval, "1")}, r"refused, it asks for __builtin__\.eval"),
        ({"w": Call(getattr, "a", "b")}, r"refused, it asks for __builtin__\.getattr"),
        ({"w": Call(np.load, "x")}, r"refused, it asks for numpy\.load"),
        ({"w": np.array([{}, 1], dtype=object)}, r"refused, it asks for an array of 'O8'"),
        ({"w": np.array(["text"])}, r"refused, it asks for an array of 'U4'"),
        ({"w": "text"}, r"'w' is a str, expected a dictionary of named arrays"),
        ({3: np.zeros(2)}, r"3 is no name"),
        ([np.zeros(2)], r"holds a list"),
        ({}, r"holds a dict"),
    ],
)
def test_anything_else_is_refused(tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(CheckpointError, match=reason) as error:
        read_numpy_pickle(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["net.pkl"]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_named(tmp_path, share):
    whole = python2_blobs(ARRAYS)
    path = tmp_path / "net.pkl"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"net\.pkl: damaged pickle"):
        read_numpy_pickle(path)


def test_a_lying_shape_is_refused(tmp_path):
    path = tmp_path / "net.pkl"
    shape = b"J" + struct.pack("<i", 3)
    lie = b"J" + struct.pack("<i", 2**31 - 1)
    path.write_bytes(python2_blobs({"b": np.zeros(3, np.float32)}).replace(shape, lie))
    with pytest.raises(CheckpointError, match="12 bytes for an array of shape"):
        read_numpy_pickle(path)


def test_a_pickle_cannot_change_the_reader(tmp_path):
    """BUILD sets attributes on what it is given: on nothing that the next file meets."""
    path = tmp_path / "net.pkl"
    for name in ("ndarray", "dtype"):
        poison = b"\x80\x02}U\x01wcnumpy\n" + name.encode() + b"\nN}U\x05numpyK\x01s\x86bs."
        path.write_bytes(poison)
        with pytest.raises(CheckpointError):
            read_numpy_pickle(path)
    path.write_bytes(python2_blobs(ARRAYS))
    _same(read_numpy_pickle(path), ARRAYS)


def _nested_tuples(depth: int) -> bytes:
    """Return opcodes of ``t = (t, t)``, again and again: two to the depth of items."""
    made = b"".join(
        b"h" + bytes([i, ord("h"), i]) + b"\x86q" + bytes([i + 1]) for i in range(depth)
    )
    return b")q\x00" + made


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x02" + _nested_tuples(40) + b"}h\x28K\x01s.", "damaged pickle"),  # a key
        (b"\x80\x02]r\xff\xff\xff\x3f.", "holds a list"),  # the billionth place of the memo
        (b"\x80\x05\x96" + struct.pack("<Q", 1 << 36) + b".", "damaged pickle"),  # 64 GB of zeros
        (b"\x80\x02" + _nested_tuples(3) + b"}h\x03K\x01s.", "a tuple is no name"),
        (b"\x80\x02cbuiltins\ntuple\n]\x85R.", "asks for builtins.tuple"),
    ],
)
def test_small_files_that_want_all_time_or_memory_are_refused(tmp_path, content, reason):
    path = tmp_path / "bomb.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=reason) as error:
        read_numpy_pickle(path)
    assert len(str(error.value)) < 500
