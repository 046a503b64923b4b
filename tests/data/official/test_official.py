"""Official annotation files, written here in the published formats, against rows told by hand."""

import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidskim import Video
from vidskim.cli import main
from vidskim.data.manifest import Row, read_manifest, write_manifest
from vidskim.data.official.formats import split_of
from vidskim.data.official.read import read_official
from vidskim.data.official.text import MAX_ID
from vidskim.errors import ManifestError, UsageError
from vidskim.io.write.jpeg import to_jpeg

K400 = "label,youtube_id,time_start,time_end,split,is_cc\n"
K700 = "label,youtube_id,time_start,time_end,split\n"
CHARADES = (
    "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
)
CLASSES = "c000 Holding some clothes\nc001 Putting clothes somewhere\nc092 Watching TV\n"


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")
    return root


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def told(manifest):
    return [(manifest.name_of(row), row.labels, row.split, row.group) for row in manifest.rows]


def kinetics_row(number, label="golf", split="train"):
    return f"{label},id{number},{number},{number + 10},{split}\n"


# Kinetics


@pytest.mark.parametrize(
    "names",
    [
        ("-a_bC1_000059_000069.mp4", "xyz_001279_001289.mkv"),
        ("air drumming/-a_bC1_000059_000069.mp4", "golf/xyz_001279_001289.webm"),
        ("air_drumming/-a_bC1_000059_000069.mp4", "golf/xyz_001279_001289.MP4"),
        ("train_256/-a_bC1_000059_000069.mp4", "val_256/xyz_001279_001289.mp4"),
        ("train/air drumming/-a_bC1_000059_000069.mp4", "val/golf/xyz_001279_001289.mp4"),
    ],
)
def test_kinetics_in_every_layout(tmp_path, names):
    videos = touch(tmp_path / "videos", *names)
    train = write(tmp_path / "train.csv", K400 + '"air drumming",-a_bC1,59,69,train,0\n')
    val = write(tmp_path / "val.csv", "\ufeff" + K700 + "golf,xyz,1279,1289,validate\n\n")
    manifest = read_official([train, val], kind="kinetics", videos=videos)
    assert told(manifest) == [
        (names[0], ("air drumming",), "train", "-a_bC1"),
        (names[1], ("golf",), "val", "xyz"),
    ]
    assert manifest.classes == ("air drumming", "golf")
    assert manifest.note == "1 train and 1 val videos"


def test_of_two_files_of_one_name_that_of_its_class_and_split_is_taken(tmp_path):
    clip = "x_000001_000011.mp4"
    names = [f"{s}/{c}/{clip}" for s in ("train", "val") for c in ("air_drumming", "golf")]
    videos = touch(tmp_path / "videos", *names)
    csv = write(
        tmp_path / "k.csv",
        K700 + "golf,x,1,11,val\nair drumming,x,1,11,train\nair drumming,x,1,11,val\n",
    )
    manifest = read_official([csv], kind="kinetics", videos=videos)
    assert [manifest.name_of(row) for row in manifest.rows] == [
        f"val/golf/{clip}",
        f"train/air_drumming/{clip}",
        f"val/air_drumming/{clip}",
    ]


def test_what_is_left_out_is_counted(tmp_path):
    names = [f"id{n}_{n:06d}_{n + 10:06d}.mp4" for n in range(6)]
    videos = touch(tmp_path / "videos", *names)
    (videos / names[0]).write_bytes(b"")  # a download that failed
    (videos / names[5]).unlink()
    (videos / names[5]).mkdir()
    rows = [kinetics_row(n, "swim" if n == 5 else "golf") for n in range(6)]
    csv = write(tmp_path / "k.csv", K700 + "".join(rows) + kinetics_row(3, "run", "test"))
    manifest = read_official([csv], kind="kinetics", videos=videos)
    assert [manifest.name_of(row) for row in manifest.rows] == names[1:5]
    assert manifest.rows[2].labels == ("golf",)
    assert manifest.note == (
        "4 train videos; 2 of 7 left out: no video (the first: id0_000000_000010); 1 left out: a "
        "row before names their video; 2 classes have no video left (the first: run)"
    )


