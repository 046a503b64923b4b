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
"""

import operator
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, TypedDict, TypeVar, get_args

from vidskim.errors import UsageError, printable, unknown_name

GROUPS = {
    "look": "which clips are encoded",
    "model": "what encodes them",
    "run": "how it runs",
    "output": "what is written",
}
"""Headings of the help, in its order."""

OLD_NAMES = {
    "rule": "combine",
    "every": "clip_stride",
    "min_gap_seconds": "min_gap",
    "idle_seconds": "idle",
}
"""Names that the command line had before it shared those of the library; it goes on taking them."""

NOUNS = {str: "a word", bool: "True or False", int: "a whole number", float: "a number"}

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Option:
    """What there is to know of an option besides its type.

    Attributes:
        help: what it does, and what holds where it is left out.
        group: one of `GROUPS`.
        low: its least value.
        high: its largest value.
        above: what it must exceed.
        choices: what shells offer; the library knows what is valid.
        is_file: whether it names a file or folder.
    """

    help: str
    group: str = "look"
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: Sequence[str] = ()
    is_file: bool = False

    def check(self, name: str, value: float) -> None:
        """Raise for a number out of range, NaN among them.

        Raises:
            UsageError: such a number.
        """
        is_enough = self.low is None or value >= self.low
        is_more = self.above is None or value > self.above
        if not (is_enough and is_more and value <= (inf if self.high is None else self.high)):
            raise UsageError(f"{name} is {self.range}, got {value:g}")

    @property
    def range(self) -> str:
        """The valid numbers in words.

        >>> Option("", low=1).range, Option("", above=0, high=1).range
        ('at least 1', 'in (0, 1]')
        """
        if self.high is not None:
            if self.above is not None:
                return f"in ({self.above:g}, {self.high:g}]"
            return f"between {self.low or 0:g} and {self.high:g}"
        if self.above is not None:
            return f"above {self.above:g}"
        return "a number" if self.low is None else f"at least {self.low:g}"


class LookOptions(TypedDict, total=False):
    """How many clips are chosen, and how saliency networks are used for it."""

    k: Annotated[
        int | None,
        Option(
            "clips to encode, or frames to choose (default: 10, or as many as the model says; of "
            "method sfc segments that are joined, by default the whole video)",
            low=1,
        ),
    ]
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


class MethodOptions(LookOptions, total=False):
    """Which clips of a video are chosen."""

    method: Annotated[
        str | None,
        Option(
            "dense, uniform, random, packets, motion, scsampler or cascade; to recognize also "
            "what the model has parts for: faster, faster16, faster32, memory or sfc (default: "
            "the model's own, else motion)",
            choices=(
                *("dense", "uniform", "random", "packets", "motion", "scsampler", "cascade"),
                *("faster", "faster16", "faster32", "memory", "sfc"),
            ),
        ),
    ]


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
    num_frames: Annotated[int | None, Option("frames of a clip (default: 16)", low=1)]
    stride: Annotated[int | None, Option("distance between them (default: 1)", low=1)]


class PartOptions(TypedDict, total=False):
    """The model and its parts."""

    model: Annotated[
        Any,
        Option(
            "a backbone with published weights, NAME@ID for others of them (see 'vidskim models'), "
            "the path of a checkpoint, hf:<id or folder>, or 'demo' (default: r2plus1d_18; of "
            "evaluate demo)",
            group="model",
            is_file=True,
        ),
    ]
    pattern: Annotated[
        str | None,
        Option(
            "which encoder of several takes which clip: 1:7, all, none, first or letters such as "
            "ECCEC (default: as trained)",
            group="model",
        ),
    ]
    cheap: Annotated[
        Any,
        Option(
            "a second, cheap encoder: a name or a file (default: the file's)",
            group="model",
            is_file=True,
        ),
    ]
    context: Annotated[
        Any,
        Option(
            "memory relates the clips of a video, none leaves the file's out",
            group="model",
            choices=("memory", "none"),
        ),
    ]
    compress: Annotated[
        str | None,
        Option(
            "stage after which the expensive encoder compresses over time, such as res3; none "
            "leaves the file's out",
            group="model",
        ),
    ]
    join: Annotated[
        str | int | None,
        Option(
            "clips that make one input of the expensive encoder: a number, or all",
            group="model",
        ),
    ]
    aggregator: Annotated[
        Any,
        Option(
            "average, fast_gru, gru, lstm, concat or trained_average (default: the file's)",
            group="model",
            choices=("average", "fast_gru", "gru", "lstm", "concat", "trained_average"),
        ),
    ]
    size: Annotated[
        int | None,
        Option(
            "test on crops of so many pixels instead of the trained size (fully convolutional)",
            group="model",
            low=1,
        ),
    ]


class OpenOptions(PartOptions, total=False):
    """The same, and what an untrained or a compressed model takes."""

    segment_frames: Annotated[
        int | None,
        Option(
            "length of the segments that a compressed encoder joins, before the stride (default: "
            "as trained, or a clip of its backbone)",
            group="model",
            low=1,
        ),
    ]
    random_weights: Annotated[
        bool,
        Option("run the model untrained, to measure cost and speed only", group="model"),
    ]


class WholeOptions(TypedDict, total=False):
    """What takes a model that is known, and a video that is there as a whole."""

    route: Annotated[
        Any,
        Option(
            "send the expensive encoder to the clips that packets, motion or scsampler find most "
            "salient, as often as the pattern has it",
            group="model",
            choices=("packets", "motion", "scsampler"),
        ),
    ]
    fast: Annotated[
        str | None,
        Option(
            "run the classifier by OpenVINO in bf16 or int8 (extra 'fast'); what that costs in "
            "accuracy is measured and printed",
            group="model",
            choices=("bf16", "int8"),
        ),
    ]
    calibrate: Annotated[
        Sequence[str | Path] | None,
        Option(
            "manifest or folder whose videos int8 is calibrated on; in Python a list of videos "
            "(default: those at hand)",
            group="model",
            is_file=True,
        ),
    ]


class RunOptions(TypedDict, total=False):
    """How networks run."""

    crops: Annotated[
        int | None,
        Option(
            "crops of each clip, 1 in the center or 3 along its longer side (default: 1)",
            group="run",
            low=1,
        ),
    ]
    precision: Annotated[
        str | None,
        Option(
            "of the networks: fp32, bf16, or auto for the faster one as measured here (default: "
            "fp32)",
            group="run",
            choices=("fp32", "bf16", "auto"),
        ),
    ]
    device: Annotated[
        Any, Option("where the networks run, for example cuda (default: cpu)", group="run")
    ]


class RecognizeOptions(MethodOptions, OpenOptions, WholeOptions, RunOptions, total=False):
    """All that one answer can be asked for."""

    batch_size: Annotated[
        int | None,
        Option(
            "views per forward pass (default: 4, or one clip where encoders take turns); with 1 "
            "the last digits are those of a stream too",
            group="run",
            low=1,
        ),
    ]


class MakeOptions(RecognizeOptions, total=False):
    """The same for a recognizer, which is made before it is given a video."""

    videos: Annotated[
        Sequence[str | Path] | None,
        Option("files on whose clips ``fast`` is checked and calibrated", group="run"),
    ]


class StreamOptions(OpenOptions, RunOptions, total=False):
    """What can be asked for while a video comes: nothing that must see the whole of it."""

    idle_seconds: Annotated[
        float | None,
        Option(
            "seconds after which a file that has not grown is finished (default: 10); a pipe says "
            "itself when it ends",
            group="run",
            low=0,
        ),
    ]


class VideosOptions(TypedDict, total=False):
    """Which videos are evaluated, and where the results go."""

    split: Annotated[str | None, Option("only the rows of this split", group="run")]
    moments: Annotated[
        str | Path | None,
        Option(
            "manifest with one row per moment in which the class shows, for precision at k",
            group="run",
            is_file=True,
        ),
    ]
    limit: Annotated[int | None, Option("only the first n videos", group="run", low=1)]
    out: Annotated[
        str | Path | None,
        Option(
            "folder for results.csv, results.md, results.json, videos.csv and the figure",
            group="output",
            is_file=True,
        ),
    ]


class EvaluateOptions(
    LookOptions, PartOptions, WholeOptions, RunOptions, VideosOptions, total=False
):
    """What an evaluation can be asked for; its methods are a list."""

    methods: Annotated[
        str | Sequence[str],
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
            group="run",
        ),
    ]
    samplers: Annotated[
        str,
        Option(
            "for studies: checkpoints of saliency networks, or folders of them",
            group="run",
            is_file=True,
        ),
    ]
    timed: Annotated[
        int,
        Option("for studies: videos whose run time is measured (default: 3)", group="run", low=0),
    ]
    cache: Annotated[
        str,
        Option(
            "for studies: folder of answers and scores (default: 'cache' in --out)",
            group="output",
            is_file=True,
        ),
    ]


@dataclass(frozen=True, slots=True)
class Declared:
    """One option as it was declared: its name, its type, and the rest."""

    name: str
    type: Any
    option: Option

    @property
    def kinds(self) -> set[Any]:
        """The types that a value may have; None stands for an option that is left out."""
        return set(get_args(self.type) or [self.type]) - {type(None)}

    @property
    def kind(self) -> type:
        """What a word of the command line becomes: bool, int, float or str."""
        if len(self.kinds) > 1:
            return str
        return next((kind for kind in (bool, int, float) if kind in self.kinds), str)


def declared(options: type) -> dict[str, Declared]:
    """Return the options of one of the classes above, by name, group by group.

    >>> declared(RunOptions)["crops"].kind
    <class 'int'>
    """
    found = {}
    for name, annotation in options.__annotations__.items():
        kind, option = get_args(annotation)
        found[name] = Declared(name, kind, option)
    places = list(GROUPS)

    def place(pair: tuple[str, Declared]) -> tuple[int, bool]:
        return places.index(pair[1].option.group), pair[0] not in ("method", "methods", "model")

    return dict(sorted(found.items(), key=place))


def given(values: Mapping[str, Any], options: type) -> dict[str, Any]:
    """Return the options that are given, as the types that are declared.

    None is the same as leaving an option out; whole numbers of NumPy are whole numbers.

    Args:
        values: names to values.
        options: the class that declares them.

    Raises:
        UsageError: an unknown option, a value of another type or out of range.
    """
    known = declared(options)
    for name in values:
        if name not in known:
            raise unknown_name("option", name, known)
    return {name: _typed(known[name], value) for name, value in values.items() if value is not None}


def flag(name: str) -> str:
    """Return how an option is written on the command line.

    >>> flag("visual_k")
    '--visual-k'
    """
    return "--" + name.replace("_", "-")


def check_path(path: object) -> None:
    """Raise unless something can name a file.

    Raises:
        UsageError: anything but a string or path.
    """
    if not isinstance(path, str | PathLike):
        shown = printable(repr(path)[:60])
        raise UsageError(f"a video is given by its path, a string or pathlib.Path, got {shown}")


def described(options: type, *, indent: str = " " * 8) -> str:
    """Return the options as lines of an ``Args:`` section.

    >>> print(described(RunOptions, indent="").splitlines()[0])
    crops: crops of each clip, 1 in the center or 3 along its longer side (default: 1).
    """
    lines: list[str] = []
    for name, found in declared(options).items():
        text = f"{name}: {found.option.help.rstrip('.')}."
        lines += textwrap.wrap(text, 100, initial_indent=indent, subsequent_indent=indent + "    ")
    return "\n".join(lines)


def takes(options: type) -> Callable[[Function], Function]:
    """Write a class of options into the docstring of a function that takes them.

    They go in the place of the line that tells of ``**options``.
    """

    def documented(function: Function) -> Function:
        lines = (function.__doc__ or "").splitlines()
        at = next(i for i, line in enumerate(lines) if line.strip().startswith("**options:"))
        function.__doc__ = "\n".join([*lines[:at], described(options), *lines[at + 1 :]])
        return function

    return documented


def _typed(known: Declared, value: Any) -> Any:
    """Return a value as its declared type.

    Raises:
        UsageError: it cannot be one, or is out of range.
    """
    if known.kinds not in ({str}, {bool}, {int}, {float}):  # the library looks at it
        return value
    is_bool = type(value).__name__ in ("bool", "bool_")  # NumPy's too, which is not imported here
    made: Any = None
    if known.kind is str and isinstance(value, str):
        return value
    if known.kind is bool and is_bool:
        return bool(value)
    if known.kind is int and hasattr(value, "__index__") and not is_bool:
        made = operator.index(value)
    if known.kind is float and isinstance(value, Real) and not is_bool:
        made = float(value)
    if made is None:
        shown = printable(repr(value)[:60])
        raise UsageError(f"{known.name} is {NOUNS[known.kind]}, got {shown}")
    known.option.check(known.name, made)
    return made
