"""A backbone and its compression to a file and back, and every file that is none."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tinynets import CLASSES, tiny_classifier, tiny_faster, tiny_memory
from vidskim.backbones.files.checkpoint import load_backbone, save_backbone
from vidskim.clips.transform import Transform
from vidskim.errors import CheckpointError, UsageError
from vidskim.model.compressed import Compressed, map_channels
from vidskim.model.compression import TemporalCompression
from vidskim.model.file import load_model, read_metadata, save_model
from vidskim.model.presets import sfc


def model_of(backbone=None, *, at: str = "res3", **options) -> Compressed:
    backbone = backbone or tiny_classifier()
    torch.manual_seed(3)
    options = {"num_blocks": 2, **options}
    compression = TemporalCompression(map_channels(backbone, at), **options)
    for tensor in compression.state_dict().values():
        if tensor.is_floating_point():
            torch.nn.init.uniform_(tensor, 0.1, 0.5)
    return Compressed(backbone, at=at, compression=compression).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("sfc") / "model.safetensors"
    model = model_of()
    save_model(sfc(model), path, metadata={"recipe": "tiny"})
    return model, path


def opened(path):
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["vidskim"])
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118


def written(tensors, header, path):
    save_file(tensors, path, metadata={"vidskim": json.dumps(header)})
    return path


def video() -> torch.Tensor:
    return torch.randn(2, 3, 20, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("at", "options"),
    [
        ("res3", {}),
        ("stem", {"ratio": "4/3", "pooling": "max", "kernel": "3x3x3", "scale": "channels"}),
        ("res4", {"abstraction": False, "value": "projected"}),
        ("res2", {"value": "abstracted", "num_blocks": 3, "time_kernels": (1, 3)}),
    ],
)
def test_a_file_gives_the_model_back_bit_for_bit(tmp_path, at, options):
    model = model_of(at=at, **options)
    if at == "res2":
        model.transform = Transform(resize_to=(40, 30))
        model.segments, model.stride = (3, 5), 4
    path = tmp_path / "deep" / "model.safetensors"
    save_model(sfc(model), path)
    again = load_model(path)
    assert not again.training
    with torch.no_grad():
        assert torch.equal(model(video()), again(video()))
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert (again.at, again.segments, again.transform) == (at, model.segments, model.transform)
    assert again.stride == model.stride
    assert again.compression.options == model.compression.options
    assert again.classes == CLASSES
    assert (again.clip, again.backbone.transform) == (model.clip, model.backbone.transform)
    assert not any(p.requires_grad for p in again.backbone.parameters())
    assert all(p.requires_grad for p in again.compression.parameters())


def test_metadata_and_kind(saved, tmp_path):
    _, path = saved
    assert read_metadata(path) == {"recipe": "tiny"}
    assert is_compressed(path)
    save_backbone(tiny_classifier(), tmp_path / "b.safetensors")
    save_model(tiny_faster(), tmp_path / "f.safetensors")
    save_model(tiny_memory(), tmp_path / "m.safetensors")
    save_file({"weight": torch.zeros(1)}, tmp_path / "p.safetensors")
    for name in ("b", "f", "m", "p"):
        other = tmp_path / f"{name}.safetensors"
        assert not is_compressed(other)
        for read in (load_compressed, read_metadata):
            with pytest.raises(CheckpointError, match="holds no backbone with a compression; tra"):
                read(other)
    tensors, header = opened(path)
    header["metadata"] = ["recipe"]
    written(tensors, header, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"x\.safetensors: its vidskim header is damaged"):
        read_metadata(tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="plain JSON"):
        save_compressed(saved[0], tmp_path / "y.safetensors", metadata={"recipe": {1}})
    assert not (tmp_path / "y.safetensors").exists()


def test_others_say_what_it_is(saved):
    _, path = saved
    with pytest.raises(CheckpointError, match="a compression inside: give the file alone as"):
        load_backbone(checkpoint=path)
    with pytest.raises(CheckpointError, match="holds no FASTER model"):
        load_model(path)
    with pytest.raises(CheckpointError, match="holds no backbone with a memory"):
        load_model(path)


CHANGES = {
    **{f"no {key}": lambda h, key=key: h.pop(key) for key in ("at", "compression", "whole")},
    "no segments": lambda h: h.pop("segments"),
    "kind is a list": lambda h: h.update(compressed=[1]),
    "kind is none": lambda h: h.update(compressed=None),
    "backbone unknown": lambda h: h["compressed"].update(name="r3d_99"),
    "backbone without clip": lambda h: h["compressed"].update(clip=None),
    "backbone without transform": lambda h: h["compressed"].update(transform=None),
    "backbone on images": lambda h: h["compressed"].update(name="resnet_18"),
    "backbone wide": lambda h: h["compressed"]["options"].update(width=10**7),
    "clip of text": lambda h: h["compressed"]["clip"].update(num_frames="8"),
    "clip huge": lambda h: h["compressed"]["clip"].update(num_frames=10**9),
    "last stage": lambda h: h.update(at="res5"),
    "unknown stage": lambda h: h.update(at="res9"),
    "stage is a list": lambda h: h.update(at=["res3"]),
    "another stage": lambda h: h.update(at="res4"),
    "compression is text": lambda h: h.update(compression="x"),
    "compression is none": lambda h: h.update(compression=None),
    "unknown option": lambda h: h["compression"].update(depth=2),
    "its own channels": lambda h: h["compression"].update(channels=8),
    "ratio below one": lambda h: h["compression"].update(ratio=0.5),
    "ratio is a list": lambda h: h["compression"].update(ratio=[2]),
    "ratio that never ends": lambda h: h["compression"].update(ratio="1e999999999"),
    "ratio is no number": lambda h: h["compression"].update(ratio=float("nan")),
    "ratio infinite": lambda h: h["compression"].update(ratio=float("inf")),
    "ratio of zero": lambda h: h["compression"].update(ratio="1/0"),
    "pooling": lambda h: h["compression"].update(pooling="pickle"),
    "value": lambda h: h["compression"].update(value=None),
    "kernel": lambda h: h["compression"].update(kernel="9x9x9"),
    "scale": lambda h: h["compression"].update(scale=2),
    "abstraction is text": lambda h: h["compression"].update(abstraction="yes"),
    "abstraction is a number": lambda h: h["compression"].update(abstraction=1),
    "no abstraction": lambda h: h["compression"].update(abstraction=False),
    "blocks of text": lambda h: h["compression"].update(num_blocks="2"),
    "more blocks": lambda h: h["compression"].update(num_blocks=3),
    "too many blocks": lambda h: h["compression"].update(num_blocks=10**9),
    "no time kernels": lambda h: h["compression"].update(time_kernels=[]),
    "time kernels of text": lambda h: h["compression"].update(time_kernels=["3"]),
    "time kernels huge": lambda h: h["compression"].update(time_kernels=[10**9]),
    "time kernels a number": lambda h: h["compression"].update(time_kernels=3),
    "whole is none": lambda h: h.update(whole=None),
    "whole is a list": lambda h: h.update(whole=[]),
    "whole is text": lambda h: h.update(whole="x"),
    "whole of unknown fields": lambda h: h["whole"].update(side=3),
    "whole huge": lambda h: h["whole"].update(resize_to=[10**6, 10**6]),
    "whole crop huge": lambda h: h["whole"].update(resize_to=None, crop=[10**6, 10**6]),
    "whole of nothing": lambda h: h["whole"].update(resize_to=[0, 0]),
    "segments a number": lambda h: h.update(segments=3),
    "segments of three": lambda h: h.update(segments=[1, 2, 3]),
    "segments of text": lambda h: h.update(segments="88"),
    "segments true": lambda h: h.update(segments=[True, 8]),
    "segments negative": lambda h: h.update(segments=[-2, -8]),
    "segments of no frames": lambda h: h.update(segments=[8, 0]),
    "segments huge": lambda h: h.update(segments=[1, 60000]),
    "segments many": lambda h: h.update(segments=[10**9, 1]),
    "stride of text": lambda h: h.update(stride="2"),
    "stride true": lambda h: h.update(stride=True),
    "no frames apart": lambda h: h.update(stride=0),
    "stride huge": lambda h: h.update(stride=10**9),
    "no stride": lambda h: h.pop("stride"),
    "newer": lambda h: h.update(version=99),
    "no version": lambda h: h.pop("version"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_damaged_headers(saved, tmp_path, change):
    tensors, header = opened(saved[1])
    CHANGES[change](header)
    path = written(tensors, header, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=r"m\.safetensors: ") as raised:
        load_model(path)
    assert "\n" not in str(raised.value)


def test_an_undamaged_header_is_read(saved, tmp_path):
    """Or the tests above would show nothing of what they change; files without time kernels too."""
    tensors, header = opened(saved[1])
    del header["compression"]["time_kernels"]
    header["segments"] = [8, 4]
    again = load_model(written(tensors, header, tmp_path / "m.safetensors"))
    assert again.segments == (8, 4)
    with torch.no_grad():
        assert torch.equal(again(video()), saved[0](video()))


@pytest.mark.parametrize("part", ["compression.query.weight", "backbone.stem.0.weight"])
@pytest.mark.parametrize("what", ["missing", "left over", "shape", "nan", "integers"])
def test_damaged_tensors(saved, tmp_path, part, what):
    tensors, header = opened(saved[1])
    if what == "missing":
        del tensors[part]
    elif what == "left over":
        tensors["head.weight" if part.startswith("back") else "compression.x"] = torch.zeros(1)
    elif what == "shape":
        tensors[part] = tensors[part][:3].clone()
    elif what == "nan":
        tensors[part].flatten()[0] = float("nan")
    else:
        tensors[part] = tensors[part].to(torch.int64)
    path = written(tensors, header, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=r"m\.safetensors: ") as raised:
        load_model(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("left", [0, 4, 100, 3000, -100])
def test_cut_short(saved, tmp_path, left):
    path = tmp_path / "m.safetensors"
    path.write_bytes(saved[1].read_bytes()[:left])
    for read in (load_compressed, read_metadata):
        with pytest.raises(CheckpointError, match=r"m\.safetensors: ") as raised:
            read(path)
        assert "\n" not in str(raised.value)


def test_no_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such file"):
        load_model(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello, this is no model")
    with pytest.raises(CheckpointError, match="not a weight file"):
        is_compressed(tmp_path / "text.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_compressed(model_of(), tmp_path / "file" / "m.safetensors")
