"""The page of an answer that was compressed over time: its map, its curve and its frames."""

import io
import re
from base64 import b64decode
from dataclasses import replace

import av
import numpy as np
import pytest
from test_page import Reader

from attending import attending, hills
from tinyset import write_tiny_video
from vidskim.show.attended import most_attended
from vidskim.show.page import save_report
from vidskim.show.page.attention import paint
from vidskim.show.storyboard import frames_at
from vidskim.types import Score

STEPS = 20


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "video.mp4"
    write_tiny_video(path, label="right", num_frames=80)
    return path


class Page(Reader):
    """What a browser would see, tag by tag."""

    def all(self, tag):
        """Return the attributes of every tag of one name."""
        found = []
        for name, key, value in self.attributes:
            if name == tag:
                if not found or key in found[-1]:
                    found.append({})
                found[-1][key] = value
        return found


def written(answer, path):
    save_report(answer, path)
    return Page(path.read_text(encoding="utf-8"))


def decoded(address):
    with av.open(io.BytesIO(b64decode(address.removeprefix("data:image/jpeg;base64,")))) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24").astype(int)


def test_the_map_shows_every_weight_in_its_color(video, tmp_path):
    answer = attending(video, hills(6, STEPS, 11, 3, noise=0.4))
    page = written(answer, tmp_path / "out.html")
    (image,) = page.all("image")
    picture = decoded(image["href"])
    weights = answer.attention.weights.numpy()
    colors = paint(weights / weights.max()).astype(int)
    height, width, _ = picture.shape
    for k, t in np.ndindex(weights.shape):
        found = picture[int((k + 0.5) / 6 * height), int((t + 0.5) / STEPS * width)]
        assert np.abs(found - colors[k, t]).max() < 25  # a JPEG


def test_colors_are_those_of_the_named_scale():
    matplotlib = pytest.importorskip("matplotlib")
    values = np.linspace(0, 1, 200).reshape(10, 20)
    expected = matplotlib.colormaps["viridis"](values, bytes=True)[..., :3].astype(int)
    assert np.abs(paint(values) - expected).max() < 20


def test_the_most_attended_frames_are_shown_with_their_times(video, tmp_path):
    answer = attending(video, hills(6, STEPS, 11, 3))
    page = written(answer, tmp_path / "out.html")
    moments = most_attended(answer)
    assert [moment.step for moment in moments] == [3, 11]
    shown = [decoded(source) for source in page.values("src")[: len(moments)]]
    own = frames_at(video, [moment.frame for moment in moments]).permute(0, 2, 3, 1).numpy()
    for a, b in zip(shown, own):
        assert np.abs(a - b).mean() < 12
    titles = page.values("title")[: len(moments)]
    assert titles == ["0:00.48 - 0:00.64", "0:01.76 - 0:01.92"]
    for moment, time in zip(moments, ("0:00.48", "0:01.76")):
        assert f"{time} {moment.share}" in page.text
        assert f"{time}, received {moment.share}" in page.text
    rects = page.all("rect")
    assert [rect["class"] for rect in rects].count("chosen") == len(moments)
    places = [float(rect["x"]) for rect in rects if rect["class"] == "mark"]
    assert places == pytest.approx([76 + 912 * 0.48 / 3.2, 76 + 912 * 1.76 / 3.2], abs=0.01)
    for words in (
        "Attention over time",
        "demo saw 10 clips at once and kept 6 of 20 steps, sfc",
        "6 of 20 steps of time were kept",
        "Clips that were joined",
    ):
        assert words in page.text
    assert "Over time" not in page.texts  # nothing was chosen
    assert "not seen" not in page.text


def test_the_curve_is_what_each_step_receives(video, tmp_path):
    answer = attending(video, hills(6, STEPS, 11))
    page = written(answer, tmp_path / "out.html")
    (line,) = (path["d"] for path in page.all("path") if path["class"] == "main line")
    heights = [float(y) for y in re.findall(r"(?:^M\S+ |V)([\d.]+)", line)]
    received = answer.attention.received.numpy()
    top, bottom = min(heights), max(heights)
    scaled = (bottom - np.array(heights)) / (bottom - top)
    rise = (received - received.min()) / (received.max() - received.min())
    assert scaled == pytest.approx(rise, abs=0.01)


def test_what_was_not_seen_is_covered(video, tmp_path):
    answer = attending(video, hills(4, 16, 11), segments=(1, 6))
    page = written(answer, tmp_path / "out.html")
    holes = [rect for rect in page.all("rect") if rect["class"] == "hole"]
    spans = [(float(r["x"]), float(r["x"]) + float(r["width"])) for r in holes]
    seconds = [((x - 76) / 912 * 3.2) for span in spans for x in span]
    assert seconds == pytest.approx([0, 0.32, 0.64, 1.92, 2.24, 3.2], abs=0.001)
    assert "not seen" in page.text


@pytest.mark.parametrize(("num_kept", "num_steps"), [(1, 1), (300, 500), (3, 2)])
def test_any_number_of_steps_makes_a_page(video, tmp_path, num_kept, num_steps):
    page = written(attending(video, np.ones((num_kept, num_steps))), tmp_path / "out.html")
    assert len(page.all("image")) == 1
    assert "attended to most" not in page.text
    assert f"{num_kept} of {num_steps}" in page.text


def test_a_saliency_has_its_own_section_beside(video, tmp_path):
    answer = attending(video, hills(4, STEPS, 11))
    clips = tuple(replace(chosen, saliency=0.5) for chosen in answer.clips)
    both = replace(answer, saliency=tuple(0.5 for _ in clips), clips=clips)
    page = written(both, tmp_path / "out.html")
    assert page.tags.count("svg") == 2
    assert "Over time" in page.texts


def test_hostile_texts_are_inert_here_too(video, tmp_path):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J&amp;'
    link = tmp_path / (evil.replace("/", "-") + ".mp4")
    link.symlink_to(video)
    answer = attending(link, hills(4, STEPS, 11))
    hostile = replace(answer, method=evil, model=evil, predictions=(Score(evil, 0.9),))
    page = written(hostile, tmp_path / "out.html")
    clean = written(attending(video, hills(4, STEPS, 11)), tmp_path / "clean.html")
    assert set(page.tags) == set(clean.tags)
    assert page.tags.count("img") == clean.tags.count("img")
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    text = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert not re.search(r"//|url\(|@import", re.sub(r"base64,[^\"]*", "", text))
