"""Pictures are judged by eye when they change; here by what can be measured in them."""

import itertools
import struct
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.image import imread
from measured import make_prediction, make_results

from vidskim.errors import UsageError
from vidskim.evaluate.figure import draw_accuracy_cost
from vidskim.evaluate.metrics import Interval
from vidskim.evaluate.table import table
from vidskim.show.filmstrip import GAP, lay_out, spread
from vidskim.show.tables import clock
from vidskim.show.timeline import CHEAP, CHOSEN, MOMENT, draw_timeline, grid_edges


def png_size(path):
    return struct.unpack(">II", path.read_bytes()[16:24])


def names_in(axes, renderer):
    return {text.get_text(): text.get_window_extent(renderer) for text in axes.texts}


@pytest.mark.parametrize("crowd", [False, True])
def test_every_method_is_named_in_both_panels_without_overlap(tmp_path, drawn, crowd):
    rows = table(make_results(), num_samples=200)
    if crowd:  # twelve methods of almost one cost
        rows = [
            replace(
                rows[0],
                method=f"method_{n}",
                gmacs=400.0 + n,
                seconds=5.0 + 0.3 * n,
                accuracy=Interval(0.6 + 0.02 * n, 0.55 + 0.02 * n, 0.65 + 0.02 * n),
            )
            for n in range(12)
        ]
    path = tmp_path / "figure.png"
    draw_accuracy_cost(rows, path)
    assert png_size(path) == (1500, 650)
    renderer = drawn[0].canvas.get_renderer()
    for axes in drawn[0].axes:
        found = names_in(axes, renderer)
        assert set(found) == {row.method for row in rows}
        for (a, box_a), (b, box_b) in itertools.combinations(found.items(), 2):
            assert not box_a.overlaps(box_b), f"{a} covers {b}"
        inside = axes.get_window_extent(renderer).padded(1)
        for box in found.values():
            assert inside.x0 <= box.x0
            assert box.x1 <= drawn[0].bbox.x1
        assert axes.get_xscale() == "log"


def test_points_stand_at_their_cost_and_bars_at_their_interval(tmp_path, drawn):
    rows = [row for row in table(make_results(), num_samples=200) if row.method != "packets"]
    draw_accuracy_cost(rows[:3], tmp_path / "figure.png")  # dense, uniform, scsampler
    axes = drawn[0].axes[0]
    spans = [
        tuple(path.vertices[:2, 1])
        for collection in axes.collections
        for path in collection.get_paths()
    ]
    expected = [(row.accuracy.low, row.accuracy.high) for row in rows[:3]]
    assert np.array(sorted(spans)) == pytest.approx(np.array(sorted(expected)))
    places = sorted({float(line.get_xdata()[0]) for line in axes.lines})
    assert places[-1] == pytest.approx(4000.0)
    assert places[:-1] == pytest.approx([415, 419], rel=0.05)  # set side by side
    assert places[0] < places[1]


def test_no_cost_at_all_is_drawn_on_a_plain_axis(tmp_path, drawn):
    draw_accuracy_cost(
        table(make_results({"dense": (0.5, 0.0, 0.0, 0.0, None)})), tmp_path / "f.png"
    )
    assert [axes.get_xscale() for axes in drawn[0].axes] == ["linear", "linear"]


def test_drawing_leaves_matplotlib_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    draw_accuracy_cost(table(make_results()), tmp_path / "f.png", title="5 $ and 中文 and \\frac{")
    prediction, _, _ = make_prediction(2, path="long/5$ $x 中文.mp4")
    draw_timeline(prediction, torch.zeros(2, 3, 8, 8, dtype=torch.uint8), tmp_path / "t.png")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("num_chosen", [1, 2, 8, 9, 16])
