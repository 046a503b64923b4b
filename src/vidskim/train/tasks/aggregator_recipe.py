"""Everything a training of FASTER's aggregator depends on."""

from dataclasses import dataclass
from typing import Any, Literal

from vidskim.errors import UsageError
from vidskim.train.loop import Precision


@dataclass(frozen=True)
class FasterRecipe:
    """Everything the second stage of FASTER depends on: the aggregator on frozen encoders.

    Attributes:
        data: manifest of whole videos; of rows with seconds only clips within them are taken.
        out: folder of the run; an unfinished run of the same recipe there is resumed.
        task: must be "faster".
        expensive: checkpoint (or name) of the expensive clip classifier.
        cheap: the same of the cheap one, of as many frames, stride and classes; None where the
            expensive one sees all clips.
        init: FASTER file whose aggregator and adapters are started from, the aggregator's head
            replaced unless it has the same classes; None starts from scratch.
        pattern: which encoder sees which clip, as in "1:7", "all", "first" or "ECC".
        route: "packets", "motion" or "scsampler": the expensive encoder goes to the clips that
            these find most salient, as often as the pattern has it; None for the pattern alone.
        sampler: of route "scsampler", checkpoints of saliency networks with commas between; None
            for the demo's.
        aggregator: "fast_gru", "gru", "lstm", "concat", or "trained_average".
        channels: of the maps that are aggregated; None for those of the expensive encoder.
        reduction: of the gates of "fast_gru", 4 in the paper.
        num_clips: N, clips of a video that are aggregated.
        max_clips: clips of a video whose maps are cached and drawn from; None for all.
        dropout: share of the pooled features that is dropped before the head.
        train_split: split to train on.
        test_split: split to measure on.
        label_smoothing: share of the target spread over all classes.
        batch_size: videos per step.
        steps: optimizer steps.
        warmup_steps: steps of linear warm-up.
        learning_rate: at its highest.
        schedule: "cosine" down to zero, or "step".
        drop_every: steps between two drops of the schedule "step".
        drop_factor: what the learning rate is multiplied by there.
        weight_decay: for weights, not for norms and biases.
        optimizer: "sgd" or "adamw".
        precision: of the aggregator, "32-true"; beside a CUDA device also "bf16-mixed" or
            "16-mixed".
        seed: for initialization, order and clips.
        save_every: steps between saved states.
        cache: folder for feature maps.
    """

    data: str
    out: str
    task: Literal["faster"] = "faster"
    expensive: str = ""
    cheap: str | None = None
    init: str | None = None
    pattern: str = "1:7"
    route: Literal["packets", "motion", "scsampler"] | None = None
    sampler: str | None = None
    aggregator: Literal["fast_gru", "gru", "lstm", "concat", "trained_average"] = "fast_gru"
    channels: int | None = None
    reduction: int = 4
    num_clips: int = 16
    max_clips: int | None = None
    dropout: float = 0.0
    train_split: str = "train"
    test_split: str = "test"
    label_smoothing: float = 0.0
    batch_size: int = 32
    steps: int = 1000
    warmup_steps: int = 50
    learning_rate: float = 0.001
    schedule: Literal["cosine", "step"] = "cosine"
    drop_every: int = 1000
    drop_factor: float = 0.1
    weight_decay: float = 1e-4
    optimizer: Literal["sgd", "adamw"] = "adamw"
    precision: Precision = "32-true"
    seed: int = 0
    save_every: int = 500
    cache: str = "runs/cache"

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
