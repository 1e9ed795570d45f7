"""What the service manager hears, over a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from daemon.runtime import sdnotify


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """A datagram socket as systemd holds one; not bound yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(60)
        yield listening


def test_message_reaches_the_socket_named_by_the_environment(manager: socket.socket, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    manager.bind(address)
    assert sdnotify.notify("READY=1\nSTATUS=watching 2 folders", env={"NOTIFY_SOCKET": address})
    assert manager.recv(4096) == b"READY=1\nSTATUS=watching 2 folders"


def test_abstract_address_is_understood(manager: socket.socket) -> None:
    name = f"earshot-test-{uuid4()}"
    manager.bind("\0" + name)
    assert sdnotify.notify("WATCHDOG=1", env={"NOTIFY_SOCKET": "@" + name})
    assert manager.recv(4096) == b"WATCHDOG=1"


def test_name_that_is_not_utf8_in_a_status_is_sent_escaped(manager: socket.socket, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    manager.bind(address)
    assert sdnotify.notify("STATUS=" + os.fsdecode(b"a\xff.wav"), env={"NOTIFY_SOCKET": address})
    assert manager.recv(4096) == rb"STATUS=a\udcff.wav"


@pytest.mark.parametrize("env", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_service_manager_nothing_is_sent(env: dict[str, str]) -> None:
    assert not sdnotify.notify("READY=1", env=env)


def test_manager_that_has_gone_away_raises_nothing(manager: socket.socket, tmp_path: Path) -> None:
    assert not sdnotify.notify("READY=1", env={"NOTIFY_SOCKET": str(tmp_path / "missing")})
    address = str(tmp_path / "closed")
    manager.bind(address)
    manager.close()
    assert not sdnotify.notify("READY=1", env={"NOTIFY_SOCKET": address})


def test_manager_that_does_not_read_stops_nobody(manager: socket.socket, tmp_path: Path) -> None:
    address = str(tmp_path / "deaf")
    manager.bind(address)
    for _ in range(10_000):
        if not sdnotify.notify("WATCHDOG=1", env={"NOTIFY_SOCKET": address}):
            return
    raise AssertionError("nobody reads it and it is never full")


def test_no_descriptor_is_left_open(manager: socket.socket, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    manager.bind(address)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        sdnotify.notify("WATCHDOG=1", env={"NOTIFY_SOCKET": address})
        sdnotify.notify("WATCHDOG=1", env={"NOTIFY_SOCKET": address + "-missing"})
    assert len(list(Path("/proc/self/fd").iterdir())) == before