def test_too_few_videos_are_refused(tmp_path):
    videos = touch(tmp_path / "videos", "id0_000000_000010.mp4")
    half = write(tmp_path / "half.csv", K700 + kinetics_row(0) + kinetics_row(1))
    assert len(read_official([half], kind="kinetics", videos=videos).rows) == 1
    most = write(tmp_path / "most.csv", half.read_text() + kinetics_row(2))
    with pytest.raises(ManifestError) as refused:
        read_official([most], kind="kinetics", videos=videos)
    assert f"{videos}: only 1 of 3 videos found, looked for id1_000001_000011.mp4" in str(
        refused.value
    )
    none = write(tmp_path / "none.csv", K700 + kinetics_row(7))
    with pytest.raises(ManifestError, match=r"none of 1 videos found.*id7_000007_000017\.mp4"):
        read_official([none], kind="kinetics", videos=videos)


def test_splits_can_be_told(tmp_path):
    names = [f"id{n}_{n:06d}_{n + 10:06d}.mp4" for n in range(2)]
    videos = touch(tmp_path / "videos", *names)
    files = [write(tmp_path / f"{n}.csv", K700 + kinetics_row(n)) for n in range(2)]
    bare = write(tmp_path / "bare.csv", "youtube_id,label,time_end,time_start\nid1,golf,11,1\n")
    for second in (files[1], bare):
        manifest = read_official(
            [files[0], second], kind="kinetics", videos=videos, splits=["val", "test"]
        )
        assert [row.split for row in manifest.rows] == ["val", "test"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"k\.csv: is empty"),
        (b" \n\n", r"k\.csv: is empty"),
        (K700, r"k\.csv: names no video"),
        (K700.encode() + b"golf,\xff,1,2,train\n", "line 2: byte 0xff is not UTF-8"),
        ("youtube_id,time_start,time_end,split\nx,0,10,test\n", "line 1: no column 'label'; label"),
        ("label,id,start,end\n", "line 1: no column 'youtube_id'"),
        (K700.replace("time_start", "start"), "line 1: no column 'time_start' .rename 'start'"),
        (K700 + "golf,x,1,11\n", "line 2: 4 values for 5 columns"),
        (K700 + '"golf"x,x,1,11,train\n', "line 2: not valid CSV"),
        (K700 + '"golf,x,1,11,train\n', "not valid CSV"),
        (K700 + "g" * 200_000 + ",x,1,11,train\n", "line 2: not valid CSV .field larger"),
        (K700 + "golf,x,one,11,train\n", "line 2: time_start is 'one'; give whole seconds"),
        (K700 + "golf,x,-1,11,train\n", "line 2: time_start is '-1'"),
        (K700 + "golf,x,1.5,11,train\n", "line 2: time_start is '1.5'"),
        (K700 + "golf,x,1,nan,train\n", "line 2: time_end is 'nan'"),
        (K700 + "golf,x,1,1e99,train\n", "line 2: time_end is '1e99'"),
        (K700 + "golf,x,1," + "9" * 9999 + ",train\n", "line 2: time_end is '9999"),
        (K700 + "golf,x,11,1,train\n", "line 2: time_end 1 is not after time_start 11"),
        (K700 + "golf,x,1,11,dev\n", "line 2: split is 'dev'"),
        (K700 + ",x,1,11,train\n", "line 2: label ''"),
        (K700 + "golf|swim,x,1,11,train\n", r"line 2: label 'golf\|swim'"),
        (K700 + '"golf\nball",x,1,11,train\n', r"line 3: label 'golf\\nball'"),
        (K700 + "golf,,1,11,train\n", "line 2: youtube_id ''"),
        (K700 + "golf,../x,1,11,train\n", r"line 2: youtube_id '\.\./x' cannot be"),
        (K700 + "golf,/etc/x,1,11,train\n", "line 2: youtube_id '/etc/x' cannot be"),
        (K700 + "golf,a..b,1,11,train\n", r"line 2: youtube_id 'a\.\.b' cannot be"),
        (K700 + "golf,a\\b,1,11,train\n", "line 2: youtube_id .* cannot be"),
        (K700 + "golf,a\0b,1,11,train\n", "line 2: (youtube_id .* cannot be|not valid CSV)"),
        (K700 + "golf," + "a" * (MAX_ID + 1) + ",1,11,train\n", "line 2: youtube_id .* too long"),
    ],
)
def test_malformed_kinetics(tmp_path, text, words):
    videos = touch(tmp_path / "videos", "x_000001_000011.mp4")
    csv = write(tmp_path / "k.csv", text)
    with pytest.raises(ManifestError, match=words) as refused:
        read_official([csv], kind="kinetics", videos=videos)
    message = str(refused.value)
    assert message.startswith(str(csv))
    assert "\n" not in message
    assert len(message) < 500


