"""Earshot as a process of its own, started without loading it anew each time.

To load earshot and what it uses takes two thirds of a second of processor time. `start` has a process that
has loaded all of it, and done nothing else, make a copy of itself (fork). The copy obeys its arguments as
`python -m daemon` does, with an environment, a current folder, streams and signals of its own.

Where a copy would not be like a new process (another program in front of it, a library to preload, a Python
that is set up otherwise) it is a new process; so a test of the start itself asks for one: `prefix=("env",)`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).parents[1]
READ_AT_ITS_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_")
"""Beginnings of the variables that Python and its libraries read once, as a process begins."""
OBEYED_BY_COPIES = frozenset({"PYTHONUNBUFFERED", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"})
LONGEST_MESSAGE = 1 << 17
NULL = os.devnull
ADDRESS = "EARSHOT_TESTS_STARTER"
"""Names, for the processes of one run of the tests, where the one listens that makes the copies."""
OWNER = 0
"""Its input, which ends with the one who started it."""

Stream = int | IO[Any] | None
"""A descriptor, an open file, subprocess.DEVNULL, subprocess.PIPE for what it writes, or None for the one of
this process."""


class Copy:
    """A process made by fork, with what `subprocess.Popen` offers for one."""

    def __init__(
        self, pid: int, end: socket.socket, stdout: IO[bytes] | None, stderr: IO[bytes] | None
    ) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout, self.stderr = stdout, stderr
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()

    def poll(self) -> int | None:
        """The exit code, a signal's negative; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended."""
        if self.returncode is None:
            self._end.settimeout(timeout)
            try:
                said = self._end.recv(64)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(f"earshot, process {self.pid}", timeout or 0.0) from None
            assert said, "the process that starts others has ended"
            self.returncode = int(said)
            self._end.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


Process = subprocess.Popen[bytes] | Copy


def start(
    *arguments: str,
    env: Mapping[str, str] = os.environ,
    cwd: str | os.PathLike[str] | None = None,
    prefix: tuple[str, ...] = (),
    stdin: Stream = None,
    stdout: Stream = None,
    stderr: Stream = None,
) -> Process:
    """Start `earshot` with these arguments; `prefix` is a command that is to run it."""
    if prefix or not _copies_obey(env):
        command = [*prefix, *command_line(*arguments)]
        return subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            # Without the terminal that the tests may be run from: SIGHUP means something else with one.
            start_new_session=True,
        )
    with contextlib.ExitStack() as opened:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened.callback(theirs.close)
        read, stdout = _piped(stdout, opened)
        read_too, stderr = _piped(stderr, opened)
        streams = [
            _descriptor(stream, number, opened) for number, stream in enumerate((stdin, stdout, stderr))
        ]
        request = {"arguments": arguments, "env": dict(env), "cwd": os.fspath(cwd or Path.cwd())}
        server = _server()
        socket.send_fds(server, [json.dumps(request).encode()], [*streams, theirs.fileno()])
    return Copy(int(server.recv(64)), ours, read, read_too)


