import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from vidskim.data.folder import choose_test_groups, group_of, load_manifest, scan
from vidskim.data.manifest import Row, read_manifest, write_manifest
from vidskim.errors import ManifestError, UsageError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_class_folders(tmp_path):
    touch(tmp_path, "golf/b.MP4", "golf/deep/a.avi", "swim/c.mkv")
    touch(tmp_path, "golf/notes.txt", "golf/.hidden.mp4", ".cache/x.mp4", "empty/readme", "top.mp4")
    manifest = scan(tmp_path, test_share=0)
    assert [(manifest.name_of(r), r.label, r.split) for r in manifest.rows] == [
        ("golf/b.MP4", "golf", "train"),
        ("golf/deep/a.avi", "golf", "train"),
        ("swim/c.mkv", "swim", "train"),
    ]
    assert manifest.classes == ("golf", "swim")
    assert "add a column 'group'" in manifest.note


def test_split_folders(tmp_path):
    touch(tmp_path, "train/golf/a.mp4", "valid/golf/b.mp4", "Test/swim/c.mp4", "annotations/x.json")
    manifest = scan(tmp_path)
    assert {manifest.name_of(r): (r.label, r.split) for r in manifest.rows} == {
        "train/golf/a.mp4": ("golf", "train"),
        "valid/golf/b.mp4": ("golf", "val"),
        "Test/swim/c.mp4": ("swim", "test"),
    }


def test_a_written_scan_reads_back_equal_with_the_same_hash(tmp_path):
    touch(tmp_path, *(f"{c}/{i}.mp4" for c in ("golf", "swim") for i in range(10)))
    manifest = scan(tmp_path)
    write_manifest(manifest.rows, tmp_path / "manifest.csv")
    read = read_manifest(tmp_path / "manifest.csv")
    assert (read.rows, read.classes, read.sha256) == (
        manifest.rows,
        manifest.classes,
        manifest.sha256,
    )


def test_the_split_depends_on_names_and_seed_alone(tmp_path):
    names = [f"{c}/{i}.mp4" for c in ("golf", "swim") for i in range(20)]
    touch(tmp_path / "one", *names)
    touch(tmp_path / "two", *reversed(names))
    os.utime(tmp_path / "two" / names[3], (0, 0))

    def test_names(folder, **options):
        manifest = scan(folder, **options)
        return [manifest.name_of(row) for row in manifest.rows if row.split == "test"]

    chosen = test_names(tmp_path / "one")
    assert chosen == test_names(tmp_path / "two")
    assert Counter(Path(name).parts[0] for name in chosen) == {"golf": 4, "swim": 4}
    assert test_names(tmp_path / "one", seed=1) != chosen
    assert len(test_names(tmp_path / "one", test_share=0.5)) == 20


@pytest.mark.parametrize(
    ("name", "label", "group"),
    [
        ("v_Diving_g04_c02.avi", "Diving", "Diving/g04"),
        ("Film_2_dive_f_cm_np1_ba_med_3.avi", "dive", "Film_2"),
        ("How_to_pour_beer_pour_u_nm_np1_fr_goo_0.avi", "pour", "How_to_pour_beer"),
        ("-3xAbc_9zQ_000010_000020.mp4", "golf", "-3xAbc_9zQ"),
        ("holiday.mp4", "golf", None),
        ("golf_1.mp4", "golf", None),
    ],
)
def test_the_source_in_a_name(name, label, group):
    assert group_of(Path(label, name), label=label) == group


def test_no_source_is_on_both_sides(tmp_path):
    names = [
        f"{label}/Film{film}_{label}_f_cm_{n}.avi"
        for film in range(30)
        for label in ("dive", "run", "wave")
        for n in range(1 + film % 4)
    ]
    touch(tmp_path, *names)
    manifest = scan(tmp_path, test_share=0.25)
    sides = {
        split: {r.group for r in manifest.rows if r.split == split} for split in ("train", "test")
    }
    assert sides["train"]
    assert sides["test"]
    assert not sides["train"] & sides["test"]
    tested = Counter(r.label for r in manifest.rows if r.split == "test")
    total = Counter(r.label for r in manifest.rows)
    for label in total:
        assert abs(tested[label] / total[label] - 0.25) < 0.03
    assert "none on both sides" in manifest.note


def rows_of(*groups):
    """Each group is a dict from label to the number of its videos."""
    return [
        Row(Path(f"{label}/{number}_{i}.mp4"), (label,), group=f"g{number}")
        for number, counts in enumerate(groups)
        for label, count in counts.items()
        for i in range(count)
    ]


