"""Models of every kind to a file and back; files of version 1; every damage is one clear error."""

import json
import random
from copy import deepcopy

import pytest
import torch
import version1
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from tinynets import (
    tiny_cheap,
    tiny_classifier,
    tiny_compressed,
    tiny_faster,
    tiny_memory,
    tiny_multi_clip,
)
from vidskim import Card, Model, load_model, save_model, wrap
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import load_backbone, save_backbone
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.clips.transform import Transform
from vidskim.errors import CheckpointError, UsageError
from vidskim.model import file as module
from vidskim.model.adapter import Adapter, make_adapters
from vidskim.model.aggregate import Average, Gru, TemporalMax, create_aggregator
from vidskim.model.file import read_metadata
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.presets import faster, memory, sfc, single


def combined(*, compressed: bool) -> Model:
    """FASTER with a memory, its expensive encoder compressed or not."""
    torch.manual_seed(1)
    first = tiny_compressed() if compressed else tiny_classifier()
    join = (2, 1) if compressed else (1, 1)
    encoders = [first, tiny_cheap()]
    return Model(
        encoders,
        adapters=make_adapters(encoders, channels=32, num_clips=join),
        context=CollaborativeMemory(32),
        aggregator=create_aggregator("gru", channels=32, num_classes=4),
        card=Card("faster", "1:1", join, 7),
    ).eval()


MODELS = {
    "bare": lambda: single(tiny_classifier()),
    "faster": lambda: tiny_faster(),
    "two encoders, averaged": lambda: Model(
        [tiny_classifier(), tiny_cheap()], card=Card("faster", "1:2", (1, 1))
    ),
    "memory": lambda: tiny_memory(),
    "several labels": lambda: tiny_memory(interaction=None, is_multilabel=True),
    "sfc": lambda: sfc(tiny_compressed()),
    "stretches with a memory": lambda: Model(
        [tiny_compressed()], context=CollaborativeMemory(32), card=Card("memory", join=(3,))
    ),
    "faster and memory": lambda: combined(compressed=False),
    "everything": lambda: combined(compressed=True),
}


def opened(path):
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["vidskim"])
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118


def written(path, tensors, header):
    save_file(tensors, path, metadata={"vidskim": json.dumps(header)})
    return path


@torch.no_grad()
def answer(model: Model) -> torch.Tensor:
    """Logits of three runs, the first and the last of the first encoder."""
    generator = torch.Generator().manual_seed(5)
    places = [0, len(model.networks) - 1, 0]
    maps = []
    for place in places:
        encoder = model.networks[place]
        shape = encoder.clip.joined(model.card.join[place] or 3).input_shape
        x = encoder.features(torch.randn(shape, generator=generator))
        maps.append(model.adapters[place](x)[:, None])
    if model.context is not None:
        written = None
        for one in maps:
            written = model.context.write(one, written)
        maps = [model.context.read(one, written) for one in maps]
    state = model.aggregator.start()
    for one in maps:
        state = model.aggregator.step(state, one)
    return model.aggregator.read(state)


@pytest.mark.parametrize("kind", MODELS)
def test_a_file_gives_the_model_back_bit_for_bit(tmp_path, kind):
    model = MODELS[kind]().eval()
    path = tmp_path / "deep" / "m.safetensors"
    save_model(model, path, metadata={"note": kind})
    again = load_model(path)
    assert torch.equal(answer(again), answer(model))
    assert again.card == model.card
    assert (again.classes, again.clip) == (model.classes, model.clip)
    assert set(again.state_dict()) == set(model.state_dict())
    assert not again.training
    assert read_metadata(path) == {"note": kind}
    assert opened(path)[1]["version"] == (1 if kind == "bare" else 2)
    if kind == "bare":
        assert torch.equal(load_backbone(checkpoint=path).fc.weight, model.networks[0].fc.weight)
    else:
        with pytest.raises(CheckpointError, match="open it with load_model"):
            load_backbone(checkpoint=path)


