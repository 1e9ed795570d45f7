"""Folders that this host shares, by a real smbd and a real SFTP server: what clients of either do to files.

Explorer gives a file its full size before its bytes; Finder makes it empty, closes it, and opens it again; a
client on a bad line stalls, or is gone in the middle. All at once, into one running service.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.programs import program
from tests.servers import wait_until
from tests.watching.places import METHODS, Act, Outcome, Place, run, watched_writing

SETTLE_SECONDS = 0.6
LONG_STALL_SECONDS = 2.6
"""Longer than the two seconds after which smbd sets the time of a file once more."""
OLD = 1_000_000_000
"""A time in the year 2001, in seconds since 1970."""

SMB_CONF = """
[global]
server role = standalone server
interfaces = lo
bind interfaces only = yes
smb ports = {port}
disable netbios = yes
load printers = no
disable spoolss = yes
map to guest = Bad User
guest account = root
lock directory = {state}
state directory = {state}
cache directory = {state}
private dir = {state}
pid directory = {state}
ncalrpc dir = {state}/ncalrpc
log file = {state}/log
[calls]
path = {folder}
read only = no
guest ok = yes
"""


@dataclass(frozen=True)
class Share:
    """A folder as smbd shares it."""

    port: int
    folder: Path
    home: Path

    def address(self, path: Path) -> str:
        return f"smb://127.0.0.1:{self.port}/calls/{path.relative_to(self.folder)}"

    def smbclient(self, place: Place, script: str) -> None:
        """Run commands of smbclient in the folder of a place, beginning in its outside."""
        inside = str(place.path.relative_to(self.folder)).replace("/", "\\")
        command = [
            program("smbclient"),
            "//127.0.0.1/calls",
            "-N",
            f"-p{self.port}",
            "-D",
            inside,
            "-c",
            script,
        ]
        run(*command, cwd=place.outside, env=self.environment())

    def environment(self) -> dict[str, str]:
        """Without the settings of whoever runs the tests."""
        return os.environ | {"HOME": str(self.home)}

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        command = [sys.executable, str(Path(__file__).with_name("smb_client.py"))]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment()
        ) as process:
            yield Client(process)


@dataclass(frozen=True)
class Client:
    """A process that takes the steps of tests/watching/smb_client.py."""

    process: subprocess.Popen[str]

    def __call__(self, step: str, address: str, *arguments: Any) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([step, address, *arguments]) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n", f"{step} {address} failed"


@contextlib.contextmanager
def smbd(folder: Path, state: Path) -> Iterator[Share]:
    """A server on loopback that lets anybody into the folder."""
    server = program("smbd")
    if os.geteuid():
        pytest.skip("smbd needs root to let a guest write")
    state.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = state / "smb.conf"
    settings.write_text(SMB_CONF.format(port=port, state=state, folder=folder))
    command = [server, "--foreground", "--no-process-group", f"--configfile={settings}", "--debug-stdout"]
    with (state / "said").open("wb") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
    try:
        wait_until(lambda: process.poll() is not None or _listens(port), what="smbd listens")
        assert process.poll() is None, (state / "said").read_text()
        yield Share(port, folder, state)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


# What clients of the SMB share do


def smbclient_puts(place: Place, share: Share) -> None:
    place.source("a.wav", seconds=40)
    share.smbclient(place, "put a.wav")


def smbclient_puts_a_tree(place: Place, share: Share) -> None:
    for number in range(20):
        place.source(f"tree/{number % 4}/{number}.wav")
    share.smbclient(place, "recurse ON; prompt OFF; mput tree")


def smbclient_puts_and_renames(place: Place, share: Share) -> None:
    place.source("a.wav")
    share.smbclient(place, "put a.wav a.wav.part; rename a.wav.part a.wav")


def smbclient_renames_and_deletes(place: Place, share: Share) -> None:
    place.drop("a.wav")
    place.drop("b.wav")
    share.smbclient(place, "mkdir deep; rename a.wav deep\\c.wav; del b.wav")
    place.expected["deep/c.wav"] = place.expected.pop("a.wav")


def explorer(place: Place, share: Share) -> None:
    """The size first, then the bytes, slowly; at the end the time of the original."""
    source, address = place.source("a.wav", seconds=4), share.address(place.path / "a.wav")
    with share.client() as client:
        client("open", address)
        client("set_size", address, source.stat().st_size)
        for part in range(2):
            place.outlast_settling()
            client("write", address, str(source), *_part(source, part, of=2))
        client("close", address)
        client("set_time", address, OLD)


def explorer_replaces(place: Place, share: Share) -> None:
    place.drop("a.wav")
    explorer(place, share)


def finder(place: Place, share: Share) -> None:
    """Made empty and closed, with the files that macOS puts beside; opened again later and written."""
    source, address = place.source("a.wav", seconds=4), share.address(place.path / "a.wav")
    beside = share.address(place.path / "._a.wav")
    with share.client() as client:
        client("open", address)
        client("close", address)
        client("open", beside)
        client("write", beside, str(source), 0, 4096)
        client("close", beside)
        place.outlast_settling()
        client("open", address)
        for part in range(2):
            client("write", address, str(source), *_part(source, part, of=2))
            place.outlast_settling()
        client("close", address)
        client("set_time", address, OLD)


def client_that_stalls(place: Place, share: Share) -> None:
    """In the middle of the bytes, with nothing that says how many there will be."""
    source, address = place.source("a.raw", seconds=4), share.address(place.path / "a.raw")
    with share.client() as client:
        client("open", address)
        for part in range(2):
            client("write", address, str(source), *_part(source, part, of=2))
            threading.Event().wait(LONG_STALL_SECONDS)
            place.outlast_settling()
        client("close", address)


def client_that_is_gone_and_copies_again(place: Place, share: Share) -> None:
    source, address = place.source("a.wav", seconds=4), share.address(place.path / "a.wav")
    with share.client() as client:
        client("open", address)
        client("write", address, str(source), *_part(source, 0, of=2))
        client.process.kill()
    place.outlast_settling()
    share.smbclient(place, "put a.wav")


def client_that_writes_under_another_name(place: Place, share: Share) -> None:
    source, address = place.source("a.wav", seconds=4), share.address(place.path / "a.wav")
    with share.client() as client:
        client("open", f"{address}.tmp")
        client("write", f"{address}.tmp", str(source), 0, source.stat().st_size)
        client("close", f"{address}.tmp")
        client("set_time", f"{address}.tmp", OLD)
        place.outlast_settling()
        client("rename", f"{address}.tmp", address)


def _part(source: Path, number: int, *, of: int) -> tuple[int, int]:
    size = source.stat().st_size
    return size * number // of, size * (number + 1) // of


# What clients by SFTP do


def _sftp(place: Place, script: str, *options: str) -> list[str]:
    (place.outside / "script").write_text(f"cd {place.path}\nlcd {place.outside}\n{script}\n")
    server = program("sftp-server")
    return [program("sftp"), "-q", "-b", str(place.outside / "script"), *options, "-D", server]


def sftp_puts(place: Place, share: Share) -> None:
    place.source("a.wav", seconds=4)
    run(*_sftp(place, "put a.wav"))


def sftp_puts_slowly_and_keeps_the_time(place: Place, share: Share) -> None:
    """By a line of a megabit a second."""
    source = place.source("a.wav", seconds=4)
    os.utime(source, (OLD, OLD))
    run(*_sftp(place, "put -p a.wav", "-l", "400", "-B", "4096"))


def sftp_puts_and_renames(place: Place, share: Share) -> None:
    place.source("a.wav", seconds=4)
    run(*_sftp(place, "put a.wav a.wav.filepart\nrename a.wav.filepart a.wav"))


def sftp_is_cut_off_and_resumes(place: Place, share: Share) -> None:
    source, target = place.source("a.wav", seconds=4), place.path / "a.wav"
    with subprocess.Popen(
        _sftp(place, "put a.wav", "-l", "400", "-B", "4096"),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as cut:
        wait_until(lambda: target.exists() and target.stat().st_size > 10_000, what="a part of it")
        os.killpg(cut.pid, signal.SIGKILL)
    assert target.stat().st_size < source.stat().st_size
    place.outlast_settling()
    run(*_sftp(place, "reput a.wav"))


CLIENTS = [
    smbclient_puts,
    smbclient_puts_a_tree,
    smbclient_puts_and_renames,
    smbclient_renames_and_deletes,
    explorer,
    explorer_replaces,
    finder,
    client_that_stalls,
    client_that_is_gone_and_copies_again,
    client_that_writes_under_another_name,
    sftp_puts,
    sftp_puts_slowly_and_keeps_the_time,
    sftp_puts_and_renames,
    sftp_is_cut_off_and_resumes,
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Outcome]:
    """What became of all of them, by method and name."""
    for name in ("smbclient", "sftp", "sftp-server"):
        program(name)
    top = tmp_path_factory.mktemp("shares")
    with smbd(top / "watched", top / "smbd") as share:
        acts: dict[str, Act] = {client.__name__: partial(client, share=share) for client in CLIENTS}
        return watched_writing(top, acts, settle_seconds=SETTLE_SECONDS)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
@pytest.mark.parametrize("method", METHODS)
def test_each_client_of_a_share_ends_in_one_recording_of_what_it_copied(
    outcomes: dict[tuple[str, str], Outcome], method: str, client: Callable[..., None]
) -> None:
    """However it writes, and whatever it says of size and time before it has ended."""
    assert outcomes[method, client.__name__].is_one_recording_each()
