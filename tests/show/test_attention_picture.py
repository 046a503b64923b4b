"""The picture of an attention: its colors, curve and frames are those of the answer."""

import os
import struct
from dataclasses import replace
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.image import imread

from attending import attending, hills
from tinyset import write_tiny_video
from vidskim.errors import UsageError, VideoError
from vidskim.io.write.video import write_video
from vidskim.show.attended import lay_steps, most_attended
from vidskim.show.attention import (
    HOLE,
    MOST_SHOWN,
    YELLOW,
    choose_frames,
    draw_attention,
    save_attention,
)
from vidskim.show.tables import clock
from vidskim.types import Score

FRAMES = 80
"""3.2 seconds at 25 frames a second."""


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("attention") / "video.mp4"
    write_tiny_video(path, label="right", num_frames=FRAMES)
    return path


class Picture:
    """A saved picture and its parts: the map, the color scale, the curve, the frames."""

    def __init__(self, path, figure):
        self.rgb = np.rint(imread(path)[..., :3] * 255).astype(int)
        self.figure = figure
        self.map, self.scale, self.curve, *self.thumbnails = figure.axes
        self.boxed = [
            axes for axes in self.thumbnails if axes.patches[0].get_edgecolor() == to_rgba(YELLOW)
        ]

    def at(self, axes, x, y):
        """Return the color at a place in the coordinates of a panel."""
        column, row = axes.transData.transform((x, y))
        return tuple(self.rgb[len(self.rgb) - 1 - int(row), int(column)])

    def captions(self):
        """Return the text that stands below each thumbnail, by its horizontal center."""
        found = {}
        for axes in self.thumbnails:
            box = axes.get_position()
            (found[axes],) = (
                text.get_text()
                for text in self.figure.texts
                if abs(text.get_position()[0] - (box.x0 + box.x1) / 2) < 1e-6
                and text.get_position()[1] < box.y0
            )
        return found

    @property
    def texts(self):
        """Everything that is written beside the panels."""
        return [text.get_text() for text in self.figure.texts]


def drawn_picture(answer, path, drawn):
    save_attention(answer, path)
    return Picture(path, drawn[-1])


def all_frames(path):
    """The frames of a video as thumbnails show them, by their numbers."""
    from vidskim.clips.grid import split
    from vidskim.video import Video

    read = Video(path)
    clips = split(read.timestamps_seconds.tolist(), num_frames=1)
    return read.frames(clips)[:, 0].permute(0, 2, 3, 1).numpy()


def shown_numbers(picture, path):
    """The number of the frame that each thumbnail shows, found by its pixels."""
    frames = all_frames(path).astype(int)
    numbers = {}
    for axes in picture.thumbnails:
        image = np.asarray(axes.images[0].get_array(), int)
        (numbers[axes],) = np.flatnonzero((frames == image).all((1, 2, 3)))
    return numbers


def test_the_boxed_frames_are_those_of_the_largest_received_values(video, tmp_path, drawn):
    answer = attending(video, hills(5, 20, 13, 4))
    received = answer.attention.weights.mean(0)
    first, second = received.topk(2).indices.tolist()
    assert (first, second) == (13, 4)
    picture = drawn_picture(answer, tmp_path / "a.png", drawn)
    numbers = shown_numbers(picture, video)
    assert [numbers[axes] for axes in picture.boxed] == [4 * 4, 13 * 4]  # four frames a step
    captions = picture.captions()
    told = [f"{clock(step * 0.16, digits=1)}\n{received[step]:.0%}" for step in (4, 13)]
    assert [captions[axes] for axes in picture.boxed] == told
    marks = [line for line in picture.curve.lines if line.get_marker() == "o"]
    places = [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks]
    expected = [((step + 0.5) * 0.16, float(received[step])) for step in (4, 13)]
    assert np.array(places) == pytest.approx(np.array(expected))
    assert all(to_rgba(line.get_color()) == to_rgba(YELLOW) for line in marks)


def test_the_strip_is_the_video_evenly_over_time_with_a_time_below_each(video, tmp_path, drawn):
    picture = drawn_picture(attending(video, np.ones((4, 20))), tmp_path / "a.png", drawn)
    assert picture.boxed == []
    numbers = list(shown_numbers(picture, video).values())
    many = len(numbers)
    assert many >= 7
    assert numbers == [int((n + 0.5) / many * FRAMES) for n in range(many)]
    told = [clock(number / 25, digits=1) for number in numbers]
    assert list(picture.captions().values()) == told
    lefts = [axes.get_position().x0 for axes in picture.thumbnails]
    assert lefts == sorted(lefts)


def test_the_most_attended_frames_take_the_place_of_their_neighbors(video, tmp_path, drawn):
    even = drawn_picture(attending(video, np.ones((4, 20))), tmp_path / "a.png", drawn)
    other = drawn_picture(attending(video, hills(4, 20, 9)), tmp_path / "b.png", drawn)
    before = set(shown_numbers(even, video).values())
    after = set(shown_numbers(other, video).values())
    assert len(after) == len(before)
    (gone,) = before - after
    assert after - before == {36}
    assert abs(gone - 38) == min(abs(number - 38) for number in before)


