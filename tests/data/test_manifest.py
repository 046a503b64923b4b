import csv
import hashlib
from pathlib import Path

import pytest

from vidskim.data.manifest import Row, read_manifest, write_manifest
from vidskim.errors import ManifestError, UsageError


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "m.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_all_columns_in_any_order_and_spelling(write, tmp_path):
    text = (
        "\ufeffSplit,labels,path,source_group,start_seconds,end_seconds,num_frames\r\n"
        'train,swim| dive,"a,b/c.mp4",film 3,1.5,4,99\r\n'
        "\r\n"
        "test,golf,/abs/d.mp4,,,,\r\n"
    )
    path = write(text)
    manifest = read_manifest(path)
    assert manifest.rows == (
        Row(tmp_path / "a,b/c.mp4", ("swim", "dive"), 1.5, 4.0, "train", "film 3"),
        Row(Path("/abs/d.mp4"), ("golf",), None, None, "test", None),
    )
    assert manifest.classes == ("dive", "golf", "swim")
    assert manifest.class_index == {"dive": 0, "golf": 1, "swim": 2}
    assert manifest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest.source == path
    assert [manifest.name_of(row) for row in manifest.rows] == ["a,b/c.mp4", "/abs/d.mp4"]


def test_a_split_keeps_the_classes_of_the_whole_file(write):
    path = write("path,label,split\na.mp4,x,train\nb.mp4,y,test\n")
    manifest = read_manifest(path, split="test")
    assert [row.label for row in manifest.rows] == ["y"]
    assert manifest.classes == ("x", "y")


def test_classes_of_a_model_keep_their_order(write):
    manifest = read_manifest(write("path,label\na.mp4,x\n"), classes=["z", "x"])
    assert manifest.classes == ("z", "x")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["is empty", "path,label"]),
        (" \n\n", ["is empty"]),
        ("path,label\n", ["no rows", "add one line per video"]),
        ("path;label\na;b\n", ["line 1", "no column 'path'", "'path;label'", "commas"]),
        ("path,split\na,train\n", ["line 1", "no column 'label'"]),
        ("path,label,label\na,b,c\n", ["line 1", "'label' stands twice"]),
        ("path,label,labels\na,b,c\n", ["line 1", "'label' stands twice"]),
        ("path,label,start_second\na,b,1\n", ["'start_second'", "did you mean 'start_seconds'"]),
        ("path,label\na,x\nb\n", ["line 3", "1 values for 2 columns"]),
        ("path,label\na,x,y\n", ["line 2", "3 values for 2 columns", "double quotes"]),
        ("path,label\n,x\n", ["line 2", "path is empty"]),
        ("path,label\na,x\nb,\n", ["line 3", "a label is empty"]),
        ("path,label\na,x||y\n", ["line 2", "'x||y'"]),
        ("path,label,start_seconds\na,x,soon\n", ["line 2", "start_seconds is 'soon'", "number"]),
        ("path,label,end_seconds\na,x,nan\n", ["line 2", "end_seconds is 'nan'"]),
        ("path,label,start_seconds\na,x,-1\n", ["line 2", "'-1'", "at least 0"]),
        ("path,label,start_seconds,end_seconds\na,x,5,5\n", ["end_seconds 5", "start_seconds 5"]),
        ("path,label,end_seconds\na,x,0\n", ["end_seconds 0 is not after start_seconds 0"]),
        ("path,label,split\na,x,tets\n", ["line 2", "'tets'", "did you mean 'test'", "train, val"]),
        ("path,label,split\na,x,validation\n", ["'validation'", "did you mean 'val'"]),
        ("path,label\na,x\nb,x\na,y\n", ["line 4", "'a' is on line 2 already"]),
        (b"path,label\na,x\nb,\xff\n", ["line 3", "0xff", "UTF-8"]),
        ('path,label\n"a,x\n', ["not valid CSV", "quotes"]),
        ("path,label\na\0b,x\n", ["NUL"]),
    ],
)
def test_a_bad_manifest_is_named_with_line_value_and_remedy(write, text, parts):
    path = write(text)
    with pytest.raises(ManifestError) as error:
        read_manifest(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_label_unknown_to_the_model_names_the_nearest(write):
    path = write("path,label\na,swim\nb,swin\n")
    with pytest.raises(ManifestError, match="line 3: unknown label 'swin': did you mean 'swim'"):
        read_manifest(path, classes=["swim", "golf"])
    with pytest.raises(ManifestError, match=r"line 2.*'swim': it is none of 1 classes"):
        read_manifest(path, classes=["quaternion"])


def test_splits_that_are_not_there(write):
    path = write("path,label,split\na,x,train\n")
    with pytest.raises(ManifestError, match=r"no row is in split 'test' \(.*only train\)"):
        read_manifest(path, split="test")
    with pytest.raises(UsageError, match="unknown split 'tst': did you mean 'test'"):
        read_manifest(path, split="tst")
    with pytest.raises(ManifestError, match="no column 'split'"):
        read_manifest(write("path,label\na,x\n"), split="test")


def test_what_is_no_file(tmp_path):
    with pytest.raises(ManifestError, match="no such manifest"):
        read_manifest(tmp_path / "missing.csv")
    with pytest.raises(ManifestError, match=r"is a folder.*vidskim data scan"):
        read_manifest(tmp_path)
    with pytest.raises(ManifestError, match="not a regular file"):
        read_manifest("/dev/null")


def test_written_rows_are_read_back_equal(tmp_path):
    rows = (
        Row(tmp_path / "set" / "x" / 'odd "name", ü.mp4', ("x", "y"), 0.1, 1 / 3, "val", "g"),
        Row(tmp_path / "elsewhere.mp4", ("z",)),
    )
    path = tmp_path / "set" / "new.csv"
    write_manifest(rows, path)
    assert read_manifest(path).rows == rows
    with path.open(encoding="utf-8") as file:
        assert next(csv.DictReader(file))["path"] == 'x/odd "name", ü.mp4'
    assert [p.name for p in path.parent.iterdir()] == ["new.csv"]  # no temporary file is left


def test_columns_no_row_uses_are_left_out(tmp_path):
    write_manifest([Row(tmp_path / "a.mp4", ("x",))], tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text() == "path,label\na.mp4,x\n"


def test_a_failed_write_leaves_the_old_manifest(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("old")

    def rows():
        yield Row(tmp_path / "a.mp4", ("x",))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_manifest(rows(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
