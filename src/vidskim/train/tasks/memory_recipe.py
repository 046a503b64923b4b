"""Everything a training on several clips of each video depends on."""

from typing import Annotated, Any, Literal

from vidskim.errors import UsageError
from vidskim.model.memory import Infusion, Interaction, Normalization
from vidskim.train.key import Key, recipe
from vidskim.train.keys import ClipKeys, DataKeys, SmoothingKeys, VideoKeys
from vidskim.train.length import check_length
from vidskim.train.multi_iteration import Gradient


@recipe
class MemoryRecipe(DataKeys, VideoKeys, SmoothingKeys, ClipKeys):
    """Everything a training of collaborative memory depends on; also of clips without a memory."""

    task: Literal["memory"] = "memory"
    interaction: Annotated[
        Interaction | None,
        Key('how clips write to the memory, "associative" or "average"; null for no memory'),
    ] = "associative"
    infusion: Annotated[Infusion, Key('how they read from it, "gating" or "residual"')] = "gating"
    reduction: Annotated[int, Key("r, of the channels of the memory", low=1, high=2**16)] = 4
    normalize: Annotated[
        Normalization, Key('what the memory is divided by: "none", "clip" or "video"')
    ] = "video"
    num_clips: Annotated[
        int,
        Key(
            "N, clips of a video in one step; 1 is the usual training on single clips",
            low=1,
            high=2**12,
        ),
    ] = 4
    strategy: Annotated[
        Literal["batch_reduction", "multi_iteration"],
        Key(
            '"batch_reduction", all clips of a step in one pass, or "multi_iteration", one '
            "clip of every video at a time in two scans"
        ),
    ] = "batch_reduction"
    gradient: Annotated[
        Gradient,
        Key(
            'of "multi_iteration": "full", that of one pass, or "own", see '
            "`vidskim.train.multi_iteration`"
        ),
    ] = "full"
    alpha: Annotated[float, Key("weight of the video-level term of the loss", low=0, high=1)] = 0.5
    multilabel: Annotated[
        bool,
        Key(
            "several classes may be true at once: sigmoids, mean average precision, and the "
            "scores of a video are the largest of its clips"
        ),
    ] = False
    freeze_backbone: Annotated[bool, Key("train the memory and the classifier alone")] = False
    batch_norm: Annotated[
        Literal["sub_batch", "synchronized", "whole"],
        Key(
            '"sub_batch", statistics over clips of different videos, and over all processes '
            'where each holds one video; "synchronized", always over all processes; "whole", '
            "over all clips of a pass"
        ),
    ] = "sub_batch"
    dropout: Annotated[
        float | None, Key("before the classifier; null for the backbone's own", low=0, high=0.99)
    ] = None
    batch_size: Annotated[
        int,
        Key(
            'clips in one pass, of all processes: "batch_reduction" takes batch_size / '
            'num_clips videos per step, "multi_iteration" batch_size',
            low=1,
            high=2**20,
        ),
    ] = 64
    body_rate: Annotated[
        float,
        Key("learning rate of the backbone's stages as a share of the others'", low=0, high=1000),
    ] = 1.0
    devices: Annotated[
        int,
        Key(
            "processes to start on this machine, one per device; under torchrun it says how "
            "many. Started from Python, each runs the calling script again.",
            low=1,
            high=2**10,
        ),
    ] = 1
    model: str = "slow_r50_8x8"
    num_frames: int = 8
    stride: int = 8
    learning_rate: float = 0.1

    @property
    def videos_per_step(self) -> int:
        """Videos of one step, of all processes."""
        if self.strategy == "multi_iteration":
            return self.batch_size
        return self.batch_size // self.num_clips

    @property
    def memory_options(self) -> dict[str, Any]:
        """What the memory is built from, beside its channels."""
        return {
            "interaction": self.interaction,
            "infusion": self.infusion,
            "reduction": self.reduction,
            "normalize": self.normalize,
        }


def check_memory(recipe: MemoryRecipe) -> None:
    """Refuse what cannot be meant together.

    Raises:
        UsageError: a pass that holds no whole video, a norm over all clips of a pass where a pass
            has one clip of every video, or see `check_length`.
    """
    if recipe.videos_per_step < 1:
        raise UsageError(
            f"a pass of batch_size {recipe.batch_size} clips holds no video of num_clips "
            f"{recipe.num_clips}: give a batch_size of at least {recipe.num_clips}, or strategy "
            "multi_iteration, which has one clip of every video in a pass"
        )
    check_length(recipe)
    if recipe.batch_norm == "whole" and recipe.strategy == "multi_iteration":
        raise UsageError(
            "batch_norm whole needs all clips in one pass: give strategy batch_reduction, or "
            "batch_norm sub_batch"
        )
    if recipe.multilabel and recipe.label_smoothing:
        raise UsageError(
            f"label_smoothing is {recipe.label_smoothing:g}, but goes with one label per video; "
            "give 0 beside multilabel true"
        )