VERSION_1 = {
    "faster": (version1.write_faster, tiny_faster, lambda model: model),
    "memory": (version1.write_memory, tiny_multi_clip, lambda model: model.published().eval()),
    "several labels": (
        version1.write_memory,
        lambda: tiny_multi_clip(interaction=None, is_multilabel=True),
        lambda model: model.published().eval(),
    ),
    "sfc": (version1.write_compressed, tiny_compressed, lambda model: sfc(model).eval()),
    "bare": (save_backbone, tiny_classifier, lambda network: single(network)),
}


@pytest.mark.parametrize("kind", VERSION_1)
def test_a_file_of_version_1_is_the_same_model(tmp_path, kind):
    write, make, as_model = VERSION_1[kind]
    made = make()
    write(made, tmp_path / "m.safetensors", metadata={"a": 1})
    again, model = load_model(tmp_path / "m.safetensors"), as_model(made)
    assert torch.equal(answer(again), answer(model))
    assert (again.card, again.classes) == (model.card, model.classes)
    save_model(again, tmp_path / "v2.safetensors")
    assert torch.equal(answer(load_model(tmp_path / "v2.safetensors")), answer(model))


def test_a_header_is_read_once(tmp_path, monkeypatch):
    save_model(combined(compressed=True), tmp_path / "m.safetensors")
    reads = []
    read = module.read_raw
    monkeypatch.setattr(module, "read_raw", lambda path: reads.append(path) or read(path))
    load_model(tmp_path / "m.safetensors")
    assert len(reads) == 1


