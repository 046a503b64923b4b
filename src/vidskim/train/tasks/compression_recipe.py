"""Everything a training of selective feature compression depends on."""

from dataclasses import dataclass
from typing import Any, Literal

from vidskim.errors import CheckpointError, UsageError
from vidskim.model.compression import Kernel, Pooling, Scale, Value, read_ratio
from vidskim.train.clip_network import network_in
from vidskim.train.length import check_length
from vidskim.train.loop import Precision


@dataclass(frozen=True)
class SfcRecipe:
    """Everything a training of selective feature compression depends on.

    The backbone is trained before, on clips; here it keeps its weights, statistics and classifier,
    and the compression inside it learns to answer for whole videos.

    Attributes:
        data: manifest of whole videos; rows with seconds are trained on that stretch only.
        out: folder of the run; an unfinished run of the same recipe there is resumed.
        task: must be "sfc".
        model: name of the backbone with published weights, or "hf:" and the id or folder of a video
            classifier of Hugging Face; not needed with ``init``.
        init: checkpoint of the backbone, or a file of this task, whose compression is trained on.
        at: stage after which its map is compressed; None for res3, or the middle.
        ratio: tau, steps of the map to steps that are kept: a number or text such as "4/3".
        pooling: of the queries: "topk", "topk_places", "average" or "max".
        abstraction: whether queries and keys are made of an abstraction of the map.
        value: what is mixed: "head", the map itself, "abstracted", or "projected".
        kernel: of the convolutions of query and key: "1x1x1", "3x1x1" or "3x3x3".
        scale: what their products are divided by: "none", "channels" or "features".
        num_blocks: bottlenecks of the abstraction.
        train_split: split to train on.
        test_split: split to measure on.
        num_frames: frames that go in, in training.
        stride: distance between them; None for that of the backbone's clips.
        segments: 1 trains on one stretch of a video and tests on all of it; more join so many
            stretches, one of each equal part of the video, in training and in testing.
        short_side: frames are resized to this short side before cropping.
        max_short_side: in training, to one drawn between ``short_side`` and this for each video,
            and the crop is cut as it is; None for one size and crops of several.
        crop_height: of the crops in training.
        crop_width: of the crops in training.
        min_scale: smallest random crop, as a share of the largest; not used with
            ``max_short_side``.
        flip: mirror half of the videos.
        color: variation of brightness, contrast and gains.
        test_height: of the whole frames in testing, whatever their shape was; None keeps their
            shape at ``short_side``.
        test_width: of the whole frames in testing.
        label_smoothing: share of the target spread over all classes.
        batch_size: videos per step.
        steps: optimizer steps; or give epochs.
        warmup_steps: steps of linear warm-up.
        epochs: instead of steps, how often every video is drawn.
        warmup_epochs: instead of ``warmup_steps``.
        learning_rate: at its highest.
        reference_videos: videos per step that ``learning_rate`` is meant for (linear scaling rule).
        drop_epochs: epochs after which the learning rate drops, with commas between ("8,12"); None
            for half a cosine.
        drop_factor: what it is multiplied by then.
        weight_decay: for weights, not for norms and biases.
        optimizer: "sgd" or "adamw".
        precision: "32-true"; beside a CUDA device also "bf16-mixed" or "16-mixed".
        seed: for initialization, order and augmentation.
        save_every: steps between saved states.
        cache: folder for decoded frames.
    """

    data: str
    out: str
    task: Literal["sfc"] = "sfc"
    model: str | None = None
    init: str | None = None
    at: str | None = None
    ratio: str | float = "2"
    pooling: Pooling = "topk"
    abstraction: bool = True
    value: Value = "head"
    kernel: Kernel = "3x1x1"
    scale: Scale = "none"
    num_blocks: int = 4
    train_split: str = "train"
    test_split: str = "test"
    num_frames: int = 36
    stride: int | None = None
    segments: int = 1
    short_side: int = 256
    max_short_side: int | None = None
    crop_height: int = 224
    crop_width: int = 273
    min_scale: float = 0.6
    flip: bool = True
    color: float = 0.0
    test_height: int | None = 256
    test_width: int | None = 312
    label_smoothing: float = 0.0
    batch_size: int = 32
    steps: int | None = None
    warmup_steps: int = 0
    epochs: float | None = None
    warmup_epochs: float | None = None
    learning_rate: float = 0.01
    reference_videos: int | None = None
    drop_epochs: str | None = None
    drop_factor: float = 0.1
    weight_decay: float = 1e-5
    optimizer: Literal["sgd", "adamw"] = "sgd"
    precision: Precision = "32-true"
    seed: int = 0
    save_every: int = 100
    cache: str = "runs/cache"

    @property
    def videos_per_step(self) -> int:
        """Videos of one step."""
        return self.batch_size

    @property
    def compression_options(self) -> dict[str, Any]:
        """What the compression is built from, beside its channels."""
        return {
            "ratio": self.ratio,
            "pooling": self.pooling,
            "abstraction": self.abstraction,
            "value": self.value,
            "kernel": self.kernel,
            "scale": self.scale,
            "num_blocks": self.num_blocks,
        }


def check_sfc(recipe: SfcRecipe) -> None:
    """Refuse what cannot be meant together.

    Raises:
        UsageError: neither a backbone nor its checkpoint, a ratio below one, frames that the
            segments cannot share, one of the test sizes alone, sides that cannot be cropped, or see
            `vidskim.train.length.check_length`.
        CheckpointError: a checkpoint of another backbone than the one that is named.
    """
    check_length(recipe)
    read_ratio(recipe.ratio)
    if recipe.model is None and recipe.init is None:
        raise UsageError(
            "init and model are both null; give the backbone's checkpoint as init, or the name of "
            "one as model"
        )
    held = None if recipe.model is None or recipe.init is None else network_in(recipe.init)
    if held not in (None, recipe.model):
        raise CheckpointError(
            f"{recipe.init}: holds {held}, not {recipe.model}: give model: {held}, or model: null"
        )
    if recipe.num_frames % recipe.segments:
        raise UsageError(
            f"{recipe.num_frames} frames cannot be shared by {recipe.segments} segments: give "
            f"num_frames {recipe.segments * (recipe.num_frames // recipe.segments + 1)}"
        )
    if (recipe.test_height is None) != (recipe.test_width is None):
        raise UsageError("give both test_height and test_width, or null for both")
    if recipe.max_short_side is None:
        return
    if not recipe.crop_height <= recipe.short_side <= recipe.max_short_side:
        raise UsageError(
            f"crop_height {recipe.crop_height} <= short_side {recipe.short_side} <= max_short_side "
            f"{recipe.max_short_side} must hold; or give max_short_side null"
        )
