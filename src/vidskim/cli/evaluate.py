"""The verb `evaluate`: methods side by side, or the studies of a paper."""

from typing import Annotated, Any, Unpack

from vidskim.cli import console
from vidskim.cli.words import only, paths_of, refuse, words_of
from vidskim.declare import Option
from vidskim.options import EvaluateOptions, StudyOptions

MODEL = "demo"

STUDIED = {"k", "rule", "visual_k", "alpha", "residuals", "model", "precision", "device"}
"""What studies take besides their own options."""


class CompareOptions(EvaluateOptions, StudyOptions, total=False):
    """All options of the verb."""

    json: Annotated[bool, Option("print one JSON object", "output")]


def evaluate(*, data: str, **options: Unpack[CompareOptions]) -> None:
    """Compare methods on the videos of a manifest: accuracy, cost, time.

    Args:
        data: manifest (CSV), or a folder with one folder per class.
    """
    if "study" in options:
        refuse(
            options.keys() - StudyOptions.__annotations__ - STUDIED - {"json"},
            reason="goes without --study",
        )
        report: Any = _studied(data, **options)
    else:
        refuse(
            options.keys() & StudyOptions.__annotations__ - EvaluateOptions.__annotations__.keys(),
            reason="goes with --study",
        )
        report = _compared(data, **options)
    console.show(report.to_json() if options.get("json") else report.to_text())


def _compared(data: str, **options: Unpack[CompareOptions]) -> Any:
    """Return the report of methods side by side."""
    from vidskim.evaluate.run import evaluate_manifest

    asked = only(options, EvaluateOptions)
    if "calibrate" in asked:
        asked["calibrate"] = paths_of(asked["calibrate"])
    return evaluate_manifest(data, **asked)


def _studied(data: str, **options: Unpack[CompareOptions]) -> Any:
    """Return the tables of studies."""
    from vidskim.answer.build import as_built
    from vidskim.evaluate.studies.run import run_studies

    asked = as_built({key: value for key, value in options.items() if key != "json"})
    studies, models = words_of(asked.pop("study")), words_of(asked.pop("model", MODEL))
    return run_studies(data, studies=studies, models=models, **asked)
