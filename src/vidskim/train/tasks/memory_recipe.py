"""Everything a training on several clips of each video depends on."""

from dataclasses import dataclass
from typing import Any, Literal

from vidskim.errors import UsageError
from vidskim.model.memory import Infusion, Interaction, Normalization
from vidskim.train.length import check_length
from vidskim.train.loop import Precision
from vidskim.train.multi_iteration import Gradient


@dataclass(frozen=True)
class MemoryRecipe:
    """Everything a training of collaborative memory depends on; also of clips without a memory.

    Attributes:
        data: manifest of whole videos; rows with seconds are trained on that stretch only.
        out: folder of the run; an unfinished run of the same recipe there is resumed.
        task: must be "memory".
        model: name of a backbone, or "hf:" and the id or folder of a video classifier of Hugging
            Face, whose weights it starts from.
        width: channels of its first stage; None for the published size.
        init: checkpoint to start from: a backbone trained on single clips (the paper's first
            stage), or a file of this task; its head is replaced unless it has the same classes.
            None starts everything from scratch.
        interaction: how clips write to the memory, "associative" or "average"; None for no memory.
        infusion: how they read from it, "gating" or "residual".
        reduction: r, of the channels of the memory.
        normalize: what the memory is divided by: "none", "clip" or "video".
        num_clips: N, clips of a video in one step; 1 is the usual training on single clips.
        strategy: "batch_reduction", all clips of a step in one pass, or "multi_iteration", one clip
            of every video at a time in two scans.
        gradient: of "multi_iteration": "full", that of one pass, or "own", see
            `vidskim.train.multi_iteration`.
        alpha: weight of the video-level term of the loss.
        multilabel: several classes may be true at once: sigmoids, mean average precision, and the
            scores of a video are the largest of its clips.
        freeze_backbone: train the memory and the classifier alone.
        batch_norm: "sub_batch", statistics over clips of different videos, and over all processes
            where each holds one video; "synchronized", always over all processes; "whole", over
            all clips of a pass.
        train_split: split to train on.
        test_split: split to measure on.
        num_frames: frames per clip.
        stride: distance between them.
        short_side: frames are resized to this short side before cropping.
        max_short_side: in training, to one drawn between ``short_side`` and this for each clip, and
            the crop is cut as it is; None for one size and crops of several.
        crop_height: height of the network's input.
        crop_width: width of the network's input.
        min_scale: smallest random crop, as a share of the largest; not used with
            ``max_short_side``.
        flip: mirror half of the clips.
        color: variation of brightness, contrast and gains.
        dropout: before the classifier; None for the backbone's own.
        label_smoothing: share of the target spread over all classes.
        batch_size: clips in one pass, of all processes: "batch_reduction" takes
            batch_size / num_clips videos per step, "multi_iteration" batch_size.
        steps: optimizer steps; or give epochs.
        warmup_steps: steps of linear warm-up.
        epochs: instead of steps, how often every video is drawn.
        warmup_epochs: instead of ``warmup_steps``.
        learning_rate: at its highest.
        reference_videos: videos per step that ``learning_rate`` is meant for: it is scaled with the
            videos per step that there are (linear scaling rule). None takes it as it is.
        drop_epochs: epochs after which the learning rate drops, with commas between ("16,20"); None
            for half a cosine.
        drop_factor: what it is multiplied by then.
        body_rate: learning rate of the backbone's stages as a share of the others'.
        weight_decay: for weights, not for norms and biases.
        optimizer: "sgd" or "adamw".
        precision: "32-true"; beside a CUDA device also "bf16-mixed" or "16-mixed".
        devices: processes to start on this machine, one per device; under ``torchrun`` it says how
            many. Started from Python, each runs the calling script again.
        seed: for initialization, order and augmentation.
        test_clips: clips per video, evenly placed, that are related and averaged for measuring.
        save_every: steps between saved states.
        cache: folder for decoded frames.
    """

    data: str
    out: str
    task: Literal["memory"] = "memory"
    model: str = "slow_r50_8x8"
    width: int | None = None
    init: str | None = None
    interaction: Interaction | None = "associative"
    infusion: Infusion = "gating"
    reduction: int = 4
    normalize: Normalization = "video"
    num_clips: int = 4
    strategy: Literal["batch_reduction", "multi_iteration"] = "batch_reduction"
    gradient: Gradient = "full"
    alpha: float = 0.5
    multilabel: bool = False
    freeze_backbone: bool = False
    batch_norm: Literal["sub_batch", "synchronized", "whole"] = "sub_batch"
    train_split: str = "train"
    test_split: str = "test"
    num_frames: int = 8
    stride: int = 8
    short_side: int = 256
    max_short_side: int | None = None
    crop_height: int = 224
    crop_width: int = 224
    min_scale: float = 0.6
    flip: bool = True
    color: float = 0.0
    dropout: float | None = None
    label_smoothing: float = 0.0
    batch_size: int = 64
    steps: int | None = None
    warmup_steps: int = 0
    epochs: float | None = None
    warmup_epochs: float | None = None
    learning_rate: float = 0.1
    reference_videos: int | None = None
    drop_epochs: str | None = None
    drop_factor: float = 0.1
    body_rate: float = 1.0
    weight_decay: float = 1e-4
    optimizer: Literal["sgd", "adamw"] = "sgd"
    precision: Precision = "32-true"
    devices: int = 1
    seed: int = 0
    test_clips: int = 10
    save_every: int = 100
    cache: str = "runs/cache"

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
