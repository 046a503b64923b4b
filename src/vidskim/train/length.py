"""How long a training on whole videos takes, and how its learning rate falls, by its recipe."""

from vidskim.errors import UsageError
from vidskim.train.keys import LengthKeys, VideoKeys
from vidskim.train.optim import RateSchedule, scaled_learning_rate


def check_length(recipe: LengthKeys) -> None:
    """Refuse lengths that cannot be meant together.

    Raises:
        UsageError: steps beside epochs or neither, drops that are no rising numbers, or a warm-up
            as long as the training.
    """
    if recipe.steps is None and recipe.epochs is None:
        raise UsageError("steps and epochs are both null; give either steps or epochs")
    if recipe.steps is not None and recipe.epochs is not None:
        raise UsageError(
            f"steps is {recipe.steps}, epochs is {recipe.epochs:g}; give either steps or epochs, "
            "and null for the other"
        )
    if recipe.steps is not None and (recipe.warmup_epochs, recipe.drop_epochs) != (None, None):
        raise UsageError(
            "warmup_epochs and drop_epochs go with epochs, not with steps; give null for both, or "
            "epochs and null for steps"
        )
    if recipe.epochs is not None and recipe.warmup_steps:
        raise UsageError(
            f"warmup_steps is {recipe.warmup_steps}, but warmup_steps goes with steps and not with "
            "epochs; give 0, and warmup_epochs for a warm-up"
        )
    if recipe.epochs is not None:
        drops = read_drops(recipe.drop_epochs)
        if drops and drops[-1] >= recipe.epochs:
            raise UsageError(
                f"drop_epochs is {recipe.drop_epochs!r}, which is not all before epoch "
                f"{recipe.epochs:g}; give earlier ones, or more epochs"
            )
        if (recipe.warmup_epochs or 0) >= recipe.epochs:
            raise UsageError(
                f"warmup_epochs is {recipe.warmup_epochs:g} of {recipe.epochs:g} epochs; give fewer"
            )


def schedule_of(recipe: VideoKeys, *, num_videos: int) -> RateSchedule:
    """Return the learning rate of every step.

    Args:
        recipe: what to do.
        num_videos: of an epoch.
    """
    videos = recipe.videos_per_step
    rate = recipe.learning_rate
    if recipe.reference_videos is not None:
        rate = scaled_learning_rate(rate, batch=videos, reference=recipe.reference_videos)
    if recipe.epochs is None:
        assert recipe.steps is not None
        return RateSchedule(rate, recipe.steps, recipe.warmup_steps)
    per_epoch = num_videos / videos
    return RateSchedule(
        rate,
        max(1, round(recipe.epochs * per_epoch)),
        round((recipe.warmup_epochs or 0) * per_epoch),
        drop_factor=recipe.drop_factor,
        drops=tuple(round(epoch * per_epoch) for epoch in read_drops(recipe.drop_epochs)),
    )


def read_drops(text: str | None) -> tuple[float, ...]:
    """Read epochs with commas between.

    Raises:
        UsageError: they are no rising numbers above zero.
    """
    if text is None:
        return ()
    try:
        drops = tuple(float(part) for part in text.split(","))
    except ValueError:
        drops = (-1.0,)
    if list(drops) != sorted(set(drops)) or not all(0 < drop < 1e6 for drop in drops):
        raise UsageError(
            f"drop_epochs is {text!r}; give rising numbers above 0 with commas between, as in "
            "'16,20', or null for half a cosine"
        )
    return drops
