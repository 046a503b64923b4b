"""The keys that several tasks share, declared once; a task's own stand in its recipe."""

from typing import Annotated, Literal

from vidskim.train.key import Key, recipe
from vidskim.train.loop import Precision


@recipe
class DataKeys:
    """What every task reads and writes."""

    data: Annotated[
        str,
        Key(
            "manifest (CSV), or a folder with one folder per class; of rows with seconds that"
            " stretch only",
            wanted="a manifest, or a folder with one folder per class",
            is_file=True,
        ),
    ]
    out: Annotated[
        str,
        Key(
            "folder of the run; an unfinished run of the same recipe there is resumed",
            wanted="the folder of the run",
        ),
    ]
    train_split: Annotated[str, Key("split to train on", wanted="the name of a split")] = "train"
    test_split: Annotated[str, Key("split to measure on", wanted="the name of a split")] = "test"
    precision: Annotated[
        Precision, Key('"32-true"; beside a CUDA device also "bf16-mixed" or "16-mixed"')
    ] = "32-true"
    seed: Annotated[int, Key("for initialization, order and augmentation", low=0, high=2**62)] = 0
    save_every: Annotated[int, Key("steps between saved states", low=1, high=2**62)] = 100
    cache: Annotated[
        str, Key("folder for decoded frames, inputs, maps and answers", wanted="a folder")
    ] = "runs/cache"


@recipe
class OptimKeys:
    """How a step is taken."""

    batch_size: Annotated[
        int,
        Key("examples per step: clips, inputs or videos, as the task has it", low=1, high=2**20),
    ] = 32
    learning_rate: Annotated[float, Key("learning rate at its highest", low=1e-12, high=10**6)] = (
        0.05
    )
    weight_decay: Annotated[
        float, Key("for weights, not for norms and biases", low=0, high=10**6)
    ] = 1e-4
    optimizer: Annotated[Literal["sgd", "adamw"], Key('"sgd" or "adamw"')] = "sgd"


@recipe
class FactorKeys:
    """How much the learning rate falls."""

    drop_factor: Annotated[
        float, Key("what the learning rate is multiplied by at each drop", low=0, high=1)
    ] = 0.1


@recipe
class WarmupKeys:
    """How the learning rate rises."""

    warmup_steps: Annotated[int, Key("steps of linear warm-up", low=0, high=2**62)] = 50


@recipe
class StepKeys(WarmupKeys):
    """How long a training takes, in steps."""

    steps: Annotated[int, Key("optimizer steps", low=1, high=2**62)] = 1000


@recipe
class DropKeys(FactorKeys):
    """How the learning rate falls in a training of so many steps."""

    schedule: Annotated[Literal["cosine", "step"], Key('"cosine" down to zero, or "step"')] = (
        "cosine"
    )
    drop_every: Annotated[
        int, Key('steps between two drops of the schedule "step"', low=1, high=2**62)
    ] = 1000


@recipe
class LengthKeys(FactorKeys, WarmupKeys):
    """How long a training on whole videos takes: so many steps, or epochs."""

    steps: Annotated[int | None, Key("optimizer steps; or give epochs", low=1, high=2**62)] = None
    warmup_steps: int = 0
    epochs: Annotated[
        float | None, Key("instead of steps, how often every video is drawn", low=1e-06, high=10**6)
    ] = None
    warmup_epochs: Annotated[float | None, Key("instead of warmup_steps", low=0, high=10**6)] = None
    reference_videos: Annotated[
        int | None,
        Key(
            "videos per step that learning_rate is meant for: it is scaled with the videos "
            "per step that there are (linear scaling rule); null takes it as it is",
            low=1,
            high=2**20,
        ),
    ] = None
    drop_epochs: Annotated[
        str | None,
        Key(
            'epochs after which the learning rate drops, with commas between ("16,20"); null '
            "for half a cosine",
            wanted="rising numbers with commas between, or null for half a cosine",
        ),
    ] = None


@recipe
class SmoothingKeys:
    """What a class is to be learned as."""

    label_smoothing: Annotated[
        float, Key("share of the target spread over all classes", low=0, high=1)
    ] = 0.0


