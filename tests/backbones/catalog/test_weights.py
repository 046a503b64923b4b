"""Fetching published weights from a server of our own, with everything that can go wrong."""

import hashlib
import logging
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from vidskim.backbones import OFFICIAL_WEIGHTS, create_backbone, fetch, load_backbone
from vidskim.backbones.catalog import CATALOG
from vidskim.backbones.catalog.weights import (
    default_cache_dir,
    find_weights,
    kinetics400_classes,
    official_weights,
)
from vidskim.errors import CheckpointError, UsageError

CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Server(ThreadingHTTPServer):
    """Serves one file; breaks off after ``allowance`` bytes of an answer as often as ``breaks``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.allowance = len(CONTENT)
        self.breaks = 0
        self.knows_ranges = True
        self.requests: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append(asked)
        if not self.path.endswith("weights.pth"):
            self.send_error(404)
            return
        start = 0
        if asked and server.knows_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
            self.send_response(206)
            last = len(server.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        else:
            self.send_response(200)
        rest = server.content[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            rest = rest[: server.allowance]
        self.wfile.write(rest)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def _weights(server: Server, **changes):
    digest = hashlib.sha256(CONTENT).hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/weights.pth"
    record = replace(OFFICIAL_WEIGHTS["r3d_18"], url=url, sha256_prefix=digest[:8])
    return replace(record, **changes)


def test_downloads_once(server, tmp_path):
    path = fetch(_weights(server), cache_dir=tmp_path / "new" / "cache")
    assert path == tmp_path / "new" / "cache" / "weights.pth"
    assert path.read_bytes() == CONTENT
    assert fetch(_weights(server), cache_dir=path.parent) == path
    assert server.requests == [None]
    assert [p.name for p in path.parent.iterdir()] == ["weights.pth"]


def test_resumes_by_itself_while_the_connection_brings_something(server, tmp_path):
    server.allowance, server.breaks = 300_000, 2
    path = fetch(_weights(server), cache_dir=tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-", "bytes=600000-"]


def test_a_later_call_resumes_what_an_earlier_one_left(server, tmp_path):
    (tmp_path / "weights.pth.part").write_bytes(CONTENT[:123_456])
    path = fetch(_weights(server), cache_dir=tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.requests == ["bytes=123456-"]
    assert [p.name for p in tmp_path.iterdir()] == ["weights.pth"]


def test_a_finished_part_only_needs_its_name(server, tmp_path):
    (tmp_path / "weights.pth.part").write_bytes(CONTENT)
    assert fetch(_weights(server), cache_dir=tmp_path).read_bytes() == CONTENT


def test_starts_over_where_the_server_knows_no_ranges(server, tmp_path):
    server.knows_ranges = False
    (tmp_path / "weights.pth.part").write_bytes(b"x" * 1000)
    assert fetch(_weights(server), cache_dir=tmp_path).read_bytes() == CONTENT


def test_a_dead_connection_ends_in_an_error_and_keeps_what_came(server, tmp_path):
    server.allowance, server.breaks = 0, 100
    (tmp_path / "weights.pth.part").write_bytes(CONTENT[:5000])
    with pytest.raises(CheckpointError, match="5000 of 1048576 bytes"):
        fetch(_weights(server), cache_dir=tmp_path)
    assert (tmp_path / "weights.pth.part").read_bytes() == CONTENT[:5000]
    server.breaks = 0
    assert fetch(_weights(server), cache_dir=tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("left_over", [b"", b"some other file's beginning"])
def test_a_corrupt_download_is_thrown_away(server, tmp_path, left_over):
    if left_over:
        (tmp_path / "weights.pth.part").write_bytes(left_over)
    else:
        server.content = CONTENT[:-1] + b"!"
    with pytest.raises(CheckpointError, match="SHA-256 does not begin with"):
        fetch(_weights(server), cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
    server.content = CONTENT
    assert fetch(_weights(server), cache_dir=tmp_path).read_bytes() == CONTENT


def test_a_wrong_file_in_the_cache_is_named(server, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"put here by hand, but the wrong one")
    with pytest.raises(CheckpointError, match=r"weights\.pth: damaged.*delete it"):
        fetch(_weights(server), cache_dir=tmp_path)
    assert server.requests == []


def test_two_at_a_time_download_one_file(server, tmp_path):
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch(_weights(server), cache_dir=tmp_path)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert paths[0].read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["weights.pth"]
    assert server.requests == [None]


def test_offline_says_what_to_put_where(tmp_path):
    weights = replace(OFFICIAL_WEIGHTS["mc3_18"], url="http://127.0.0.1:9/mc3_18-a90a0ba3.pth")
    with pytest.raises(CheckpointError) as error:
        fetch(weights, cache_dir=tmp_path)
    message = str(error.value)
    assert "\n" not in message
    assert f"put the file mc3_18-a90a0ba3.pth into {tmp_path} yourself" in message
    assert message.endswith("or use --model demo")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_and_an_unwritable_cache_are_one_line(server, tmp_path):
    url = f"http://127.0.0.1:{server.server_port}/gone.pth"
    with pytest.raises(CheckpointError, match="Not Found"):
        fetch(_weights(server, url=url), cache_dir=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="put the file"):
        fetch(_weights(server), cache_dir=tmp_path / "file" / "cache")


def test_without_a_published_hash_the_first_download_is_what_later_ones_must_be(
    server, tmp_path, caplog
):
    weights = _weights(server, sha256_prefix=None)
    digest = hashlib.sha256(CONTENT).hexdigest()
    path = fetch(weights, cache_dir=tmp_path)
    assert path == tmp_path / "r3d_18-torchvision-k400.pth"
    assert (tmp_path / f"{path.name}.sha256").read_text().split() == [digest, path.name]
    (told,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert told.startswith("torchvision gives no checksum for r3d_18-torchvision-k400.pth")
    assert digest in told
    caplog.clear()
    assert fetch(weights, cache_dir=tmp_path) == path
    assert not caplog.records
    assert server.requests == [None]
    assert len(list(tmp_path.iterdir())) == 2

    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(CheckpointError, match=r"changed since it was first.*delete both") as error:
        fetch(weights, cache_dir=tmp_path)
    assert "\n" not in str(error.value)
    path.unlink()  # but not the hash: what comes again must be the same
    assert fetch(weights, cache_dir=tmp_path).read_bytes() == CONTENT
    server.content = b"another file under the same address"
    path.unlink()
    with pytest.raises(CheckpointError, match="changed since it was first fetched"):
        fetch(weights, cache_dir=tmp_path)


def test_a_file_put_there_by_hand_is_held_to_its_first_use(tmp_path):
    (weights,) = [w for w in CATALOG["slow_r50_8x8"] if w.is_manual]
    with pytest.raises(CheckpointError) as error:
        fetch(weights, cache_dir=tmp_path)
    assert str(error.value) == (
        "slow_r50_8x8@tpn-k400 cannot be fetched by a program: open "
        "https://drive.google.com/open?id=1uKHvZsY_heFHTBl6RXo02I7-W_aLBhFI in a browser and put "
        f"the file into {tmp_path} as slow_r50_8x8-tpn-k400.pth"
    )
    path = tmp_path / "slow_r50_8x8-tpn-k400.pth"
    path.write_bytes(CONTENT)
    assert fetch(weights, cache_dir=tmp_path) == path
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(CheckpointError, match="changed since"):
        fetch(weights, cache_dir=tmp_path)


def test_offline_a_file_with_a_common_name_is_asked_for_under_one_of_its_own(tmp_path):
    weights = find_weights("slow_r50_8x8@pytorchvideo-ssv2")
    weights = replace(weights, url="http://127.0.0.1:9/ssv2/SLOW_8x8_R50.pyth")
    name = "slow_r50_8x8-pytorchvideo-ssv2.pyth"
    with pytest.raises(CheckpointError, match=f"SLOW_8x8_R50.pyth into .* yourself, as {name}"):
        fetch(weights, cache_dir=tmp_path)


def test_weights_are_found_by_name():
    assert find_weights("slow_r50_8x8").id == "pyslowfast-k400"
    assert find_weights("slow_r50_8x8@mmaction2-k400").sha256_prefix == "2132fc87"
    with pytest.raises(UsageError, match="did you mean 'mmaction2-k400'"):
        find_weights("slow_r50_8x8@mmaction-k400")
    with pytest.raises(CheckpointError, match="no published weights are known for r3d_50"):
        find_weights("r3d_50@any")
    with pytest.raises(UsageError, match="did you mean 'slow_r50_8x8'"):
        load_backbone("slow_r50_8x9@mmaction2-k400")


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """Return a function that publishes X3D-XS's tensors under a record and loads them."""
    torch.manual_seed(0)
    network = create_backbone("x3d_xs", num_classes=9, width=8)
    torch.save(network.state_dict(), tmp_path / "theirs.pth")
    server.content = (tmp_path / "theirs.pth").read_bytes()
    url = f"http://127.0.0.1:{server.server_port}/weights.pth"
    monkeypatch.setenv("VIDSKIM_CACHE", str(tmp_path / "cache"))

    def publish(**changes):
        fields = {"num_classes": None, "layout": "vidskim", "options": {"width": 8}, **changes}
        record = replace(find_weights("x3d_xs@pytorchvideo-k400"), url=url, id="ours", **fields)
        monkeypatch.setitem(CATALOG, "x3d_xs", (*CATALOG["x3d_xs"], record))
        return load_backbone("x3d_xs@ours")

    return publish


