"""What holds for every test of the pipeline: one thread, and no network."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch

from tests.conftest import write_folder

REAL_CONNECT, REAL_GETADDRINFO = socket.socket.connect, socket.getaddrinfo


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test that uses the network fails, rather than passing here and hanging elsewhere."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a test asked for the network")

    def to_a_process(connection: socket.socket, address: object) -> None:
        if connection.family != socket.AF_UNIX:
            refuse()
        REAL_CONNECT(connection, address)

    monkeypatch.setattr(socket.socket, "connect", to_a_process)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    empty: Path = tmp_path_factory.mktemp("torch_home")
    monkeypatch.setenv("TORCH_HOME", str(empty))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set as a folder; tests must not change it."""
    return write_folder(tmp_path_factory.mktemp("data") / "xrays")


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory, so that whatever is written there is seen."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def loopback(_no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow connections to this machine, 127.0.0.1, and to no other."""
    connect, getaddrinfo = REAL_CONNECT, REAL_GETADDRINFO

    def to_here(connection: socket.socket, address: object) -> None:
        assert isinstance(address, tuple)
        assert address[0] == "127.0.0.1", f"a test asked the network for {address}"
        connect(connection, address)

    def of_here(host: object, *arguments: object, **options: object) -> object:
        assert host == "127.0.0.1", f"a test asked the network for {host}"
        return getaddrinfo(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", to_here)
    monkeypatch.setattr(socket, "getaddrinfo", of_here)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
