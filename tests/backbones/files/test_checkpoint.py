"""Backbones to files and back, and every file that is not what it should be."""

import json
import pickle
import zipfile
from fractions import Fraction

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vidskim.backbones import (
    ClipSpec,
    create_backbone,
    load_backbone,
    read_header,
    save_backbone,
)
from vidskim.backbones.files.state_dict import read_state_dict
from vidskim.clips.transform import Transform
from vidskim.errors import CheckpointError, UsageError


def _small(name: str = "r2plus1d_18", **options):
    torch.manual_seed(0)
    return create_backbone(name, num_classes=3, width=4, **options).eval()


def _rewrite_header(path, change) -> None:
    """Change a checkpoint's own description and leave its tensors."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["vidskim"])
    change(header)
    save_file(load_file(path), path, metadata={"vidskim": json.dumps(header)})


def test_a_saved_backbone_comes_back_whole(tmp_path):
    network = _small(mid="vmz")
    network.reset_classifier(3, classes=("run", "größer", "sit|stand"))
    network.clip = ClipSpec(num_frames=8, stride=2, size=(56, 64))
    network.transform = Transform(short_side=64, crop=(56, 64), antialias=True)
    path = tmp_path / "deep" / "net.safetensors"
    save_backbone(network, path, metadata={"recipe": {"epochs": 3}, "top1": 0.5})

    loaded = load_backbone(checkpoint=path)
    assert not loaded.training
    assert loaded.options == network.options
    assert loaded.classes == network.classes
    assert (loaded.clip, loaded.transform) == (network.clip, network.transform)
    x = torch.randn(2, 3, 8, 28, 32)
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
    header = read_header(path)
    assert (header.name, header.num_classes) == ("r2plus1d_18", 3)
    assert header.metadata == {"recipe": {"epochs": 3}, "top1": 0.5}
    assert [p.name for p in path.parent.iterdir()] == ["net.safetensors"]


def test_the_window_of_the_head_is_saved_and_files_without_one_are_read(tmp_path):
    network = _small()
    network.head_window = (2, 3)
    path = tmp_path / "net.safetensors"
    save_backbone(network, path)
    loaded = load_backbone(checkpoint=path)
    x = torch.randn(1, 3, 4, 64, 80)  # a map of 4 x 5
    with torch.no_grad():
        expected = network(x)
        assert torch.equal(loaded(x), expected)
        _rewrite_header(path, lambda header: header.pop("head_window"))
        whole = load_backbone(checkpoint=path)
        assert whole.head_window is None
        assert not torch.allclose(whole(x), expected)


def test_image_networks_are_saved_by_the_same_functions(tmp_path):
    network = _small("resnet_18", in_channels=2, stem="small")
    save_backbone(network, tmp_path / "look.safetensors")
    loaded = load_backbone("resnet_18", checkpoint=tmp_path / "look.safetensors")
    assert (loaded.clip, loaded.transform) == (None, None)
    x = torch.randn(4, 2, 12, 9)
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))


def test_a_loaded_backbone_trains(tmp_path):
    save_backbone(_small(), tmp_path / "net.safetensors")
    loaded = load_backbone(checkpoint=tmp_path / "net.safetensors").train()
    before = {k: v.clone() for k, v in loaded.state_dict().items()}
    optimizer = torch.optim.SGD(loaded.parameters(), lr=0.1)
    loaded(torch.randn(2, 3, 8, 32, 32)).square().sum().backward()
    optimizer.step()
    unchanged = [k for k, v in loaded.state_dict().items() if torch.equal(v, before[k])]
    assert unchanged == []
    again = load_backbone(checkpoint=tmp_path / "net.safetensors").state_dict()
    assert all(torch.equal(again[k], v) for k, v in before.items())


def test_another_number_of_classes_replaces_the_head_only(tmp_path):
    network = _small()
    network.reset_classifier(3, classes=("a", "b", "c"))
    path = tmp_path / "net.safetensors"
    save_backbone(network, path)
    kept = load_backbone(checkpoint=path, num_classes=3)
    assert torch.equal(kept.fc.weight, network.fc.weight)
    assert kept.classes == ("a", "b", "c")
    replaced = load_backbone(checkpoint=path, num_classes=5)
    assert replaced.fc.weight.shape == (5, 32)
    assert (replaced.num_classes, replaced.classes) == (5, None)
    for key, value in network.state_dict().items():
        assert key.startswith("fc.") or torch.equal(replaced.state_dict()[key], value)


@pytest.mark.parametrize("layout", ["zip", "legacy", "wrapped", "parallel", "safetensors"])
def test_state_dicts_of_others_are_read(tmp_path, layout):
    torch.manual_seed(0)
    network = create_backbone("mc3_18", num_classes=7)
    state = network.state_dict()
    path = tmp_path / "theirs.pth"
    if layout == "safetensors":
        save_file(state, path)
    elif layout == "wrapped":
        torch.save({"model": state, "epoch": 3, "optimizer": {"state": {}}}, path)
    elif layout == "parallel":
        torch.save({f"module.{k}": v.half() if v.ndim else v for k, v in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=layout == "zip")
    loaded = load_backbone("mc3_18", checkpoint=path)
    assert loaded.num_classes == 7
    assert loaded.fc.weight.dtype == torch.float32
    assert loaded.clip.num_frames == 16
    expected = state["fc.weight"].half().float() if layout == "parallel" else state["fc.weight"]
    assert torch.equal(loaded.fc.weight, expected)


def test_the_backbone_is_found_where_exactly_one_fits(tmp_path):
    torch.save(create_backbone("r2plus1d_18", num_classes=7).state_dict(), tmp_path / "x.pth")
    assert load_backbone(checkpoint=tmp_path / "x.pth").name == "r2plus1d_18"
    torch.save({"weight": torch.zeros(3)}, tmp_path / "y.pth")
    with pytest.raises(CheckpointError, match=r"y\.pth: fits no backbone: give the backbone's"):
        load_backbone(checkpoint=tmp_path / "y.pth")


def test_the_wrong_backbone_is_named_with_the_likeliest(tmp_path):
    torch.save(create_backbone("mc3_18").state_dict(), tmp_path / "x.pth")
    with pytest.raises(CheckpointError) as error:
        load_backbone("r3d_18", checkpoint=tmp_path / "x.pth")
    message = str(error.value)
    assert "does not fit r3d_18" in message
    assert "layer2.0.conv1.0.weight [128, 64, 1, 3, 3] for [128, 64, 3, 3, 3]" in message
    assert message.endswith("it looks like mc3_18")
    assert "\n" not in message

    save_backbone(_small(), tmp_path / "ours.safetensors")
    with pytest.raises(CheckpointError, match=r"holds r2plus1d_18, not r3d_18"):
        load_backbone("r3d_18", checkpoint=tmp_path / "ours.safetensors")


def test_missing_and_left_over_tensors_are_refused(tmp_path):
    state = create_backbone("mc3_18", num_classes=7).state_dict()
    extra = {**state, "extra.weight": torch.zeros(2)}
    del extra["stem.0.weight"], extra["fc.bias"]
    torch.save(extra, tmp_path / "x.pth")
    expected = r"2 missing \(stem\.0\.weight, fc\.bias\), 1 left over \(extra\.weight\)"
    with pytest.raises(CheckpointError, match=expected):
        load_backbone("mc3_18", checkpoint=tmp_path / "x.pth")
    torch.save({**state, "fc.bias": torch.zeros(7, dtype=torch.int64)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"1 of another type \(fc\.bias torch\.int64\)"):
        load_backbone("mc3_18", checkpoint=tmp_path / "x.pth")


class Malice:
    """A pickle that would create a file when it is read."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path, writer):
    trap, path = tmp_path / "trap", tmp_path / "evil.pth"
    if writer == "torch":
        torch.save({"weight": Malice(trap)}, path)
    else:
        path.write_bytes(pickle.dumps(Malice(trap)))
    with pytest.raises(CheckpointError, match=r"evil\.pth: refused.*state dict") as error:
        load_backbone("r3d_18", checkpoint=path)
    assert not trap.exists()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"path,label\na.mp4,run\n", "not a weight file"),
        (b"PK\x03\x04 and nothing that follows a zip's head", "damaged PyTorch file"),
        (b"\x80\x02 no pickle", "refused|damaged"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", "damaged safetensors"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{broken json....", "damaged safetensors"),
    ],
)
def test_files_that_are_no_weights_are_named(tmp_path, content, reason):
    path = tmp_path / "file.pth"
    if content is not None:
        path.write_bytes(content)
    for call in (lambda: load_backbone("r3d_18", checkpoint=path), lambda: read_header(path)):
        with pytest.raises(CheckpointError) as error:
            call()
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)
    with pytest.raises(CheckpointError, match=reason):
        load_backbone("r3d_18", checkpoint=path)
    with pytest.raises(CheckpointError, match="is a folder"):
        load_backbone("r3d_18", checkpoint=tmp_path)


