"""The verb `recognize`: videos, whole or while they come."""

from typing import Annotated, Unpack

from vidskim.cli import console
from vidskim.cli.arguments import typed
from vidskim.cli.streaming import answer_live
from vidskim.cli.words import only, paths_of, refuse
from vidskim.declare import Option
from vidskim.options import RecognizeOptions, StreamOptions
from vidskim.show.models import check_name

OF_ONE = {"stream", "timeline", "attention", "report"}
"""What shows one video."""


class AnswerOptions(RecognizeOptions, StreamOptions, total=False):
    """All options of the verb: those of an answer, and where it is written."""

    stream: Annotated[
        bool,
        Option("answer after every clip, from a file that still grows or from a pipe", "run"),
    ]
    timeline: Annotated[
        str,
        Option(
            "write a picture of the saliency and the chosen moments to this PNG",
            "output",
            is_file=True,
        ),
    ]
    attention: Annotated[
        str,
        Option(
            "of an answer that is compressed over time: write a picture of the steps that were "
            "kept of the video, what they attend to, and the frames of these moments, to this PNG",
            "output",
            is_file=True,
        ),
    ]
    report: Annotated[
        str,
        Option(
            "write a page with all that is known of the answer to this HTML file",
            "output",
            is_file=True,
        ),
    ]
    json: Annotated[
        bool,
        Option(
            "print one JSON object, of several videos one a line, with --stream one per clip",
            "output",
        ),
    ]


def recognize(*video: str, **options: Unpack[AnswerOptions]) -> None:
    """Recognize what happens in a video, or in several.

    Args:
        video: path of a video file; with --stream also of a pipe, or - for standard input.
    """
    as_json = options.get("json", False)
    if len(video) > 1:
        refuse(options.keys() & OF_ONE, reason="is of one video, got several")
    if options.get("stream"):
        if options.get("method") == "dense":  # as a stream is answered
            del options["method"]
        refuse(
            options.keys() - StreamOptions.__annotations__ - {"stream", "json"},
            reason="cannot go with --stream, which answers before the whole video is known",
        )
        answer_live(video[0], as_json=as_json, **only(options, StreamOptions))
        return
    for key in ("model", "cheap"):
        if key in options:
            check_name(str(options[key]), more=["demo"])
    early = options.keys() & StreamOptions.__annotations__ - RecognizeOptions.__annotations__.keys()
    refuse(early, *["VIDEO -"] * ("-" in video), reason="goes with --stream")
    from vidskim import api
    from vidskim.show import text

    timeline, attention, report = (
        console.output(options, key, suffixes)
        for key, suffixes in (
            ("timeline", [".png"]),
            ("attention", [".png"]),
            ("report", [".html", ".htm"]),
        )
    )
    asked = only(options, RecognizeOptions)
    if "calibrate" in asked:
        asked["calibrate"] = paths_of(asked["calibrate"])
    recognizer = api.recognizer_for(*video, has_attention=attention is not None, **asked)

    def answer(path: str) -> None:
        prediction = recognizer(path)
        if timeline is not None:
            from vidskim.show.storyboard import save_timeline

            save_timeline(prediction, timeline)
        if attention is not None:
            from vidskim.show.attention import save_attention

            save_attention(prediction, attention)
        if report is not None:
            from vidskim.show.page import save_report

            save_report(prediction, report, command=typed(recognize, path, **options))
        canvas = console.canvas()
        found = prediction.to_json() if as_json else text.prediction(prediction, canvas=canvas)
        console.show(found if as_json or len(video) == 1 else f"{found}\n")
        console.warn(() if as_json else prediction.warnings)

    console.each(video, answer)