def test_every_cell_of_the_map_has_the_color_of_its_weight(video, tmp_path, drawn):
    answer = attending(video, hills(6, 16, 11, 3, noise=0.4), kept=tuple(range(2, 14, 2)))
    picture = drawn_picture(answer, tmp_path / "a.png", drawn)
    weights = answer.attention.weights.numpy()
    colors = matplotlib.colormaps["viridis"](weights / weights.max(), bytes=True)[..., :3]
    for k, t in np.ndindex(weights.shape):
        found = picture.at(picture.map, (t + 0.25) * 0.2, k + 1.3)
        assert np.abs(np.subtract(found, colors[k, t].astype(int))).max() <= 3
    dots = np.asarray(picture.map.collections[0].get_offsets())  # the kept steps themselves
    assert dots == pytest.approx(np.array([[(2 * k + 2.5) * 0.2, k + 1] for k in range(6)]))
    assert f"{weights.max():.2g}" in picture.texts


def test_the_curve_is_what_each_step_receives_on_the_time_line_of_the_map(video, tmp_path, drawn):
    answer = attending(video, hills(6, 16, 11), segments=(1, 6))
    picture = drawn_picture(answer, tmp_path / "a.png", drawn)
    (filled, line) = (patch for patch in picture.curve.patches if hasattr(patch, "get_data"))
    values, edges, _ = line.get_data()
    expected = [sum(row[t] for row in answer.attention.weights.tolist()) / 6 for t in range(16)]
    assert values[~np.isnan(values)] == pytest.approx(expected, abs=1e-6)
    assert np.flatnonzero(np.isnan(values)).tolist() == [0, 9]
    assert edges[[0, 1, 9, 10, 18]] == pytest.approx([0, 0.32, 0.64, 1.92, 2.24])
    assert filled.get_data()[1] == pytest.approx(edges)
    assert picture.curve.get_xlim() == picture.map.get_xlim() == (0, pytest.approx(3.2))
    a, b = picture.curve.get_position(), picture.map.get_position()
    assert (a.x0, a.x1) == (b.x0, b.x1)
    assert a.y1 < b.y0
    assert all(axes.get_position().y1 < a.y0 for axes in picture.thumbnails)
    hole = tuple(int(HOLE[n : n + 2], 16) for n in (1, 3, 5))
    assert picture.at(picture.map, 1.3, 3) == hole
    assert picture.at(picture.map, 0.5, 3) != hole
    assert any("gray: not seen" in text.get_text() for text in picture.curve.texts)


def test_the_head_tells_the_file_the_class_and_how_much_was_kept(video, tmp_path, drawn):
    answer = attending(video, hills(5, 20, 13))
    picture = drawn_picture(answer, tmp_path / "new" / "a.png", drawn)
    assert "video.mp4" in picture.texts
    assert "golf (93%)   ·   sfc kept 5 of 20 steps" in picture.texts
    long = replace(answer, predictions=(Score("very $long \x1b" * 30, 1.0),))
    crowded = drawn_picture(long, tmp_path / "b.png", drawn)
    renderer = crowded.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in crowded.figure.texts]
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])
    assert not any("\x1b" in text for text in crowded.texts)


@pytest.mark.parametrize(
    ("num_kept", "num_steps"), [(1, 1), (1, 500), (300, 500), (300, 2), (18, 36), (500, 2000)]
)
def test_any_number_of_steps_is_drawn(video, tmp_path, drawn, num_kept, num_steps):
    weights = np.full((num_kept, num_steps), 1e-3)
    row, step = num_kept // 2, num_steps // 2
    weights[row, step] = 100.0
    answer = attending(video, weights)
    picture = drawn_picture(answer, tmp_path / "a.png", drawn)
    steps = lay_steps(answer)
    middle = (steps.starts[step] + steps.ends[step]) / 2
    x, y = picture.map.transData.transform((middle, row + 1)).astype(int)
    near = picture.rgb[-y - 3 : -y + 2, x - 2 : x + 3]
    assert (np.abs(near - (253, 231, 37)).max(-1) <= 3).any()  # not thinned out
    assert 0 < len(picture.thumbnails) <= MOST_SHOWN
    width, height = struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24])
    assert (width, picture.rgb.shape[:2]) == (1600, (height, width))
    assert height < 1200


def test_the_largest_of_many_thin_steps_is_in_the_curve(video, tmp_path, drawn):
    answer = attending(video, hills(3, 2000, 1234))
    picture = drawn_picture(answer, tmp_path / "a.png", drawn)
    (_, line) = (patch for patch in picture.curve.patches if hasattr(patch, "get_data"))
    assert len(line.get_data().values) <= 600
    assert np.nanmax(line.get_data().values) == pytest.approx(lay_steps(answer).received.max())