# Charades


def charades_row(name, actions, script="A person, at home."):
    return f'{name},HR43,Kitchen,6,7,Yes,"{script}",cup;dish,"Long\ntext.",{actions},24.83\n'


def test_charades(tmp_path):
    videos = touch(tmp_path / "videos", "46GP8.mp4", "N11GT.mp4", "0IH69.mp4")
    train = write(
        tmp_path / "Charades_v1_train.csv",
        CHARADES
        + charades_row("46GP8", "c092 11.90 21.20;c000 0.00 12.60;c092 0.00 1.00")
        + charades_row("N11GT", ""),
    )
    test = write(tmp_path / "Charades_v1_test.csv", CHARADES + charades_row("0IH69", "c001 0 40"))
    files = [train, test]
    manifest = read_official(files, kind="charades", videos=videos)
    assert told(manifest) == [
        ("46GP8.mp4", ("c092", "c000"), "train", None),
        ("0IH69.mp4", ("c001",), "test", None),
    ]
    assert manifest.note == "1 train and 1 test videos; 1 left out: no action"
    classes = write(tmp_path / "Charades_v1_classes.txt", CLASSES)
    manifest = read_official(files, kind="charades", videos=videos, classes=classes)
    assert manifest.rows[0].labels == ("c092 Watching TV", "c000 Holding some clothes")
    assert list(manifest.classes) == CLASSES.splitlines()
    write_manifest(manifest.rows, tmp_path / "c.csv")
    assert read_manifest(tmp_path / "c.csv").rows == manifest.rows


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ("c157 0 1", "line 3: unknown class code 'c157'; the 157 known ones are c000 to c156"),
        ("x 0 1", "line 3: unknown class code 'x'"),
        ("c000 0", "line 3: action 'c000 0' is no class with two times"),
        ("c000 0 1 2", "line 3: action"),
        ("c000 0 end", "line 3: action 'c000 0 end'"),
        ("c000 0 inf", "line 3: action 'c000 0 inf'"),
        ("c000 0 1;;c001", "line 3: action 'c001'"),
    ],
)
def test_malformed_charades(tmp_path, actions, words):
    videos = touch(tmp_path / "videos", "46GP8.mp4")
    csv = write(tmp_path / "Charades_v1_train.csv", CHARADES + charades_row("46GP8", actions))
    with pytest.raises(ManifestError, match=words):
        read_official([csv], kind="charades", videos=videos)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"classes\.txt: is empty"),
        ("Holding some clothes\n", "line 1: 'Holding' is no class code"),
        ("c000 Holding\n\nc000 Again\n", "line 3: 'c000' stands twice"),
        ("c000 Holding|some\n", r"line 1: label 'c000 Holding\|some'"),
        (b"c000 \xe9\n", "line 1: byte 0xe9 is not UTF-8"),
        ("c001 Putting clothes somewhere\n", "line 3: unknown class code 'c000'; the 1 known"),
    ],
)
def test_malformed_classes_of_charades(tmp_path, text, words):
    videos = touch(tmp_path / "videos", "46GP8.mp4")
    csv = write(tmp_path / "Charades_v1_train.csv", CHARADES + charades_row("46GP8", "c000 0 1"))
    classes = write(tmp_path / "classes.txt", text)
    with pytest.raises(ManifestError, match=words):
        read_official([csv], kind="charades", videos=videos, classes=classes)