def test_truncated_files_are_named(tmp_path):
    whole = tmp_path / "whole.safetensors"
    save_backbone(_small(), whole)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors: damaged safetensors"):
        load_backbone(checkpoint=cut)
    torch.save(_small().state_dict(), tmp_path / "whole.pth")
    for share in (0.1, 0.5, 0.999):
        content = (tmp_path / "whole.pth").read_bytes()
        (tmp_path / "cut.pth").write_bytes(content[: int(share * len(content))])
        with pytest.raises(CheckpointError, match=r"cut\.pth: (damaged|refused)"):
            load_backbone("r2plus1d_18", checkpoint=tmp_path / "cut.pth")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda w: torch.zeros(1).expand(10**9, 32), "fewer numbers than that"),
        (lambda w: torch.zeros(1).half().expand(10**9, 32), "fewer numbers than that"),
        (lambda w: w.to("meta"), "without its numbers"),
        (lambda w: w.to_sparse(), "sparse"),
        (lambda w: w.to_sparse_csr(), "sparse"),
        (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "quantized"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # about kinds of tensors that are coming or going
def test_tensors_that_are_not_all_there_are_refused(tmp_path, make, reason):
    state = _small().state_dict()
    torch.save({**state, "fc.weight": make(state["fc.weight"])}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=rf"x\.pth: 'fc\.weight' is .*{reason}"):
        load_backbone(checkpoint=tmp_path / "x.pth")


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path):
    torch.save({"w": torch.zeros(1000, 1000)}, tmp_path / "whole.pth")
    with (
        zipfile.ZipFile(tmp_path / "whole.pth") as whole,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in whole.infolist():
            packed.writestr(entry.filename, whole.read(entry))
    with pytest.raises(CheckpointError, match=r"packed\.pth: refused, it unpacks to more"):
        read_state_dict(tmp_path / "packed.pth")


def test_archives_of_something_else_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(CheckpointError, match=r"x\.zip: a zip archive without data\.pkl"):
        read_state_dict(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"program/{name}", "")
    with pytest.raises(CheckpointError, match=r"program\.pt: is a TorchScript program"):
        read_state_dict(tmp_path / "program.pt")


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "encoder."]
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_training_puts_before_every_name_is_removed(tmp_path, prefix, suffix):
    state = {"a.weight": torch.ones(2), "model.b": torch.zeros(3)}
    path = tmp_path / f"x{suffix}"
    wrapped = {prefix + key: value for key, value in state.items()}
    (save_file if suffix == ".safetensors" else torch.save)(wrapped, path)
    assert set(read_state_dict(path)) == set(state)


