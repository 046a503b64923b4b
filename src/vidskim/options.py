"""Every option of an answer, declared once, with its help, its range and its group.

The command line makes its parsers, help and completions from these classes, the library checks its
keywords by them, and type checkers read them as PEP 692 has it. Only options that are given are
present; what holds for the others stands in their help.

    LookOptions ────── MethodOptions ─┬─ SelectOptions
                                      ├─ RecognizeOptions ── MakeOptions
    PartOptions ─┬─────────────────── ┤
    RunOptions ──┤                    │
                 ├── StreamOptions    │
                 └─────────────────── ┴─ EvaluateOptions (its methods stand in a list)

What `vidskim cost` shares with them, in `PlanOptions`, stands in classes of its own below these.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

from vidskim.declare import Option

MAX_FRAMES = 4096
"""Of a clip, and of its stride."""


class NumberOptions(TypedDict, total=False):
    """How many clips are chosen."""

    k: Annotated[
        int | None,
        Option(
            "clips to encode, or frames to choose (default: 10, or as many as the model says; of "
            "method sfc segments that are joined, by default the whole video)",
            low=1,
        ),
    ]


class LookOptions(NumberOptions, total=False):
    """How many clips are chosen, and how saliency networks are used for it."""

    sampler: Annotated[
        Any,
        Option(
            "checkpoints of the saliency networks of scsampler and cascade, one per source, with "
            "commas between (default: the demo's)",
            is_file=True,
        ),
    ]
    rule: Annotated[
        str | None,
        Option(
            "how visual and audio scores are combined: convex_score, convex_list, intersect_list, "
            "union_list or joint (default: union_list, or joint where trained jointly)",
            choices=("convex_score", "convex_list", "intersect_list", "union_list", "joint"),
        ),
    ]
    visual_k: Annotated[
        int | None,
        Option("clips that union_list takes by their visual scores (default: 8 of 10)", low=0),
    ]
    alpha: Annotated[
        float | None,
        Option("weight of the audio scores in the convex rules (default: 0.5)", low=0, high=1),
    ]
    residuals: Annotated[
        int | None,
        Option("residual frames per clip to score, 0 for all (default: as trained)", low=0),
    ]
    every: Annotated[int | None, Option("score every n-th clip only (default: 1)", low=1)]
    candidates: Annotated[
        int | None,
        Option("clips that packet sizes keep in method cascade (default: 3 k)", low=1),
    ]


class NameOptions(TypedDict, total=False):
    """Which method chooses them."""

    method: Annotated[
        Any,
        Option(
            "dense, uniform, random, packets, motion, scsampler or cascade; to recognize also "
            "what the model has parts for: faster, faster16, faster32, memory or sfc; in Python "
            "also a vidskim.Look (default: the model's own, else motion)",
            choices=(
                *("dense", "uniform", "random", "packets", "motion", "scsampler", "cascade"),
                *("faster", "faster16", "faster32", "memory", "sfc"),
            ),
            elsewhere=("oracle", "empirical"),
        ),
    ]


class MethodOptions(NameOptions, LookOptions, total=False):
    """Which clips of a video are chosen."""


class SelectOptions(MethodOptions, total=False):
    """Which moments of a video are chosen without a classifier."""

    budget_seconds: Annotated[
        float | None,
        Option("instead of k, how many seconds the chosen clips may last together", above=0),
    ]
    budget_share: Annotated[
        float | None,
        Option(
            "instead of k, the same as a share of the video between 0 and 1, or of its frames",
            above=0,
            high=1,
        ),
    ]
    min_gap_seconds: Annotated[
        float | None,
        Option(
            "least number of seconds between chosen clips or frames; there may be fewer then "
            "(default: 0)",
            low=0,
        ),
    ]
    cover: Annotated[
        int | None,
        Option("put a choice into each of n equal parts of the video first (default: 0)", low=0),
    ]
    unit: Annotated[
        str | None,
        Option("what to choose, clip or frame (default: clip)", choices=("clip", "frame")),
    ]
    num_frames: Annotated[
        int | None, Option("frames of a clip (default: 16)", low=1, high=MAX_FRAMES)
    ]
    stride: Annotated[
        int | None, Option("distance between them (default: 1)", low=1, high=MAX_FRAMES)
    ]


class ModelOptions(TypedDict, total=False):
    """The model."""

    model: Annotated[
        Any,
        Option(
            "a backbone with published weights, NAME@ID for others of them (see 'vidskim models'), "
            "the path of a checkpoint, hf:<id or folder>, or 'demo' (default: r2plus1d_18; of "
            "evaluate demo)",
            "model",
            is_file=True,
        ),
    ]


class CompositionOptions(TypedDict, total=False):
    """The parts of a model."""

    pattern: Annotated[
        str | None,
        Option(
            "which encoder of several takes which clip: 1:7, all, none, first or letters such as "
            "ECCEC (default: as trained)",
            "model",
        ),
    ]
    cheap: Annotated[
        Any,
        Option(
            "a second, cheap encoder: a name or a file (default: the file's)", "model", is_file=True
        ),
    ]
    context: Annotated[
        Any,
        Option(
            "memory relates the clips of a video, none leaves the file's out",
            "model",
            choices=("memory", "none"),
        ),
    ]
    compress: Annotated[
        str | None,
        Option(
            "stage after which the expensive encoder compresses over time, such as res3; none "
            "leaves the file's out",
            "model",
        ),
    ]
    join: Annotated[
        str | int | None,
        Option("clips that make one input of the expensive encoder: a number, or all", "model"),
    ]
    aggregator: Annotated[
        Any,
        Option(
            "average, fast_gru, gru, lstm, concat or trained_average (default: the file's)",
            "model",
            choices=("average", "fast_gru", "gru", "lstm", "concat", "trained_average"),
        ),
    ]


class PartOptions(ModelOptions, CompositionOptions, total=False):
    """The model and its parts."""

    size: Annotated[
        int | None,
        Option(
            "test on crops of so many pixels instead of the trained size (fully convolutional)",
            "model",
            low=1,
        ),
    ]


class SegmentOptions(TypedDict, total=False):
    """What a compressed model takes."""

    segment_frames: Annotated[
        int | None,
        Option(
            "length of the segments that a compressed encoder joins, before the stride (default: "
            "as trained, or a clip of its backbone)",
            "model",
            low=1,
        ),
    ]


class OpenOptions(PartOptions, SegmentOptions, total=False):
    """All that a model is opened with."""

    random_weights: Annotated[
        bool,
        Option("run the model untrained, to measure cost and speed only", "model"),
    ]


class RouteOptions(TypedDict, total=False):
    """What sends encoders to clips, where a video is there as a whole."""

    route: Annotated[
        Any,
        Option(
            "send the expensive encoder to the clips that packets, motion or scsampler find most "
            "salient, as often as the pattern has it",
            "model",
            choices=("packets", "motion", "scsampler"),
        ),
    ]


class WholeOptions(RouteOptions, total=False):
    """What takes a model that is known, and a video that is there as a whole."""

    fast: Annotated[
        str | None,
        Option(
            "run the classifier by OpenVINO in bf16 or int8 (extra 'fast'); what that costs in "
            "accuracy is measured and printed",
            "model",
            choices=("bf16", "int8"),
        ),
    ]
    calibrate: Annotated[
        Sequence[str | Path] | None,
        Option(
            "manifest or folder whose videos int8 is calibrated on; in Python a list of videos "
            "(default: those at hand)",
            "model",
            is_file=True,
        ),
    ]


class CropOptions(TypedDict, total=False):
    """The views of a clip."""

    crops: Annotated[
        int | None,
        Option(
            "crops of each clip, 1 in the center or 3 along its longer side (default: 1)",
            "run",
            low=1,
        ),
    ]


class RunOptions(CropOptions, total=False):
    """How networks run."""

    precision: Annotated[
        str | None,
        Option(
            "of the networks: fp32, bf16, or auto for the faster one as measured here (default: "
            "fp32)",
            "run",
            choices=("fp32", "bf16", "auto"),
        ),
    ]
    device: Annotated[Any, Option("where the networks run, for example cuda (default: cpu)", "run")]


class PlanOptions(
    NumberOptions,
    NameOptions,
    CompositionOptions,
    SegmentOptions,
    RouteOptions,
    CropOptions,
    total=False,
):
    """What an answer is priced for, before there is a video."""


class BatchOptions(RunOptions, total=False):
    """The same of a video that is there as a whole."""

    batch_size: Annotated[
        int | None,
        Option(
            "views per forward pass (default: 4, or one clip where encoders take turns); with 1 "
            "the last digits are those of a stream too",
            "run",
            low=1,
        ),
    ]


class RecognizeOptions(MethodOptions, OpenOptions, WholeOptions, BatchOptions, total=False):
    """All that one answer can be asked for."""


class MakeOptions(RecognizeOptions, total=False):
    """The same for a recognizer, which is made before it is given a video."""

    videos: Annotated[
        Sequence[str | Path] | None,
        Option("files on whose clips ``fast`` is checked and calibrated", "run"),
    ]


class StreamOptions(OpenOptions, RunOptions, total=False):
    """What can be asked for while a video comes: nothing that must see the whole of it."""

    idle_seconds: Annotated[
        float | None,
        Option(
            "seconds after which a file that has not grown is finished (default: 10); a pipe says "
            "itself when it ends",
            "run",
            low=0,
        ),
    ]


class VideosOptions(TypedDict, total=False):
    """Which videos are evaluated, and where the results go."""

    split: Annotated[str | None, Option("only the rows of this split", "run")]
    moments: Annotated[
        str | Path | None,
        Option(
            "manifest with one row per moment in which the class shows, for precision at k",
            "run",
            is_file=True,
        ),
    ]
    limit: Annotated[int | None, Option("only the first n videos", "run", low=1)]
    out: Annotated[
        str | Path | None,
        Option(
            "folder for results.csv, results.md, results.json, videos.csv and the figure",
            "output",
            is_file=True,
        ),
    ]


class EvaluateOptions(
    LookOptions, OpenOptions, WholeOptions, BatchOptions, VideosOptions, total=False
):
    """What an evaluation can be asked for; its methods are a list."""

    methods: Annotated[
        str | Sequence[Any],
        Option(
            "names with commas between: dense, uniform, random, packets, motion, scsampler, "
            "cascade, oracle, and as the model has the parts faster, faster16, faster32, memory "
            "and sfc. Behind any name go options with slashes: a pattern, a route, an aggregator, "
            "a number of clips, alone (no memory, no compression), or key=value (faster/1:3, "
            "faster/all/average, memory/alone, sfc/8, motion/join=2) (default: "
            "dense,uniform,random,packets,motion)"
        ),
    ]


class StudyOptions(VideosOptions, total=False):
    """What the studies of a paper take."""

    study: Annotated[
        str,
        Option(
            "instead, studies of SCSampler, with commas between, or 'all': classifiers, transfer, "
            "features, objectives, combinations, audio, positions, thumbnails, k, visual_k, "
            "runtime, stride, cascade; --model may then name several classifiers with commas "
            "between",
            "run",
        ),
    ]
    samplers: Annotated[
        str,
        Option(
            "for studies: checkpoints of saliency networks, or folders of them", "run", is_file=True
        ),
    ]
    timed: Annotated[
        int,
        Option("for studies: videos whose run time is measured (default: 3)", "run", low=0),
    ]
    cache: Annotated[
        str,
        Option(
            "for studies: folder of answers and scores (default: 'cache' in --out)",
            "output",
            is_file=True,
        ),
    ]