def test_charades_without_any_action(tmp_path):
    videos = touch(tmp_path / "videos", "46GP8.mp4")
    csv = write(tmp_path / "Charades_v1_train.csv", CHARADES + charades_row("46GP8", ""))
    with pytest.raises(ManifestError, match="no video has any label"):
        read_official([csv], kind="charades", videos=videos)
    csv = write(tmp_path / "train.csv", "id,subject\n46GP8,x\n")
    with pytest.raises(ManifestError, match="line 1: no column 'actions'"):
        read_official([csv], kind="charades", videos=videos)


# Something-Something


def v2(*items):
    return json.dumps(list(items))


def test_something_v2(tmp_path):
    videos = touch(tmp_path / "videos", "78687.webm", "42326.mp4")
    item = {
        "id": "78687",
        "label": "holding a red, round potato",
        "template": "Holding [a thing] next to [something], slowly",
        "placeholders": ["a red, round potato", "x"],
    }
    train = write(tmp_path / "something-something-v2-train.json", v2(item))
    val = write(
        tmp_path / "something-something-v2-validation.json",
        v2({**item, "id": "42326", "template": "Tipping [something] over"}),
    )
    manifest = read_official([train, val], kind="something", videos=videos)
    assert told(manifest) == [
        ("78687.webm", ("Holding a thing next to something, slowly",), "train", None),
        ("42326.mp4", ("Tipping something over",), "val", None),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "line 1: not valid JSON"),
        ('[\n{"id": "1",}]', "line 2: not valid JSON"),
        ("[" * 200_000, "not (usable|valid) JSON"),
        ('[{"id": ' + "9" * 9999 + "}]", "not usable JSON|has no 'id'"),
        ('{"Holding something": "1"}', "holds no list of videos"),
        ("[]", "names no video"),
        ("[1]", "video 1: '1' has no 'id'"),
        (v2({"id": 1, "template": "x"}), "video 1: .* has no 'id' in quotes"),
        (v2({"id": "1", "template": "x"}, {"id": "2"}), "video 2: id '2' has no label; labels of"),
        (v2({"id": "1", "label": "x"}), "video 1: 'template' is 'None'"),
        (v2({"id": "1", "template": "[]"}), "video 1: label ''"),
        (v2({"id": "../1", "template": "x"}), r"video 1: id '\.\./1' cannot be"),
        (v2({"id": "1\0", "template": "x"}), "video 1: id .* cannot be"),
        ('[{"id": "\\ud800", "template": "x"}]', r"video 1: id '\\ud800' cannot be"),
        ('[{"id": "1", "template": "\\ud800"}]', r"video 1: label '\\ud800' cannot"),
        ("100218\n", "line 1: '100218' has no label after a ';'; labels of the test set"),
        ("1;Holding something\n2;a;b\n", "line 2: 3 values; give 'id;label'"),
        ("1;Holding something\n../2;x\n", r"line 2: id '\.\./2' cannot be"),
        ("1;Holding something\n2; \n", "line 2: label ' '"),
        ('1;"Holding\n', "not valid CSV"),
        (b"\xff\xfe", "line 1: byte 0xff is not UTF-8"),
    ],
)
def test_malformed_something(tmp_path, text, words):
    videos = touch(tmp_path / "videos", "1.webm", "2.webm")
    file = write(tmp_path / "train.x", text)
    with pytest.raises(ManifestError, match=words) as refused:
        read_official([file], kind="something", videos=videos)
    message = str(refused.value)
    assert message.startswith(str(file))
    assert "\n" not in message
    message.encode()


