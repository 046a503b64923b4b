"""The page: complete, self-contained, and inert whatever stands in the file."""

import os
import re
from dataclasses import replace
from html.parser import HTMLParser

import av
import numpy as np
import pytest

import vidskim
from tinynets import tiny_classifier
from vidskim import Recognizer, presets
from vidskim.errors import UsageError, VideoError
from vidskim.io.write.jpeg import to_jpeg
from vidskim.show.page import save_report
from vidskim.types import Score


class Reader(HTMLParser):
    """Collects what a browser would see."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.attributes, self.open = [], [], [], []
        self.feed(text)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def values(self, name):
        return [value for _, key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def answer(sample_video):
    return Recognizer(tiny_classifier(), look=presets.motion(k=3))(sample_video)


def written(answer, path, **options):
    save_report(answer, path, **options)
    return Reader(path.read_text(encoding="utf-8"))


def test_a_page_tells_everything(answer, tmp_path):
    page = written(answer, tmp_path / "new" / "out.html", command="vidskim recognize x --k 3")
    for score in answer.predictions:
        assert score.label in page.text
        assert f"{score.score:.1%}" in page.text
    for words in (
        "video.mp4",
        f"{answer.cost.frames_decoded}",
        f"{answer.cost.bytes_read / 1e6:.2f} MB",
        f"{answer.cost.peak_bytes / 1e6:.0f} MB",
        f"{answer.cost.seconds['look']:.2f} s",
        f"{answer.cost.dense_macs / answer.cost.macs:.2f} times as many",
        "300 frames",
        "h264",
        "vidskim recognize x --k 3",
        "Least salient clips",
        *(f"{chosen.saliency:.3f}" for chosen in answer.clips),
    ):
        assert words in page.text
    images = page.values("src")
    assert len(images) == 3 + 6
    assert all(source.startswith("data:image/jpeg;base64,") for source in images)
    marks = [value for tag, key, value in page.attributes if (tag, key) == ("rect", "class")]
    assert marks.count("chosen") == marks.count("mark") == 3


def test_who_saw_which_clip_is_marked_and_told(answer, tmp_path):
    encoders = ("big<b>", "small")
    clips = tuple(replace(c, encoder=encoders[n > 0]) for n, c in enumerate(answer.clips))
    routed = replace(answer, clips=clips, encoders=encoders, schedule="1:2 by saliency")
    page = written(routed, tmp_path / "out.html")
    assert "1 clip by big<b>, 2 by small (pattern 1:2 by saliency)" in page.text
    assert "what the expensive encoder was sent by" in page.text
    assert "b" not in page.tags[page.tags.index("svg") : page.tags.index("img")]
    marks = [value for tag, key, value in page.attributes if (tag, key) == ("rect", "class")]
    assert (marks.count("chosen cheap"), marks.count("mark cheap")) == (2, 2)
    assert (marks.count("chosen"), marks.count("mark")) == (1, 1)
    shots = [value for tag, key, value in page.attributes if (tag, key) == ("figure", "class")]
    assert shots == ["cheap", "cheap"]
    assert [title.rpartition("seen by ")[2] for title in page.values("title")[:3]] == [
        "big<b>",
        "small",
        "small",
    ]
    fixed = written(replace(routed, schedule="1:2"), tmp_path / "fixed.html")
    assert "what the clips were chosen by" in fixed.text


def test_nothing_is_fetched_and_nothing_runs(answer, tmp_path):
    page = written(answer, tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(page.tags)
    bare = re.sub(r"base64,[^\"]*", "", text)
    assert not re.search(r"//|url\(|@import", bare)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "default-src 'none'" in page.values("content")[0]


def test_hostile_texts_are_inert(answer, sample_video, tmp_path):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J&amp;'
    name = evil.replace("/", "-") + ".mp4"
    (tmp_path / name).symlink_to(sample_video)
    hostile = replace(
        answer,
        video=replace(answer.video, path=str(tmp_path / name), codec=evil),
        predictions=(Score(evil, 0.9), *answer.predictions),
        warnings=(evil,),
        model=evil,
        method=evil,
        parts={evil: answer.saliency, "motion": answer.saliency},
    )
    page = written(hostile, tmp_path / "out.html", command=evil)
    clean = written(
        replace(answer, warnings=("x",), parts={"a": answer.saliency, "b": answer.saliency}),
        tmp_path / "clean.html",
        command="x",
    )
    assert sorted(set(page.tags)) == sorted(set(clean.tags))
    assert page.tags.count("img") == clean.tags.count("img")
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)") >= 6  # as text
    assert "\x1b" not in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_a_file_name_need_not_be_utf_8(sample_video, tmp_path):
    odd = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    odd.symlink_to(sample_video)
    page = written(vidskim.select(odd, k=2, method="packets"), tmp_path / "out.html")
    assert "caf" in page.text


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": "uniform", "k": 2},
        {"method": "dense"},
        {"method": "motion", "k": 40, "unit": "frame"},
        {"method": "packets", "k": 1, "num_frames": 300},
    ],
)
def test_a_selection_without_scores_of_frames_of_one_clip(sample_video, tmp_path, arguments):
    chosen = vidskim.select(sample_video, **arguments)
    page = written(chosen, tmp_path / "out.html")
    many = len(chosen.clips if chosen.frames is None else chosen.frames.indices)
    assert ("24 of" in page.text) == (many > 24)
    assert ("chooses without looking" in page.text) == (chosen.saliency is None)
    rest = 0 if chosen.saliency is None else len(chosen.saliency) - len(chosen.clips)
    assert len(page.values("src")) == min(many, 24) + min(rest, 6)


def test_what_a_cascade_did_not_see_is_a_hole(answer, tmp_path):
    holes = tuple(None if n % 4 else 0.5 for n in range(len(answer.saliency)))
    told = replace(answer, parts={"motion": holes, "packets": answer.saliency})
    page = written(told, tmp_path / "out.html")
    curves = [value for tag, key, value in page.attributes if (tag, key) == ("path", "class")]
    assert curves.count("part line") == sum(h is not None for h in holes) + 1
    assert curves.count("main line") == 1


def test_a_page_appears_whole_or_not_at_all(answer, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"ends in \.html"):
        save_report(answer, tmp_path / "out.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        save_report(answer, tmp_path / "file" / "out.html")
    gone = replace(answer, video=replace(answer.video, path=str(tmp_path / "gone.mp4")))
    with pytest.raises(VideoError):
        save_report(gone, tmp_path / "out.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "out.html").write_text("an older page")

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(UsageError, match="No space left"):
        save_report(answer, tmp_path / "out.html")
    assert (tmp_path / "out.html").read_text() == "an older page"


@pytest.mark.parametrize("shape", [(144, 192), (1, 1), (33, 7)])
def test_a_jpeg_shows_the_picture(tmp_path, shape):
    rows, columns = np.indices(shape)
    picture = np.stack([rows * 255 // max(shape[0], 2), columns * 255 // max(shape[1], 2)], 2)
    picture = np.concatenate([picture, np.full((*shape, 1), 40)], axis=2).astype(np.uint8)
    (tmp_path / "p.jpg").write_bytes(to_jpeg(picture))
    with av.open(str(tmp_path / "p.jpg")) as container:
        (frame,) = container.decode(video=0)
        found = frame.to_ndarray(format="rgb24")
    assert found.shape == picture.shape
    assert np.abs(found.astype(int) - picture).mean() < 12
