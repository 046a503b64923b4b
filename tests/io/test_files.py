"""A file appears under its name complete, or not at all."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from vidskim.errors import UsageError
from vidskim.io.write.files import all_whole, refusing, whole, write_whole

STOPS = [OSError("full"), ValueError("ours"), KeyboardInterrupt(), SystemExit(1)]


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: type(stop).__name__)
@pytest.mark.parametrize("old", [None, b"old"])
def test_what_stops_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path, old, stop):
    path = tmp_path / "a.txt"
    if old is not None:
        path.write_bytes(old)

    def write() -> None:
        with whole(path) as part:
            part.write_bytes(b"half")
            raise stop

    with pytest.raises(type(stop)):
        write()
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if old is None else [old])


def test_a_file_appears_at_the_end_with_its_suffix_from_the_start(tmp_path):
    path = tmp_path / "new" / "a.png"
    with whole(path) as part:
        part.write_bytes(b"all")
        assert part.parent == path.parent
        assert part.suffix == ".png"
        assert part.name.startswith(".")
        assert not path.exists()
    assert path.read_bytes() == b"all"
    assert os.listdir(path.parent) == ["a.png"]


def test_files_have_the_rights_of_any_other_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_whole(tmp_path / "a", b"")
    with all_whole(tmp_path) as folder:
        (folder / "b").write_bytes(b"")
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_text_is_written_as_it_stands(tmp_path):
    write_whole(tmp_path / "a", "é\r\nb\n")
    assert (tmp_path / "a").read_bytes() == "é\r\nb\n".encode()


def test_the_longest_name_is_written(tmp_path):
    path = tmp_path / ("é" * 125 + ".json")  # 255 bytes, what most file systems take
    write_whole(path, "x")
    assert path.read_text() == "x"


def test_several_at_once_do_not_meet(tmp_path):
    def write(n: int) -> None:
        write_whole(tmp_path / "a", str(n) * 100_000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(10)))
    assert len(set((tmp_path / "a").read_text())) == 1
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: type(stop).__name__)
def test_of_several_files_all_appear_or_none(tmp_path, stop):
    (tmp_path / "a").write_text("old")

    def write() -> None:
        with all_whole(tmp_path) as folder:
            (folder / "a").write_text("new")
            raise stop

    with pytest.raises(type(stop)):
        write()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "old"}
    with all_whole(tmp_path) as folder:
        for name in "ab":
            (folder / name).write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "new", "b": "new"}


def test_a_place_that_cannot_be_written_to_is_told_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match=r"file.x: no way \(.+\); go away"),
        refusing(tmp_path / "file" / "x", what="no way", remedy="go away"),
    ):
        write_whole(tmp_path / "file" / "x", "")
