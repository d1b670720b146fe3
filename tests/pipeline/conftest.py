"""What holds for every test of this room: one thread, and no way to the network."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test that asks the network fails, rather than passing here and hanging elsewhere."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a test asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    empty: Path = tmp_path_factory.mktemp("torch_home")
    monkeypatch.setenv("TORCH_HOME", str(empty))