@pytest.mark.parametrize("aspect", [0.5, 1.0, 16 / 9])
def test_thumbnails_fit_without_overlap_in_time_order(num_chosen, aspect):
    wanted = sorted((7.0 + 0.01 * n if n % 3 else 1.0 + 0.7 * n) for n in range(num_chosen))
    slots = lay_out(wanted, left=0.6, right=12.4, aspect=aspect)
    assert [slot.center for slot in slots] == sorted(slot.center for slot in slots)
    for slot in slots:
        assert slot.center - slot.width / 2 >= 0.6 - 1e-9
        assert slot.center + slot.width / 2 <= 12.4 + 1e-9
        assert slot.width / slot.height == pytest.approx(aspect)
        assert slot.width >= 0.7
        assert slot.bottom > 0.3  # room for the caption
    for a, b in itertools.combinations(slots, 2):
        side_by_side = abs(a.center - b.center) >= a.width + GAP - 1e-9
        above = abs(a.bottom - b.bottom) >= a.height + 0.3
        assert side_by_side or above
    top = max(slot.bottom for slot in slots)
    for lower in (slot for slot in slots if slot.bottom < top):  # its tie passes between the upper
        for upper in (slot for slot in slots if slot.bottom == top):
            assert abs(lower.center - upper.center) >= upper.width / 2 + GAP / 2 - 1e-9