def paths_in(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths_in(inner, (*path, key))


def refusal(path) -> str | None:
    """What a file is refused with; None where it is read."""
    try:
        load_model(path)
    except CheckpointError as error:
        return str(error)
    return None


WRONG = (None, "x", "1:7:3", -1, 0, 3.5, 10**30, [], {}, [1, 2], True, float("nan"), ["a"] * 4)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", ["faster", "memory", "sfc", "everything"])
def test_a_damaged_header_is_one_clear_error_or_another_model(tmp_path, kind, version):
    """Whatever stands anywhere in it: nothing but a `CheckpointError` of one line comes out."""
    path = tmp_path / "m.safetensors"
    if version == 2:
        save_model(MODELS[kind](), path)
    elif kind in VERSION_1:
        write, make, _ = VERSION_1[kind]
        write(make(), path)
    else:
        pytest.skip("version 1 had no such model")
    tensors, header = opened(path)
    chance = random.Random(0)
    places = [p for p in paths_in(header) if p and p[0] != "metadata"]
    errors = 0
    for place in places:
        for value in ("gone", *chance.sample(WRONG, 2)):
            changed = deepcopy(header)
            holder = changed
            for key in place[:-1]:
                holder = holder[key]
            if value == "gone" and isinstance(holder, dict):
                del holder[place[-1]]
            else:
                holder[place[-1]] = value
            if changed == header:
                continue
            written(path, tensors, changed)
            reason = refusal(path)
            if reason is not None:
                errors += 1
                assert reason.startswith(f"{path}: "), (place, value)
                assert "\n" not in reason
                assert len(reason) < 1000
    assert errors > len(places)


@pytest.mark.parametrize("what", ["gone", "more", "shape", "nan", "integers"])
@pytest.mark.parametrize("kind", ["faster", "memory", "sfc", "everything"])
def test_damaged_tensors(tmp_path, kind, what):
    path = tmp_path / "m.safetensors"
    save_model(MODELS[kind](), path)
    tensors, header = opened(path)
    parts = {name.split(".")[0] for name in tensors}
    for part in parts:
        changed = dict(tensors)
        name = next(n for n in sorted(tensors) if n.startswith(part) and n.endswith("weight"))
        if what == "gone":
            del changed[name]
        elif what == "more":
            changed[f"{part}.0.more"] = torch.zeros(2)
        elif what == "shape":
            changed[name] = tensors[name][..., :0]
        elif what == "nan":
            changed[name] = torch.full_like(tensors[name], float("nan"))
        else:
            changed[name] = tensors[name].to(torch.int64)
        with pytest.raises(CheckpointError, match=r"m\.safetensors: ") as raised:
            load_model(written(path, changed, header))
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5, 0.999])
def test_a_truncated_file_is_one_clear_error(tmp_path, share):
    save_model(tiny_faster(), tmp_path / "m.safetensors")
    content = (tmp_path / "m.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[: int(share * len(content))])
    for read in (load_model, read_metadata):
        with pytest.raises(CheckpointError, match=r"cut\.safetensors: ") as raised:
            read(path)
        assert "\n" not in str(raised.value)


def test_a_file_of_a_later_version_says_so(tmp_path):
    save_model(tiny_faster(), tmp_path / "m.safetensors")
    tensors, header = opened(tmp_path / "m.safetensors")
    path = written(tmp_path / "m.safetensors", tensors, {**header, "version": 3})
    with pytest.raises(CheckpointError, match="newer than this one: update vidskim"):
        load_model(path)


def test_what_cannot_be_written_is_refused(tmp_path):
    model = tiny_faster()
    with pytest.raises(UsageError, match="plain JSON"):
        save_model(model, tmp_path / "m.safetensors", metadata={"recipe": {1}})
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_model(model, tmp_path / "file" / "m.safetensors")
    model.adapters[0] = nn.Conv3d(32, 32, 1)
    with pytest.raises(UsageError, match="no adapter Conv3d of your own"):
        save_model(model, tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


def test_half_precision_files_become_float32(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(tiny_faster(), path)
    tensors, header = opened(path)
    halved = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    model = load_model(written(path, halved, header))
    assert {p.dtype for p in model.parameters()} == {torch.float32}


class Plain(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Conv3d(3, 8, 3, stride=2)
        self.head = nn.Linear(8, 2)

    def pooled(self, maps: torch.Tensor) -> torch.Tensor:
        return self.head(maps.mean((2, 3, 4)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pooled(self.body(x).relu())


WRAPPED = {
    "name": "mine",
    "clip": ClipSpec(8, 1, (16, 16)),
    "transform": Transform(short_side=16, crop=(16, 16)),
    "classes": ("a", "b"),
    "features": "body",
    "classify": "pooled",
}


def wrapped(seed: int = 0):
    return wrap(Plain(seed), **WRAPPED)


def test_parts_around_a_wrapped_network_go_with_that_network(tmp_path):
    path = tmp_path / "m.safetensors"
    torch.manual_seed(2)
    context = CollaborativeMemory(8)
    nn.init.normal_(context.output.weight)
    model = memory(wrapped(), context).eval()
    save_model(model, path)
    assert not any(name.startswith("encoders.") for name in opened(path)[0])
    assert torch.equal(answer(load_model(path, encoder=wrapped())), answer(model))
    with pytest.raises(UsageError, match=r"load_model\(path, encoder=wrapped\)"):
        load_model(path)
    with pytest.raises(UsageError, match="with other weights"):
        load_model(path, encoder=wrapped(seed=1))


def test_adapters_of_ours_say_their_channels():
    assert Adapter(4, 8).channels == 8


class Mine(Gru):
    def read(self, state):
        return super().read(state) + 1


@pytest.mark.parametrize("turned", [False, True])
def test_an_encoder_without_an_adapter_beside_one_with(tmp_path, turned):
    encoders = [tiny_classifier(), tiny_cheap()]
    adapters = [nn.Identity(), Adapter(64, 32, places=(1, 2, 2))]
    model = Model(
        encoders[:: -1 if turned else 1],
        adapters=adapters[:: -1 if turned else 1],
        aggregator=create_aggregator("gru", channels=32, num_classes=4),
        card=Card("faster", "1:1", (1, 1)),
    ).eval()
    save_model(model, tmp_path / "m.safetensors")
    assert torch.equal(answer(load_model(tmp_path / "m.safetensors")), answer(model))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Model([tiny_classifier()], aggregator=Mine(32, 4)), "no aggregator Mine"),
        (
            lambda: Model([tiny_classifier()], aggregator=Average(nn.Identity())),
            "no aggregator Average",
        ),
        (
            lambda: Model([tiny_classifier()], aggregator=TemporalMax(tiny_classifier().classify)),
            "no aggregator TemporalMax",
        ),
        (
            lambda: Model(
                [tiny_classifier()],
                adapters=[nn.Hardtanh(-0.1, 0.1)],
                aggregator=create_aggregator("gru", channels=32, num_classes=4),
            ),
            "no adapter Hardtanh",
        ),
        (lambda: single_of(num_clips=70_000), "a file cannot hold this model: 70000 clips"),
        (lambda: single_of(join=(70_000,)), "a file cannot hold this model: 70000 clips joined"),
    ],
)
def test_what_would_come_back_as_something_else_is_not_written(tmp_path, make, words):
    with pytest.raises(UsageError, match=words) as error:
        save_model(make(), tmp_path / "m.safetensors")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def single_of(**card) -> Model:
    return Model([tiny_classifier()], card=Card(**card))


def test_a_model_is_not_bare_whose_card_says_more(tmp_path):
    save_model(single_of(num_clips=3, method="uniform"), tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").card == Card("uniform", num_clips=3)


def test_segments_of_another_length_are_kept(tmp_path):
    model = sfc(tiny_compressed().of_segments(32), join=1)
    save_model(model, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert again.clip == model.clip
    assert again.clip.num_frames == 32


def test_metadata_are_json(tmp_path):
    with pytest.raises(UsageError, match="plain JSON values"):
        save_model(tiny_memory(), tmp_path / "m.safetensors", metadata={"loss": float("nan")})


@pytest.mark.parametrize("version", [1.5, True, "2", None])
def test_a_version_is_a_whole_number(tmp_path, version):
    save_model(tiny_memory(), tmp_path / "m.safetensors")
    tensors, header = opened(tmp_path / "m.safetensors")
    written(tmp_path / "m.safetensors", tensors, {**header, "version": version})
    assert "header is damaged" in refusal(tmp_path / "m.safetensors")


def other(**values):
    return wrap(Plain(0), **{**WRAPPED, **values})


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        (lambda: other(classes=("b", "a")), "with other classes"),
        (lambda: other(clip=ClipSpec(16, 1, (16, 16))), "with other clip"),
        (lambda: other(transform=Transform(short_side=20, crop=(16, 16))), "with other transform"),
        (lambda: other(classify=lambda m, maps: -m.pooled(maps)), "with other answers"),
    ],
)
def test_a_network_wrapped_in_another_way_is_another(tmp_path, encoder, words):
    path = tmp_path / "m.safetensors"
    save_model(memory(wrapped()), path)
    load_model(path, encoder=other(classify=lambda m, maps: m.pooled(maps)))
    with pytest.raises(UsageError, match=words):
        load_model(path, encoder=encoder())


def test_two_wrapped_networks_are_given_in_any_order(tmp_path):
    path = tmp_path / "m.safetensors"
    model = faster([wrapped(), wrapped(seed=1)], pattern="1:1", num_clips=4).eval()
    save_model(model, path)
    for given in ([wrapped(), wrapped(seed=1)], (wrapped(seed=1), wrapped())):
        again = load_model(path, encoder=given)
        assert [weights_sha256(e) for e in again.networks] == [
            weights_sha256(e) for e in model.networks
        ]
    with pytest.raises(UsageError, match="with other weights"):
        load_model(path, encoder=wrapped())


def test_a_file_of_its_own_networks_takes_no_encoder(tmp_path):
    for make in (tiny_memory, lambda: single(tiny_classifier())):
        save_model(make(), tmp_path / "m.safetensors")
        with pytest.raises(UsageError, match="leave encoder out"):
            load_model(tmp_path / "m.safetensors", encoder=wrapped())