@recipe
class CropKeys:
    """How frames are cropped and varied in training."""

    short_side: Annotated[
        int, Key("frames are resized to this short side before cropping", low=1, high=2**12)
    ] = 256
    max_short_side: Annotated[
        int | None,
        Key(
            "in training, to one drawn between short_side and this, and the crop is cut as it"
            " is; null for one size and crops of several",
            low=1,
            high=2**12,
        ),
    ] = None
    crop_height: Annotated[int, Key("height of the crops in training", low=1, high=2**12)] = 224
    crop_width: Annotated[int, Key("width of the crops in training", low=1, high=2**12)] = 224
    min_scale: Annotated[
        float,
        Key(
            "smallest random crop, as a share of the largest; not used with max_short_side",
            low=0.01,
            high=1,
        ),
    ] = 0.6
    flip: Annotated[bool, Key("mirror half of the clips")] = True
    color: Annotated[float, Key("variation of brightness, contrast and gains", low=0, high=1)] = 0.0


@recipe
class ClipKeys(CropKeys):
    """The network of a task on clips, and its clips."""

    model: Annotated[
        str,
        Key(
            'name of a backbone, or "hf:" and the id or folder of a video classifier of '
            "Hugging Face, whose weights it starts from",
            wanted="the name of a network",
        ),
    ] = "r2plus1d_18"
    width: Annotated[
        int | None,
        Key("channels of its first stage; null for the published size", low=1, high=2**12),
    ] = None
    init: Annotated[
        str | None,
        Key(
            "checkpoint to start from, its head replaced unless it has the same classes; null"
            " starts from scratch",
            wanted="a checkpoint to start from, or null to start from scratch",
            is_file=True,
        ),
    ] = None
    num_frames: Annotated[int, Key("frames per clip", low=1, high=2**12)] = 16
    stride: Annotated[int, Key("distance between them", low=1, high=2**12)] = 1
    test_clips: Annotated[
        int,
        Key("clips per video, evenly placed, that are averaged for measuring", low=1, high=2**12),
    ] = 10


@recipe
class RankKeys:
    """What a saliency network learns of the clips of a video."""

    num_frames: Annotated[
        int | None,
        Key("frames per clip of the grid; null for the classifier's, else 16", low=1, high=2**12),
    ] = None
    stride: Annotated[
        int | None,
        Key("distance between them; null for the classifier's, else 1", low=1, high=2**12),
    ] = None
    classifier: Annotated[
        str | None,
        Key(
            'clip classifier whose answers are the labels of "sal_cl" and "sal_rank"; with '
            '"ac" it is only compared with',
            wanted="the checkpoint of a clip classifier, or null to do without",
            is_file=True,
        ),
    ] = None
    oracle_k: Annotated[
        int,
        Key(
            'clips of a video that count as the oracle\'s choice in "sal_cl", at most half',
            low=1,
            high=2**20,
        ),
    ] = 10
    balance: Annotated[
        bool, Key('draw as many clips of the oracle\'s choice as others in "sal_cl"')
    ] = True
    margin: Annotated[float, Key('of "sal_rank", in units of the score', low=1e-06, high=1)] = 0.1
    clips_per_video: Annotated[
        int,
        Key(
            'clips of one video that are drawn together in "sal_cl" and "sal_rank"',
            low=2,
            high=2**12,
        ),
    ] = 8
    inputs_per_clip: Annotated[
        int, Key("inputs of a clip and source that are drawn and averaged there", low=1, high=2**12)
    ] = 4
    flip: Annotated[
        bool,
        Key("mirror half of the visual inputs; wrong wherever left and right tell classes apart"),
    ] = False
    min_scale: Annotated[
        float,
        Key("smallest random crop of visual inputs, as a share of their sides", low=0.01, high=1),
    ] = 1.0
    time_shift: Annotated[
        float, Key("audio windows are shifted by up to this share of their length", low=0, high=1)
    ] = 0.0
    frequency_mask: Annotated[
        float, Key("up to this share of the mel bands is silenced", low=0, high=1)
    ] = 0.0
    moments: Annotated[
        str | None,
        Key(
            "manifest of the moments that matter, to measure against; null to do without",
            wanted="a manifest of moments, or null to do without",
            is_file=True,
        ),
    ] = None
    test_k: Annotated[int, Key("clips chosen where the sampler is measured", low=1, high=2**20)] = (
        10
    )


class VideoKeys(LengthKeys, OptimKeys):
    """What a training on whole videos says of its length."""

    @property
    def videos_per_step(self) -> int:
        """Videos of one step, of all processes."""
        return self.batch_size