def frames_of(folder, count):
    rng = np.random.default_rng(count)
    folder.mkdir(parents=True)
    jpegs = [to_jpeg(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)) for _ in range(count)]
    for number, jpeg in enumerate(jpegs, 1):
        (folder / f"{number:05d}.jpg").write_bytes(jpeg)


@pytest.fixture
def something_v1(tmp_path):
    """Annotation files of six videos, and a folder with five of frames and one of its own."""
    videos = tmp_path / "videos"
    for number in range(1, 6):
        frames_of(videos / str(number), number + 3)
    touch(videos, "6.webm")
    train = write(
        tmp_path / "something-something-v1-train.csv",
        "".join(f"{n};Putting something, something\n" for n in range(1, 5)),
    )
    val = write(
        tmp_path / "something-something-v1-validation.csv", "5;Unfolding something\n6;Unfolding it"
    )
    return [train, val], videos


def test_folders_of_frames_are_packed(tmp_path, something_v1):
    files, videos = something_v1
    with pytest.raises(ManifestError, match=r"5 videos are folders of frames, such as 1;.*--pack"):
        read_official(files, kind="something", videos=videos)
    made = tmp_path / "made"
    manifest = read_official(files, kind="something", videos=videos, pack=made)
    assert manifest.note == "4 train and 2 val videos"
    assert [row.path for row in manifest.rows] == [
        *(made / f"{n}.avi" for n in range(1, 6)),
        videos / "6.webm",
    ]
    assert manifest.rows[0].labels == ("Putting something, something",)
    for number in range(1, 6):
        info = Video(made / f"{number}.avi").info
        assert (info.num_frames, info.frame_rate) == (number + 3, 12)
    times = {path: path.stat().st_mtime_ns for path in made.iterdir()}
    (made / "3.avi").unlink()
    again = read_official(files, kind="something", videos=videos, pack=made)
    assert again == manifest
    kept = {path for path in made.iterdir() if path.stat().st_mtime_ns == times[path]}
    assert kept == set(times) - {made / "3.avi"}


def test_frames_that_cannot_be_packed_are_left_out(tmp_path, something_v1):
    files, videos = something_v1
    (videos / "2" / "00003.jpg").unlink()
    (videos / "4" / "00001.jpg").write_bytes(b"text")
    made = tmp_path / "made"
    manifest = read_official(files, kind="something", videos=videos, pack=made)
    assert [row.path.stem for row in manifest.rows] == ["1", "3", "5", "6"]
    assert "2 of 6 left out: no video (the first: 2); 2 of these could not be packed" in (
        manifest.note
    )
    assert f"{videos / '2'}: frame 3 is missing" in manifest.note
    assert {path.name for path in made.iterdir()} == {"1.avi", "3.avi", "5.avi"}
    for number in (1, 3, 5):
        (made / f"{number}.avi").unlink()
        (videos / f"{number}" / "00002.jpg").unlink()
    with pytest.raises(ManifestError, match=r"only 1 of 6 videos found.*5 could not be packed: "):
        read_official(files, kind="something", videos=videos, pack=made)


# All kinds


def test_wrong_use(tmp_path):
    videos = touch(tmp_path / "videos", "id0_000000_000010.mp4")
    csv = write(tmp_path / "k.csv", K700 + kinetics_row(0))
    wrong = [
        ({"kind": "kinetix"}, "unknown kind 'kinetix': did you mean 'kinetics'"),
        ({"classes": csv}, "classes is for charades only"),
        ({"pack": tmp_path}, "pack is for something only"),
        ({"splits": ["train", "val"]}, "2 splits for 1 annotation files"),
        ({"splits": ["validate"]}, "unknown split 'validate'"),
    ]
    for options, words in wrong:
        with pytest.raises(UsageError, match=words):
            read_official([csv], **{"kind": "kinetics", "videos": videos, **options})
    with pytest.raises(UsageError, match="no annotation file"):
        read_official([], kind="kinetics", videos=videos)
    with pytest.raises(UsageError, match=r"k\.csv is given twice"):
        read_official([csv, tmp_path / "videos" / ".." / "k.csv"], kind="kinetics", videos=videos)
    for place, words in ((tmp_path / "missing", "no such folder"), (csv, "is not a folder")):
        with pytest.raises(ManifestError, match=words):
            read_official([csv], kind="kinetics", videos=place)
    for file, words in ((tmp_path / "missing", "no such file"), (videos, "not a regular file")):
        with pytest.raises(ManifestError, match=words):
            read_official([file], kind="kinetics", videos=videos)


