"""Table 6: architectures of the audio sampler, finetuned or one layer on frozen activations."""

from vidskim.evaluate.studies.entry import MissingError, Result
from vidskim.evaluate.studies.lists import compare_mixes
from vidskim.evaluate.studies.mix import Mix
from vidskim.evaluate.studies.networks import Trained
from vidskim.evaluate.studies.setting import Setting


def study(setting: Setting) -> Result:
    """Compare all networks that listen, by sound alone.

    Raises:
        MissingError: fewer than two.
    """
    heard = [t for t in setting.networks if t.kind == "audio" and not t.saliency.joint]
    if len(heard) < 2:
        raise MissingError(
            f"{len(heard)} network(s) that listen: train others with a recipe of task 'saliency', "
            "feature audio, network vggish or l3_audio, and 'init' with 'freeze' conv4_2, pool4 or "
            "fc1"
        )
    names = [_name_of(t) for t in heard]
    lines = {
        name if names.count(name) == 1 else f"{name} ({t.name})": Mix(visual=(), audio=t)
        for name, t in zip(names, heard)
    }
    return compare_mixes(
        setting,
        {classifier.name: lines for classifier in setting.classifiers},
        name="audio",
        title="Architectures of the audio sampler",
        beside="Table 6 (there all are trained with SAL-RANK)",
    )


def _name_of(trained: Trained) -> str:
    how = "finetuned" if trained.is_finetuned else "from scratch:"
    if trained.frozen:
        how = f"FC on {trained.frozen} of"
    return f"{how} {trained.architecture} {trained.objective}"