def test_a_state_dict_wrapped_twice_is_found(tmp_path):
    state = {"a": torch.ones(2)}
    torch.save({"model": {"state_dict": state}, "epoch": 3}, tmp_path / "x.pth")
    assert list(read_state_dict(tmp_path / "x.pth")) == ["a"]
    endless: dict[str, object] = {}
    endless["model"] = endless
    torch.save(endless, tmp_path / "endless.pth")
    with pytest.raises(CheckpointError, match="'model' is a dict"):
        read_state_dict(tmp_path / "endless.pth")


def test_a_pytorch_file_called_safetensors_is_read(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    assert list(read_state_dict(tmp_path / "x.safetensors")) == ["a"]


def test_names_in_messages_are_short_and_printable(tmp_path):
    state = {**_small().state_dict(), "x" * 10**6: torch.zeros(1), "\x1b[2J\n": torch.zeros(1)}
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError) as error:
        load_backbone(_small().name, checkpoint=tmp_path / "x.pth")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("loaded", "reason"),
    [
        ([torch.zeros(2)], "holds a list"),
        ({}, "holds a dict"),
        ({"epoch": 3}, "'epoch' is a int"),
        ({3: torch.zeros(2)}, "3 is a Tensor"),
    ],
)
def test_other_objects_than_state_dicts_are_refused(tmp_path, loaded, reason):
    torch.save(loaded, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=reason):
        load_backbone("r3d_18", checkpoint=tmp_path / "x.pth")