@pytest.mark.parametrize("size", [(64, 48), (320, 32), (32, 640)])
@pytest.mark.parametrize("num_frames", [1, 3, 60])
def test_frames_of_any_shape_and_number_stand_apart(tmp_path, drawn, size, num_frames):
    height, width = size
    ramp = np.linspace(0, 255, width, dtype=np.uint8)[None, :, None]
    frames = [np.tile(np.roll(ramp, 5 * n, 1), (height, 1, 3)) for n in range(num_frames)]
    write_video(tmp_path / "v.mp4", frames, codec="mpeg4", options={"q": "2"})
    answer = attending(tmp_path / "v.mp4", hills(3, 8, 5, 1))
    picture = drawn_picture(answer, tmp_path / "a.png", drawn)
    many = len(picture.thumbnails)
    assert len(picture.boxed) == min(len(most_attended(answer)), num_frames) > 0
    assert many == num_frames if num_frames < 7 else 7 <= many <= MOST_SHOWN
    renderer = picture.figure.canvas.get_renderer()
    extents = [axes.get_window_extent(renderer) for axes in picture.thumbnails]
    for a, b in pairwise(extents):
        assert a.x1 < b.x0
    for box in extents:
        assert box.width / box.height == pytest.approx(width / height, rel=0.05)
        assert 0 <= box.x0 < box.x1 <= 1600
    captions = [t for t in picture.figure.texts if t.get_text() in picture.captions().values()]
    boxes = sorted((t.get_window_extent(renderer) for t in captions), key=lambda box: box.x0)
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_times_of_hours_do_not_run_into_each_other(video, tmp_path, drawn):
    answer = attending(video, hills(5, 20, 13, 4))
    shown = choose_frames(answer, np.arange(FRAMES) / 25, aspect=0.2)
    late = [replace(s, seconds=36000 + s.seconds) for s in shown]
    draw_attention(answer, late, np.zeros((len(late), 50, 10, 3), np.uint8), tmp_path / "a.png")
    picture = Picture(tmp_path / "a.png", drawn[-1])
    renderer = picture.figure.canvas.get_renderer()
    boxes = [
        t.get_window_extent(renderer) for t in picture.figure.texts if "10:00:" in t.get_text()
    ]
    assert len(boxes) == len(late) > 12
    boxes.sort(key=lambda box: box.x0)
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_frames_that_cannot_be_read_are_gray(tmp_path, drawn):
    path = tmp_path / "v.avi"
    write_tiny_video(path, label="left", num_frames=80)
    answer = attending(path, hills(4, 20, 2, 18))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    picture = drawn_picture(answer, tmp_path / "a.png", drawn)
    begin, end = (np.asarray(axes.images[0].get_array()) for axes in picture.boxed)
    assert (end == 128).all()
    assert begin.std() > 10


@pytest.mark.parametrize(
    "name",
    ["5$ $x \\frac{.mp4", "a\nb\x1b[2J.mp4", "中文 ' \" & <b>.mp4", "x" * 240 + ".mp4", b"\xe9"],
)
def test_any_file_name_is_written_on_one_line(video, tmp_path, drawn, name):
    odd = tmp_path / os.fsdecode(name)
    odd.symlink_to(video)
    picture = drawn_picture(attending(odd, hills(5, 20, 13)), tmp_path / "a.png", drawn)
    title = max(picture.figure.texts, key=lambda text: text.get_fontsize())
    assert title.get_text().isprintable()
    box = title.get_window_extent(picture.figure.canvas.get_renderer())
    assert box.x1 <= 1600
    assert box.height < 60


def test_what_cannot_be_drawn_or_written_is_refused_in_one_line(video, tmp_path):
    answer = attending(video, hills(5, 20, 13))
    with pytest.raises(UsageError, match=r"no attention over time: that of method sfc has"):
        save_attention(replace(answer, attention=None), tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"is a PNG; give a name that ends in \.png"):
        save_attention(answer, tmp_path / "a.jpg")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        save_attention(answer, tmp_path / "file" / "a.png")
    gone = replace(answer, video=replace(answer.video, path=str(tmp_path / "gone.mp4")))
    with pytest.raises(VideoError, match=r"gone\.mp4"):
        save_attention(gone, tmp_path / "a.png")
    shown = choose_frames(answer, np.arange(FRAMES) / 25, aspect=4 / 3)
    for shape in ((len(shown) - 1, 8, 8, 3), (len(shown), 3, 8, 8), (8, 8, 3)):
        with pytest.raises(UsageError, match=r"one picture \[h, w, 3\] per frame"):
            draw_attention(answer, shown, np.zeros(shape, np.uint8), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_matplotlib_is_left_as_it_was_and_the_answer_too(video, tmp_path):
    answer = attending(video, hills(5, 20, 13))
    before, weights = dict(matplotlib.rcParams), answer.attention.weights.clone()
    save_attention(answer, tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before
    assert torch.equal(answer.attention.weights, weights)