def test_no_pipe_is_read_and_no_file_without_bound(tmp_path, monkeypatch):
    videos = touch(tmp_path / "videos", "id0_000000_000010.mp4")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ManifestError, match="is not a regular file"):
        read_official([tmp_path / "pipe.csv"], kind="kinetics", videos=videos)
    csv = write(tmp_path / "k.csv", K700 + kinetics_row(0))
    monkeypatch.setattr("vidskim.data.official.text.MAX_BYTES", 20)
    with pytest.raises(ManifestError, match=r"k\.csv: is larger than"):
        read_official([csv], kind="kinetics", videos=videos)


def test_a_folder_name_that_no_csv_can_hold_is_refused(tmp_path):
    folder = tmp_path / "videos" / os.fsdecode(b"golf\xff")
    touch(folder, "id0_000000_000010.mp4")
    csv = write(tmp_path / "k.csv", K700 + kinetics_row(0))
    with pytest.raises(ManifestError, match="is not UTF-8; rename it") as refused:
        read_official([csv], kind="kinetics", videos=tmp_path / "videos")
    str(refused.value).encode()


def test_loops_and_hidden_files_are_passed_over(tmp_path):
    videos = touch(tmp_path / "videos", "golf/id0_000000_000010.mp4", ".id1_000001_000011.mp4")
    (videos / "golf" / "again").symlink_to(videos)
    csv = write(tmp_path / "k.csv", K700 + kinetics_row(0))
    manifest = read_official([csv], kind="kinetics", videos=videos)
    assert [manifest.name_of(row) for row in manifest.rows] == ["golf/id0_000000_000010.mp4"]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Charades_v1_train.csv", "train"),
        ("something-something-v1-validation.csv", "val"),
        ("something-something-v2-test.json", "test"),
        ("TRAINING.csv", "train"),
        ("constrained.csv", None),
        ("train_val.csv", None),
    ],
)
def test_the_split_in_a_name(tmp_path, name, split):
    if split is None:
        with pytest.raises(ManifestError, match=r"its name tells (no|two) splits?; give --split"):
            split_of(tmp_path / name)
    else:
        assert split_of(tmp_path / name) == split


LABELS = st.text(st.characters() | st.sampled_from("|[]\"'\n ,;\u2028"), max_size=12)


