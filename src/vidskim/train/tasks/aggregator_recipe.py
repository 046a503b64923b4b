"""Everything a training of FASTER's aggregator depends on."""

from typing import Annotated, Any, Literal

from vidskim.errors import UsageError
from vidskim.train.key import Key, recipe
from vidskim.train.keys import DataKeys, DropKeys, OptimKeys, SmoothingKeys, StepKeys


@recipe
class FasterRecipe(DataKeys, StepKeys, DropKeys, OptimKeys, SmoothingKeys):
    """Everything the second stage of FASTER depends on: the aggregator on frozen encoders."""

    task: Literal["faster"] = "faster"
    expensive: Annotated[
        str,
        Key(
            "checkpoint (or name) of the expensive clip classifier",
            wanted="the checkpoint of a clip classifier",
            is_file=True,
        ),
    ] = ""
    cheap: Annotated[
        str | None,
        Key(
            "the same of the cheap one, of as many frames, stride and classes; null where the"
            " expensive one sees all clips",
            wanted="the checkpoint of a clip classifier, or null to do without",
            is_file=True,
        ),
    ] = None
    init: Annotated[
        str | None,
        Key(
            "FASTER file whose aggregator and adapters are started from, the aggregator's "
            "head replaced unless it has the same classes; null starts from scratch",
            wanted="a checkpoint to start from, or null to start from scratch",
            is_file=True,
        ),
    ] = None
    pattern: Annotated[
        str,
        Key(
            'which encoder sees which clip, as in "1:7", "all", "first" or "ECC"',
            wanted="which encoder sees which clip, as in 1:7",
        ),
    ] = "1:7"
    route: Annotated[
        Literal["packets", "motion", "scsampler"] | None,
        Key(
            '"packets", "motion" or "scsampler": the expensive encoder goes to the clips that'
            " these find most salient, as often as the pattern has it; null for the pattern "
            "alone"
        ),
    ] = None
    sampler: Annotated[
        str | None,
        Key(
            'of route "scsampler", checkpoints of saliency networks with commas between; null'
            " for the demo's",
            wanted="checkpoints of saliency networks with commas between, or null for the demo's",
            is_file=True,
            several=True,
        ),
    ] = None
    aggregator: Annotated[
        Literal["fast_gru", "gru", "lstm", "concat", "trained_average"],
        Key('"fast_gru", "gru", "lstm", "concat", or "trained_average"'),
    ] = "fast_gru"
    channels: Annotated[
        int | None,
        Key(
            "of the maps that are aggregated; null for those of the expensive encoder",
            low=1,
            high=2**16,
        ),
    ] = None
    reduction: Annotated[
        int, Key('of the gates of "fast_gru", 4 in the paper', low=1, high=2**16)
    ] = 4
    num_clips: Annotated[int, Key("N, clips of a video that are aggregated", low=1, high=2**12)] = (
        16
    )
    max_clips: Annotated[
        int | None,
        Key(
            "clips of a video whose maps are cached and drawn from; null for all", low=1, high=2**20
        ),
    ] = None
    dropout: Annotated[
        float, Key("share of the pooled features that is dropped before the head", low=0, high=0.99)
    ] = 0.0
    learning_rate: float = 0.001
    optimizer: Literal["sgd", "adamw"] = "adamw"
    save_every: int = 500

    @property
    def options(self) -> dict[str, Any]:
        """The aggregator's own options."""
        gates = {"reduction": self.reduction} if self.aggregator == "fast_gru" else {}
        return {"dropout": self.dropout, **gates}


def check_faster(recipe: FasterRecipe) -> None:
    """Refuse a recipe whose parts do not fit each other.

    Raises:
        UsageError: no expensive encoder, a sampler that routes nothing, or fewer cached clips than
            are drawn.
    """
    if not recipe.expensive.strip():
        raise UsageError("expensive is empty; give the checkpoint of a clip classifier")
    if recipe.sampler is not None and recipe.route != "scsampler":
        raise UsageError("a sampler is for route 'scsampler'; give that route, or null for sampler")
    if recipe.max_clips is not None and recipe.max_clips < recipe.num_clips:
        raise UsageError(
            f"max_clips is {recipe.max_clips}, but num_clips {recipe.num_clips} of them are drawn; "
            "cache at least as many, or null for all"
        )
