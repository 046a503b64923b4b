"""Everything a training of selective feature compression depends on."""

from typing import Annotated, Any, Literal

from vidskim.errors import CheckpointError, UsageError
from vidskim.model.compression import Kernel, Pooling, Scale, Value, read_ratio
from vidskim.train.clip_network import network_in
from vidskim.train.key import Key, recipe
from vidskim.train.keys import CropKeys, DataKeys, SmoothingKeys, VideoKeys
from vidskim.train.length import check_length


@recipe
class SfcRecipe(DataKeys, VideoKeys, SmoothingKeys, CropKeys):
    """Everything a training of selective feature compression depends on.

    The backbone is trained before, on clips; here it keeps its weights, statistics and classifier,
    and the compression inside it learns to answer for whole videos.
    """

    task: Literal["sfc"] = "sfc"
    model: Annotated[
        str | None,
        Key(
            'name of the backbone with published weights, or "hf:" and the id or folder of a '
            "video classifier of Hugging Face; not needed with init",
            wanted="the name of a backbone, or null beside its checkpoint as init",
        ),
    ] = None
    init: Annotated[
        str | None,
        Key(
            "checkpoint of the backbone, or a file of this task, whose compression is trained on",
            wanted="the checkpoint of a backbone, or null beside the name of one as model",
            is_file=True,
        ),
    ] = None
    at: Annotated[
        str | None,
        Key(
            "stage after which its map is compressed; null for res3, or the middle",
            wanted="the name of a stage, or null for the usual one",
        ),
    ] = None
    ratio: Annotated[
        str | float,
        Key('tau, steps of the map to steps that are kept: a number or text such as "4/3"'),
    ] = "2"
    pooling: Annotated[
        Pooling, Key('of the queries: "topk", "topk_places", "average" or "max"')
    ] = "topk"
    abstraction: Annotated[
        bool, Key("whether queries and keys are made of an abstraction of the map")
    ] = True
    value: Annotated[
        Value, Key('what is mixed: "head", the map itself, "abstracted", or "projected"')
    ] = "head"
    kernel: Annotated[
        Kernel, Key('of the convolutions of query and key: "1x1x1", "3x1x1" or "3x3x3"')
    ] = "3x1x1"
    scale: Annotated[
        Scale, Key('what their products are divided by: "none", "channels" or "features"')
    ] = "none"
    num_blocks: Annotated[int, Key("bottlenecks of the abstraction", low=1, high=64)] = 4
    num_frames: Annotated[int, Key("frames that go in, in training", low=1, high=2**12)] = 36
    stride: Annotated[
        int | None,
        Key("distance between them; null for that of the backbone's clips", low=1, high=2**12),
    ] = None
    segments: Annotated[
        int,
        Key(
            "1 trains on one stretch of a video and tests on all of it; more join so many "
            "stretches, one of each equal part of the video, in training and in testing",
            low=1,
            high=2**12,
        ),
    ] = 1
    test_height: Annotated[
        int | None,
        Key(
            "of the whole frames in testing, whatever their shape was; null keeps their shape"
            " at short_side",
            low=1,
            high=2**12,
        ),
    ] = 256
    test_width: Annotated[int | None, Key("of the whole frames in testing", low=1, high=2**12)] = (
        312
    )
    crop_width: int = 273
    learning_rate: float = 0.01
    weight_decay: float = 1e-05

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