def test_spreading_is_the_least_squares_answer():
    """Against a projection found by Dykstra's alternating projections."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        wanted = np.sort(rng.uniform(0, 10, 7))
        found = np.array(spread(wanted, spacing=1.2, low=0.5, high=9.5))
        gaps = [np.eye(7)[i + 1] - np.eye(7)[i] for i in range(6)]
        halves = [(g, 1.2) for g in gaps] + [(np.eye(7)[0], 0.5), (-np.eye(7)[6], -9.5)]
        x, kept = wanted.copy(), [np.zeros(7) for _ in halves]
        for _ in range(4000):
            for i, (normal, least) in enumerate(halves):
                y = x + kept[i]
                x = y + max(0.0, least - normal @ y) / (normal @ normal) * normal
                kept[i] = y - x
        assert found == pytest.approx(x, abs=1e-3)


def test_places_that_fit_stay_where_they_are():
    assert spread([1, 3, 5], spacing=1, low=0, high=9) == [1, 3, 5]


@pytest.mark.parametrize("chosen", [1, 2, 7])
def test_edges_inferred_from_chosen_clips_equal_the_grid(chosen):
    prediction, grid, _ = make_prediction(chosen)
    assert len(grid) * 16 / 25 != prediction.video.duration_seconds  # a rest is left over
    known = grid_edges(prediction, grid=grid, count=len(grid))
    inferred = grid_edges(prediction, grid=None, count=len(grid))
    assert known == pytest.approx(np.arange(len(grid) + 1) * 0.64, abs=0.5)
    assert inferred[:-1] == pytest.approx(known[:-1])
    assert inferred[-1] <= prediction.video.duration_seconds
    with pytest.raises(UsageError, match="94 saliency scores for 93 candidate clips"):
        grid_edges(prediction, grid=grid[1:], count=len(grid))


@pytest.mark.parametrize("num_chosen", [1, 10, 16, 40])
def test_thumbnails_stand_in_the_picture_with_their_times(tmp_path, drawn, num_chosen):
    prediction, grid, moments = make_prediction(num_chosen)
    colors = torch.randint(0, 256, (num_chosen, 3, 1, 1), dtype=torch.uint8)
    thumbnails = colors.expand(-1, -1, 24, 32)
    path = tmp_path / "t.png"
    draw_timeline(prediction, thumbnails, path, moments=moments, grid=grid)
    width, height = png_size(path)
    assert width == 1600
    panels = drawn[0].axes[1:]  # after the curve
    assert len(panels) == min(num_chosen, 16)
    picture = np.rint(imread(path)[..., :3] * 255).astype(int)
    seen = []
    for axes in panels:
        box = axes.get_position()
        row, column = (1 - (box.y0 + box.y1) / 2) * height, (box.x0 + box.x1) / 2 * width
        seen.append(tuple(picture[int(row), int(column)]))
    expected = [tuple(int(v) for v in color.flatten()) for color in colors]
    places = [expected.index(color) for color in seen]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, num_chosen - 1)
    texts = {text.get_text() for text in drawn[0].texts}
    for place in places:
        chosen = prediction.clips[place]
        time = clock(chosen.clip.start_seconds, digits=1)
        assert f"{time}  ({chosen.saliency:.2f})" in texts
    assert (f"16 of {num_chosen} chosen clips are shown" in texts) == (num_chosen > 16)


def test_frames_tell_found_moments_from_missed_ones(tmp_path, drawn):
    prediction, _, _ = make_prediction(2, looks=False)  # at 1/4 and 3/4 of the video
    thumbnails = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    start = prediction.clips[0].clip.start_seconds
    draw_timeline(prediction, thumbnails, tmp_path / "t.png", moments=[(start - 1, start + 2)])
    edges = [axes.patches[0].get_edgecolor() for axes in drawn[0].axes[1:]]
    assert edges == [matplotlib.colors.to_rgba(color) for color in (MOMENT, CHOSEN)]
    texts = [text.get_text() for text in drawn[0].axes[0].texts]
    assert texts == ["uniform chooses without looking"]


@pytest.mark.parametrize("looks", [False, True])
def test_clips_of_the_cheap_encoder_are_told_from_those_of_the_expensive_one(
    tmp_path, drawn, looks
):
    prediction, _, _ = make_prediction(3, looks=looks)
    encoders = ("$r2plus1d_50", "r2d_26")
    clips = tuple(replace(c, encoder=encoders[n > 0]) for n, c in enumerate(prediction.clips))
    prediction = replace(prediction, clips=clips, encoders=encoders, schedule="1:2")
    if looks:
        method = "faster16, routed by scsampler"
        prediction = replace(prediction, method=method, schedule="1:2 by saliency")
    draw_timeline(prediction, torch.zeros(3, 3, 8, 8, dtype=torch.uint8), tmp_path / "t.png")
    frames = [axes.patches[0].get_edgecolor() for axes in drawn[0].axes[1:]]
    assert frames == [matplotlib.colors.to_rgba(color) for color in (CHOSEN, CHEAP, CHEAP)]
    (legend,) = drawn[0].legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named[-2:] == [r"1 clip by \$r2plus1d_50", "2 clips by r2d_26"]
    renderer = drawn[0].canvas.get_renderer()
    box = legend.get_window_extent(renderer)
    assert not any(box.overlaps(text.get_window_extent(renderer)) for text in drawn[0].texts)
    if not looks:
        texts = [text.get_text() for text in drawn[0].axes[0].texts]
        assert texts == ["uniform chooses without looking, pattern 1:2"]


def test_a_long_video_shows_its_highest_peaks(tmp_path, drawn):
    prediction, grid, _ = make_prediction(3, duration_seconds=3600.0)
    draw_timeline(prediction, torch.zeros(3, 3, 8, 8, dtype=torch.uint8), tmp_path / "t.png")
    assert len(grid) == 5625
    curves = [p.get_data() for p in drawn[0].axes[0].patches if hasattr(p, "get_data")]
    for curve in curves:
        assert len(curve.values) <= 600
        assert curve.values.max() == max(prediction.saliency)
        assert np.all(np.diff(curve.edges) > 0)


def test_thumbnails_must_fit_the_clips(tmp_path):
    prediction, _, _ = make_prediction(3)
    for shape in ((2, 3, 8, 8), (3, 8, 8, 3), (3, 8, 8)):
        with pytest.raises(UsageError, match=r"3 clips, thumbnails \["):
            draw_timeline(prediction, torch.zeros(shape, dtype=torch.uint8), tmp_path / "t.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("seconds", "coarse", "fine"),
    [
        (0, "0:00", "0:00.0"),
        (59.96, "1:00", "1:00.0"),
        (65.26, "1:05", "1:05.3"),
        (3599.99, "1:00:00", "1:00:00.0"),
        (3725.5, "1:02:06", "1:02:05.5"),
    ],
)
def test_the_clock(seconds, coarse, fine):
    assert (clock(seconds, digits=0), clock(seconds, digits=1)) == (coarse, fine)