def can_stand(label):
    """The independent truth: a label is not empty, is one line of text, and splits nothing."""
    return (
        label and "|" not in label and all(ord(c) >= 32 and not 127 <= ord(c) < 160 for c in label)
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(LABELS, min_size=1, max_size=4))
def test_whatever_is_read_is_read_back_equal_or_refused(tmp_path, labels):
    videos = touch(tmp_path / "videos", *(f"{n}.webm" for n in range(len(labels))))
    items = [{"id": str(n), "template": label} for n, label in enumerate(labels)]
    file = write(tmp_path / "train.json", v2(*items))
    expected = [label.replace("[", "").replace("]", "").strip() for label in labels]
    if not all(map(can_stand, expected)):
        with pytest.raises(ManifestError, match="cannot stand in a manifest"):
            read_official([file], kind="something", videos=videos)
        return
    manifest = read_official([file], kind="something", videos=videos)
    assert [row.label for row in manifest.rows] == expected
    for out in (tmp_path / "m.csv", videos / "m.csv", tmp_path / "elsewhere" / "m.csv"):
        write_manifest(manifest.rows, out)
        read = read_manifest(out)
        assert (read.rows, read.classes) == (manifest.rows, manifest.classes)
    assert read_manifest(videos / "m.csv").sha256 == manifest.sha256


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 99_999), st.sampled_from(["golf", "swim, dive", 'a "b"']),
            st.sampled_from(["train", "val", "test"]), st.booleans(),
        ),
        min_size=1, max_size=8, unique_by=lambda clip: clip[0],
    )
)  # fmt: skip
def test_clips_that_are_there_are_read_back_equal_and_no_others(tmp_path, clips):
    folder = tmp_path / f"videos{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    lines, expected = [], []
    for start, label, split, is_there in clips:
        quoted = label.replace('"', '""')
        lines.append(f'"{quoted}",-x_{start % 7},{start},{start + 10},{split}\n')
        if is_there:
            name = f"{split}/-x_{start % 7}_{start:06d}_{start + 10:06d}.mp4"
            touch(folder, name)
            expected.append(Row(folder / name, (label,), split=split, group=f"-x_{start % 7}"))
    file = write(tmp_path / "clips.csv", K700 + "".join(lines))
    if 2 * len(expected) < len(clips):
        with pytest.raises(ManifestError, match=f"of {len(clips)} videos found"):
            read_official([file], kind="kinetics", videos=folder)
        return
    manifest = read_official([file], kind="kinetics", videos=folder)
    assert list(manifest.rows) == expected
    write_manifest(manifest.rows, tmp_path / "m.csv")
    assert list(read_manifest(tmp_path / "m.csv").rows) == expected


# The command line


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "videos", "46GP8.mp4", "0IH69.mp4")
    write(
        tmp_path / "Charades_v1_train.csv",
        CHARADES + charades_row("46GP8", "c001 0 1;c000 0 2") + charades_row("N11GT", "c092 0 1"),
    )
    write(tmp_path / "Charades_v1_test.csv", CHARADES + charades_row("0IH69", "c001 0 40"))
    write(tmp_path / "classes.txt", CLASSES)
    line = "data official charades Charades_v1_train.csv,Charades_v1_test.csv c.csv --videos videos"
    assert main([*line.split(), "--classes", "classes.txt"]) == 0
    out, err = capsys.readouterr()
    assert out == "2 videos of 2 classes: c.csv\n"
    assert err.startswith("1 train and 1 test videos; 1 of 3 left out: no video (the first: N11GT)")
    assert (tmp_path / "c.csv").read_text() == (
        "path,label,split\n"
        "videos/46GP8.mp4,c001 Putting clothes somewhere|c000 Holding some clothes,train\n"
        "videos/0IH69.mp4,c001 Putting clothes somewhere,test\n"
    )
    assert main([*line.split(), "--split", "test,val"]) == 0
    rows = read_manifest("c.csv").rows
    assert [row.split for row in rows] == ["test", "val"]
    assert isinstance(rows[0], Row)


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("kinetix k.csv m.csv --videos videos", 2, "unknown kind 'kinetix'"),
        ("kinetics k.csv m.csv", 2, "arguments are required: --videos"),
        ("kinetics k.csv k.csv --videos videos", 2, "OUT k.csv: is one of the annotation files"),
        ("kinetics k.csv m.txt --videos videos", 2, "OUT m.txt: give a file that ends in .csv"),
        ("kinetics missing.csv m.csv --videos videos", 1, "missing.csv: no such file"),
        ("kinetics k.csv m.csv --videos missing", 1, "missing: no such folder"),
        ("kinetics k.csv m.csv --videos videos --pack p", 2, "for something only"),
        ("kinetics k.csv m.csv --videos videos --split dev", 2, "unknown split 'dev'"),
    ],
)
def test_wrong_commands_are_one_line(tmp_path, monkeypatch, capsys, line, status, words):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "videos", "id0_000000_000010.mp4")
    write(tmp_path / "k.csv", K700 + kinetics_row(0))
    assert main(f"data official {line}".split()) == status
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert not (tmp_path / "m.csv").exists()