def test_other_weights_of_a_backbone_come_with_all_that_their_record_says(published, monkeypatch):
    from vidskim.backbones import registry

    monkeypatch.setitem(registry.VARIANTS, "x3d_xs", ({"width": 8},))
    loaded = published(class_order=None)
    assert loaded.clip == find_weights("x3d_xs@ours").clip
    assert loaded.clip.size == loaded.transform.crop == (182, 182)
    assert loaded.head_window == (5, 5)
    assert (loaded.num_classes, loaded.classes) == (9, None)
    assert loaded.options["width"] == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 10}, r"number of classes: 10 there, 9 here"),
        ({"layout": "PySlowFast"}, r"names of its tensors: 'PySlowFast' there, 'vidskim' here"),
        ({"options": {"width": 24}}, r"option width: 24 there, 8 here"),
    ],
)
def test_a_file_that_is_not_what_its_record_says_is_refused(
    published, monkeypatch, changes, message
):
    from vidskim.backbones import registry

    monkeypatch.setitem(registry.VARIANTS, "x3d_xs", ({"width": 8},))
    with pytest.raises(CheckpointError, match=message):
        published(**{"class_order": None, **changes})


def test_load_backbone_fetches_published_weights(server, tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = create_backbone("mc3_18")
    torch.save(network.state_dict(), tmp_path / "theirs.pth", _use_new_zipfile_serialization=False)
    server.content = (tmp_path / "theirs.pth").read_bytes()
    digest = hashlib.sha256(server.content).hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/weights.pth"
    record = replace(OFFICIAL_WEIGHTS["mc3_18"], url=url, sha256_prefix=digest[:8])
    monkeypatch.setitem(OFFICIAL_WEIGHTS, "mc3_18", record)
    monkeypatch.setenv("VIDSKIM_CACHE", str(tmp_path / "cache"))

    loaded = load_backbone("mc3_18")
    assert not loaded.training
    assert torch.equal(loaded.fc.weight, network.fc.weight)
    assert loaded.classes == kinetics400_classes()
    assert loaded.classes[0] == "abseiling"
    assert (loaded.clip, loaded.transform) == (record.clip, record.transform)
    fewer = load_backbone("mc3_18", num_classes=5)
    assert (fewer.num_classes, fewer.classes) == (5, None)
    assert server.requests == [None]


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDSKIM_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("VIDSKIM_CACHE")
    assert default_cache_dir().parts[-2:] == (".cache", "vidskim")


def test_a_backbone_without_published_weights_says_so():
    with pytest.raises(CheckpointError, match=r"for r3d_50.*r3d_18, mc3_18, r2plus1d_18"):
        official_weights("r3d_50")


def test_a_wrong_first_file_is_not_what_the_right_one_is_held_to(
    published, server, tmp_path, monkeypatch
):
    """A sign-in page, another network: nothing remembers it once it has been refused."""
    from vidskim.backbones import registry

    monkeypatch.setitem(registry.VARIANTS, "x3d_xs", ({"width": 8},))
    with pytest.raises(CheckpointError, match="number of classes: 10 there, 9 here"):
        published(class_order=None, num_classes=10)
    (wrong,) = (tmp_path / "cache").iterdir()  # the file, and no hash beside it
    torch.save(create_backbone("x3d_xs", num_classes=10, width=8).state_dict(), wrong)
    assert load_backbone("x3d_xs@ours").num_classes == 10
    assert wrong.with_name(wrong.name + ".sha256").exists()
