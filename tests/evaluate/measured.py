"""Made-up measurements for the tests of table, report and pictures."""

import random
from fractions import Fraction

from vidskim.clips.grid import split
from vidskim.evaluate.results import MethodResult, VideoResult
from vidskim.types import ChosenClip, Cost, Prediction, Score, VideoInfo

METHODS = {
    # accuracy, GMACs, look GMACs, seconds, precision at K
    "dense": (0.70, 4000.0, 0.0, 60.0, 0.12),
    "uniform": (0.66, 415.0, 0.0, 7.0, None),
    "packets": (0.80, 415.0, 0.0, 7.1, 0.5),
    "scsampler": (0.90, 419.0, 4.0, 8.4, 0.8),
    "oracle": (0.97, 4000.0, 0.0, 61.0, 0.95),
}


def make_results(methods=METHODS, *, num_videos=60, model="demo"):
    rng = random.Random(0)
    hard = [rng.random() for _ in range(num_videos)]
    results = []
    for method, (accuracy, gmacs, look, seconds, precision) in methods.items():
        videos = []
        for number in range(num_videos):
            correct = 0.7 * hard[number] + 0.3 * rng.random() < accuracy
            total = seconds * rng.uniform(0.9, 1.1)
            videos.append(
                VideoResult(
                    path=f"long/{number:03d}.mp4",
                    label="golf",
                    predicted="golf" if correct else "swim",
                    score_of_label=rng.random(),
                    correct=correct,
                    macs=round(gmacs * 1e9),
                    look_macs=round(look * 1e9),
                    dense_macs=round(4000e9),
                    seconds_total=total,
                    seconds={"read": 0.25 * total, "encode": 0.75 * total},
                    frames_decoded=160 + number,
                    bytes_read=1000 + number,
                    peak_bytes=10**8 + number,
                    precision_at_k=precision,
                )
            )
        results.append(MethodResult(method, model, tuple(videos)))
    return results


def make_prediction(num_chosen, *, looks=True, duration_seconds=60.0, path="long/a.mp4"):
    """Return an answer, the grid it was chosen from and the moments that were to be found."""
    times = [frame / 25 for frame in range(round(duration_seconds * 25))]
    grid = split(times, num_frames=16)
    rng = random.Random(num_chosen)
    moments = [(0.2 * duration_seconds, 0.3 * duration_seconds)]
    scores = [
        min(1.0, rng.uniform(0, 0.4) + 0.6 * (moments[0][0] <= c.start_seconds < moments[0][1]))
        for c in grid
    ]
    if looks:
        best = sorted(range(len(grid)), key=lambda i: -scores[i])[:num_chosen]
    else:
        best = [int((i + 0.5) * len(grid) / num_chosen) for i in range(num_chosen)]
    prediction = Prediction(
        video=VideoInfo(path, duration_seconds, len(times), Fraction(25), 340, 256, "h264", True),
        method="scsampler" if looks else "uniform",
        model="demo",
        predictions=(Score("golf", 0.93), Score("swim", 0.07)),
        clips=tuple(
            ChosenClip(grid[i], scores[i] if looks else None, "demo") for i in sorted(best)
        ),
        saliency=tuple(scores) if looks else None,
        cost=Cost(4 * 10**11, 4 * 10**12, 10**9, 160, 10**6, {"read": 1.0, "total": 3.0}, 10**8),
    )
    return prediction, grid, moments