def test_a_small_class_is_still_tested_and_still_trained():
    rows = rows_of({"rare": 1}, {"rare": 1}, *({"common": 1} for _ in range(50)))
    chosen = choose_test_groups(rows, test_share=0.2, seed=0)
    assert sum(row.label == "common" for row in rows if f"group {row.group}" in chosen) == 10
    assert sum(row.label == "rare" for row in rows if f"group {row.group}" in chosen) == 1


def test_a_class_of_one_source_is_trained_on():
    rows = rows_of({"only": 9}, *({"other": 1} for _ in range(5)))
    assert "group g0" not in choose_test_groups(rows, test_share=0.2, seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_no_single_group_can_improve_the_split(seed):
    """A local optimum: against the plain definition, moving any one group makes it no better."""
    rows = rows_of(*({"a": 1 + n % 3, "b": n % 5, "c": (n * 7) % 4} for n in range(40)))
    share = 0.3
    total = Counter(row.label for row in rows)

    def miss(chosen):
        tested = Counter(row.label for row in rows if f"group {row.group}" in chosen)
        return sum((tested[label] - share * total[label]) ** 2 for label in total)

    chosen = choose_test_groups(rows, test_share=share, seed=seed)
    for number in range(40):
        assert miss(chosen ^ {f"group g{number}"}) >= miss(chosen) - 1e-6


def test_what_cannot_be_scanned(tmp_path):
    with pytest.raises(ManifestError, match="no such folder"):
        scan(tmp_path / "missing")
    touch(tmp_path, "flat.mp4")
    with pytest.raises(ManifestError, match="is not a folder"):
        scan(tmp_path / "flat.mp4")
    with pytest.raises(ManifestError, match=r"no class folder with a video.*\.mp4"):
        scan(tmp_path)
    touch(tmp_path, "train/golf/a.mp4", "swim/b.mp4")
    with pytest.raises(ManifestError, match="'train' names a split but 'swim' does not"):
        scan(tmp_path)
    touch(tmp_path / "flat", "train/a.mp4")
    with pytest.raises(ManifestError, match=r"a\.mp4: lies in no class folder"):
        scan(tmp_path / "flat")
    with pytest.raises(UsageError, match=r"test_share is 1"):
        scan(tmp_path, test_share=1.0)


def test_a_linked_class_folder_is_read_but_a_loop_is_not_followed(tmp_path):
    touch(tmp_path / "store", "golf/a.mp4")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "golf").symlink_to(tmp_path / "store" / "golf")
    (tmp_path / "store" / "golf" / "again").symlink_to(tmp_path / "store")
    assert [row.path for row in scan(folder).rows] == [folder / "golf" / "a.mp4"]


def test_load_manifest_takes_either(tmp_path):
    touch(tmp_path, *(f"{c}/{i}.mp4" for c in ("golf", "swim") for i in range(10)))
    whole = load_manifest(tmp_path)
    assert whole == scan(tmp_path)
    test = load_manifest(tmp_path, split="test", classes=["swim", "golf", "run"])
    assert {row.split for row in test.rows} == {"test"}
    assert len(test.rows) == 4
    assert test.classes == ("swim", "golf", "run")
    write_manifest(whole.rows, tmp_path / "m.csv")
    assert load_manifest(tmp_path / "m.csv", split="test").rows == test.rows
    with pytest.raises(ManifestError, match="folder 'swim' is none of the model's classes"):
        load_manifest(tmp_path, classes=["golf"])
    with pytest.raises(ManifestError, match="no video is in split 'val'"):
        load_manifest(tmp_path, split="val")
    with pytest.raises(UsageError, match="unknown split 'tset'"):
        load_manifest(tmp_path, split="tset")


@pytest.mark.data
def test_sources_read_from_real_names_equal_the_published_ones(data_folder):
    published = read_manifest(data_folder / "jhmdb21" / "labels.csv")
    scanned = scan(data_folder / "jhmdb21")
    known = {row.path: replace(row, split=None) for row in published.rows}
    assert {row.path: replace(row, split=None) for row in scanned.rows} == known
    assert scanned.classes == published.classes


def test_a_name_that_no_csv_can_hold_is_refused(tmp_path):
    (tmp_path / "golf").mkdir()
    (tmp_path / "golf" / os.fsdecode(b"swing\xff.mp4")).write_bytes(b"")
    with pytest.raises(ManifestError, match="is not UTF-8; rename it") as refused:
        scan(tmp_path)
    str(refused.value).encode()