def run(
    *arguments: str, env: Mapping[str, str], cwd: str | os.PathLike[str] | None = None, timeout: float = 90
) -> subprocess.CompletedProcess[str]:
    """Run `earshot` with these arguments to its end; it gets nothing to read."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        with start(
            *arguments, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        ) as process:
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        said, complained = (_text(file) for file in (stdout, stderr))
    return subprocess.CompletedProcess(["earshot", *arguments], code, said, complained)


def command_line(*arguments: str) -> list[str]:
    """The command of an earshot that is loaded anew."""
    return [sys.executable, "-m", "daemon", *arguments]


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return io.TextIOWrapper(io.BytesIO(file.read()), encoding="utf-8").read()


def _copies_obey(env: Mapping[str, str]) -> bool:
    def read_at_start(variables: Mapping[str, str]) -> dict[str, str]:
        return {
            name: value
            for name, value in variables.items()
            if name.startswith(READ_AT_ITS_START) and name not in OBEYED_BY_COPIES
        }

    def paths(variables: Mapping[str, str]) -> set[str]:
        return {"", str(ROOT), *variables.get("PYTHONPATH", "").split(os.pathsep)}

    return read_at_start(env) == read_at_start(os.environ) and paths(env) <= paths(os.environ)


def _piped(stream: Stream, opened: contextlib.ExitStack) -> tuple[IO[bytes] | None, Stream]:
    """The end of a pipe to read from, where one is wanted, and what the process is to write to."""
    if stream != subprocess.PIPE:
        return None, stream
    reading, writing = os.pipe()
    opened.callback(os.close, writing)
    return os.fdopen(reading, "rb"), writing


def _descriptor(stream: Stream, number: int, opened: contextlib.ExitStack) -> int:
    if stream is None:
        return number
    if stream == subprocess.DEVNULL:
        return opened.enter_context(Path(NULL).open("r+b")).fileno()
    return stream if isinstance(stream, int) else stream.fileno()


def share() -> None:
    """Have one process make the copies for all who are started from here: to load it takes over a second."""
    os.environ[ADDRESS] = _starter()


@functools.cache
def _server() -> socket.socket:
    """The way to the process that has loaded earshot."""
    way = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    way.connect(os.environ.get(ADDRESS) or _starter())
    atexit.register(way.close)
    assert way.recv(64), "earshot cannot be loaded: the error is in what was captured of stderr"
    return way


def _starter() -> str:
    """Start the process that is copied, which ends with this one; return its address."""
    # The path of a socket must be short.
    folder = tempfile.mkdtemp(prefix="earshot-", dir="/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{folder}/starter")
        listener.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.processes", str(listener.fileno())],
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def end() -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()

    atexit.register(end)
    return f"{folder}/starter"


# In the process that is copied.


@dataclass
class _Made:
    """A copy, the connection on which it was asked for, and the descriptor on which its end is told."""

    pid: int
    asker: int
    told: int


def _serve(listener: socket.socket) -> dict[str, Any]:
    """Make copies until nobody is there to ask for one; return, in each copy, what is asked of it."""
    askers: dict[int, socket.socket] = {}
    made: dict[int, _Made] = {}
    waiting = select.poll()
    for each in (OWNER, listener.fileno()):
        waiting.register(each, select.POLLIN)
    while True:
        for ready, _ in waiting.poll():
            if ready == OWNER:
                _end(made.values())
                os._exit(0)
            elif ready == listener.fileno():
                asker, _ = listener.accept()
                askers[asker.fileno()] = asker
                waiting.register(asker, select.POLLIN)
                asker.send(b"loaded")
            elif ready in made:
                waiting.unregister(ready)
                _tell_end(ready, made.pop(ready))
            elif asked := _asked(askers[ready]):
                message, descriptors = asked
                pid = os.fork()
                if not pid:
                    request: dict[str, Any] = json.loads(message)
                    return request | {"streams": descriptors[:3]}
                askers[ready].send(str(pid).encode())
                for descriptor in descriptors[:3]:
                    os.close(descriptor)
                watched = os.pidfd_open(pid)
                made[watched] = _Made(pid, ready, descriptors[3])
                waiting.register(watched, select.POLLIN)
            else:
                _end(each for each in made.values() if each.asker == ready)
                waiting.unregister(ready)
                askers.pop(ready).close()


def _asked(asker: socket.socket) -> tuple[bytes, list[int]] | None:
    """What is asked for, None when nobody is there any more."""
    try:
        message, descriptors, *_ = socket.recv_fds(asker, LONGEST_MESSAGE, 4)
    except ConnectionError:
        return None
    return (message, descriptors) if message else None


def _tell_end(watched: int, copy: _Made) -> None:
    _, status = os.waitpid(copy.pid, 0)
    with contextlib.suppress(OSError):
        os.write(copy.told, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(copy.told)
    os.close(watched)


def _end(copies: Iterable[_Made]) -> None:
    for copy in copies:
        os.kill(copy.pid, signal.SIGKILL)


def _become(request: dict[str, Any]) -> None:
    """Make of this copy what a new process would be."""
    for number, descriptor in enumerate(request["streams"]):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    tempfile.tempdir = None
    sys.argv = [str(ROOT / "daemon" / "__main__.py"), *request["arguments"]]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _printing_to(1, "strict")
    sys.stderr = _printing_to(2, "backslashreplace")
    gc.enable()


def _printing_to(number: int, errors: str) -> io.TextIOWrapper:
    """A standard stream as Python opens it."""
    raw = io.FileIO(number, "w", closefd=False)
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    return io.TextIOWrapper(
        raw if at_once else io.BufferedWriter(raw),
        encoding="utf-8",
        errors=errors,
        line_buffering=number == 2 or os.isatty(number),
        write_through=at_once,
    )


def _load() -> None:
    """Import all that the commands use, but not what recognizes, which is a process of its own."""
    importlib.import_module("daemon.storage")
    for module in pkgutil.walk_packages(daemon.__path__, "daemon."):
        if not module.name.startswith(("daemon.engine", "daemon.__main__")):
            importlib.import_module(module.name)
    others = ("daemon.engine.server", "httpcore", "netrc", "rich.console", "rich.progress", "rich.table")
    for name in others:
        importlib.import_module(name)
    N_MGR.load_modules()  # type: ignore[no-untyped-call]
    # A file of the package itself, which each process reads once and keeps.
    listed_prices()


def _main(descriptor: int) -> None:
    codes: list[int] = []
    # Registered first and so called last, when all else has ended in order.
    atexit.register(_leave, codes)
    # What is never collected is never written to: the copies share its memory.
    gc.disable()
    _load()
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread would not be in the copies"
    gc.freeze()
    _become(_serve(socket.socket(fileno=descriptor)))
    try:
        importlib.import_module("daemon.__main__").main()
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        codes.append(ended.code)


def _leave(codes: list[int]) -> None:
    """Exit before Python takes down all modules, which would write to, and so copy, all that is shared."""
    for code in codes:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    # Only here, lest the tests themselves load it.
    from apprise.plugins import N_MGR

    import daemon
    from daemon.deepgram.prices import listed_prices

    _main(int(sys.argv[1]))