EIGHT = {"num_frames": 8, "stride": 1, "size": [8, 8]}


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("name", "r9d_18", "unknown backbone 'r9d_18'"),
        ("options", {"width": "4"}, "whole number, got '4'"),
        ("options", {"width": 10**12}, "names no network|does not fit"),
        ("options", {"num_classes": 3}, "names no network"),
        ("options", [1, 2], "header is damaged"),
        ("num_classes", 4, "of another shape"),
        ("num_classes", None, "whole number, got None"),
        ("classes", ["a", "b"], "names 2 classes for a head of 3"),
        ("clip", {"num_frames": 8}, "header is damaged"),
        ("clip", {"num_frames": "8", "stride": 1, "size": [8, 8]}, "header is damaged"),
        ("clip", {"num_frames": 10**9, "stride": 1, "size": [8, 8]}, "at most 4096 are read"),
        ("clip", {"num_frames": 8, "stride": 1, "size": [10**6, 8]}, "1000000 pixels a side"),
        ("clip", {**EIGHT, "rate": "2000/1"}, "1/1000 to 1000 are read"),
        ("clip", {**EIGHT, "rate": "1/1001"}, "1/1000 to 1000 are read"),
        ("clip", {**EIGHT, "rate": "0/1"}, "written as in '30000/1001', got '0/1'"),
        ("clip", {**EIGHT, "rate": "1e9/1"}, "header is damaged"),
        ("clip", {**EIGHT, "rate": 25}, "header is damaged"),
        ("clip", {**EIGHT, "rates": None}, "header is damaged"),
        ("transform", {"crop": 3}, "header is damaged"),
        ("transform", {**Transform().to_dict(), "short_side": 10**7}, "at most 4096 are read"),
        ("head_window", 7, "header is damaged"),
        ("head_window", [7], "header is damaged"),
        ("head_window", [7, 0], "header is damaged"),
        ("head_window", ["7", 7], "header is damaged"),
        ("version", 99, "newer than this one"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path, key, value, reason):
    path = tmp_path / "net.safetensors"
    save_backbone(_small(), path)
    _rewrite_header(path, lambda header: header.update({key: value}))
    with pytest.raises(CheckpointError, match=reason) as error:
        load_backbone(checkpoint=path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rate", [None, Fraction(25), Fraction(30000, 1001)])
def test_a_rate_is_written_only_where_there_is_one(tmp_path, rate):
    """Versions without rates read every key of a clip, so there is no key without a rate."""
    path, network = tmp_path / "net.safetensors", _small()
    network.clip = ClipSpec(8, 2, (56, 64), rate)
    save_backbone(network, path)
    assert load_backbone(checkpoint=path).clip == network.clip
    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["vidskim"])["clip"]
    written = {} if rate is None else {"rate": f"{rate.numerator}/{rate.denominator}"}
    assert told == {"num_frames": 8, "stride": 2, "size": [56, 64], **written}


def test_a_header_without_end_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"vidskim": "[" * 100_000})
    with pytest.raises(CheckpointError, match="header is damaged"):
        load_backbone(checkpoint=path)


def test_saving_fails_in_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"net\.safetensors: cannot be written"):
        save_backbone(_small(), tmp_path / "file" / "net.safetensors")
    with pytest.raises(UsageError, match="plain JSON values"):
        save_backbone(_small(), tmp_path / "net.safetensors", metadata={"x": object()})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_wrong_calls_say_what_is_missing(tmp_path):
    with pytest.raises(UsageError, match="name or a checkpoint"):
        load_backbone()
    with pytest.raises(UsageError, match="did you mean 'mc3_18'"):
        load_backbone("mc3-18")
    save_file({"weight": torch.zeros(2)}, tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="not a vidskim checkpoint"):
        read_header(tmp_path / "plain.safetensors")


def test_without_a_name_the_nearest_backbone_and_its_faults_are_named(tmp_path):
    state = create_backbone("mc3_18", num_classes=7).state_dict()
    del state["layer1.0.conv1.0.weight"]
    torch.save(state, tmp_path / "x.pth")
    expected = r"x\.pth: fits no backbone, nearest is mc3_18: tensors 1 missing \(layer1\.0\.conv1"
    with pytest.raises(CheckpointError, match=expected):
        load_backbone(checkpoint=tmp_path / "x.pth")


@pytest.mark.parametrize("num_classes", [0, -1])
def test_a_head_without_classes_is_refused(tmp_path, num_classes):
    state = create_backbone("mc3_18", num_classes=7).state_dict()
    if num_classes == 0:
        state["fc.weight"], state["fc.bias"] = torch.zeros(0, 512), torch.zeros(0)
        torch.save(state, tmp_path / "x.pth")
        with pytest.raises(CheckpointError, match=r"x\.pth: .*no classes"):
            load_backbone("mc3_18", checkpoint=tmp_path / "x.pth")
    else:
        torch.save(state, tmp_path / "x.pth")
        with pytest.raises(UsageError, match="at least one class, got -1"):
            load_backbone("mc3_18", checkpoint=tmp_path / "x.pth", num_classes=num_classes)


@pytest.mark.parametrize("num_classes", [True, 2.5, "5"])
def test_a_number_of_classes_is_a_whole_number(tmp_path, num_classes):
    save_backbone(_small(), tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="num_classes is a whole number, got"):
        load_backbone(checkpoint=tmp_path / "x.safetensors", num_classes=num_classes)
