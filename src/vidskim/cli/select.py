"""The verb `select`: moments of a video without a classifier."""

from typing import Annotated, Unpack

from vidskim.cli import console
from vidskim.cli.arguments import typed
from vidskim.cli.words import only, refuse
from vidskim.declare import Option
from vidskim.options import SelectOptions


class ChoiceOptions(SelectOptions, total=False):
    """All options of the verb: those of a choice, and where it is written."""

    reel: Annotated[
        str,
        Option(
            "write the chosen clips, one after another, to this video file", "output", is_file=True
        ),
    ]
    widen: Annotated[
        float,
        Option(
            "seconds that a clip may begin earlier in the reel, at a key frame, so that it can be "
            "copied without encoding; 0 for never, 1e9 for always (default: 1)",
            "output",
            low=0,
        ),
    ]
    report: Annotated[
        str,
        Option(
            "write a page with all that is known of the choice to this HTML file",
            "output",
            is_file=True,
        ),
    ]
    json: Annotated[bool, Option("print one JSON object, of several videos one a line", "output")]


def select(*video: str, **options: Unpack[ChoiceOptions]) -> None:
    """Choose the moments of a video, or of several, that deserve a close look.

    Args:
        video: path of a video file.
    """
    from vidskim import api
    from vidskim.look.reel import SUFFIXES, write_reel
    from vidskim.show import text as printing

    refuse([] if "reel" in options else options.keys() & {"widen"}, reason="goes with --reel")
    reel = console.output(options, "reel", SUFFIXES)
    report = console.output(options, "report", [".html", ".htm"])
    if len(video) > 1:
        refuse(options.keys() & {"reel", "report"}, reason="is of one video, got several")

    def answer(path: str) -> None:
        chosen = api.select(path, **only(options, SelectOptions))
        made = None
        if reel is not None:
            clips = [found.clip for found in chosen.clips]
            made = write_reel(path, clips, reel, widen_seconds=options.get("widen", 1.0))
            chosen = chosen.with_reel(made)
        if report is not None:
            from vidskim.show.page import save_report

            save_report(chosen, report, command=typed(select, path, **options))
        if options.get("json"):
            console.show(chosen.to_json())
            return
        text = printing.selection(chosen, canvas=console.canvas())
        text = text if made is None else f"{text}\n\n{printing.reel(made)}"
        console.show(text if len(video) == 1 else f"{text}\n")
        console.warn(chosen.warnings)

    console.each(video, answer)
