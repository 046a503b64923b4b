"""A recognizer from loose parts, as tests of one part want it."""

from typing import Any

from vidskim import Card, Model, Recognizer, Runtime
from vidskim.model.model import as_model


def recognizer_for(
    first: Any,
    *,
    look: Any,
    others: Any = (),
    schedule: Any = None,
    origin: Any = None,
    join: Any = (1,),
    is_multilabel: bool = False,
    **more: Any,
) -> Recognizer:
    """A recognizer of encoders and what is around them; what is left is its runtime's."""
    names = ("adapters", "context", "aggregator")
    parts = {name: more.pop(name) for name in names if name in more}
    if "num_crops" in more:
        more["crops"] = more.pop("num_crops")
    model = first
    if not isinstance(first, Model) and (others or parts or is_multilabel or join != (1,)):
        card = Card(join=join, is_multilabel=is_multilabel)
        model = Model([first, *others], card=card, **parts)
    model = as_model(model)
    if origin is not None:
        model.origin = origin
    return Recognizer(model, look=look, schedule=schedule, runtime=Runtime(**more))
