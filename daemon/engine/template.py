"""The process that all workers are forked from: it imports what takes long, once, and knows no secret.

The server hands it a job as descriptors (the recording, the way for job and reply, the way for its end); a
worker is a fork that shuts itself in and does the job. A fork copies only the thread that forks: with another
one, one that holds a lock, the copy could wait for ever. So nothing imported here may start a thread, which
is checked before each fork.
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from daemon.engine import worker

READY = b"ready"
FAILED = 1
HEAVY = ("av", "numpy", "ctranslate2", "tokenizers", "onnxruntime", "faster_whisper")
WITHOUT_IMPORTS = "--without-imports"


def main() -> None:
    """Serve the socket on stdin until the server closes it."""
    if WITHOUT_IMPORTS not in sys.argv:
        _import_what_takes_long()
    gc.freeze()  # what is here stays: no worker touches it, and so copies it, to count references
    with socket.socket(fileno=os.dup(0)) as control:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        serve(control, worker.main)


def serve(control: socket.socket, work: Callable[[int, int, int], int]) -> None:
    """Fork a worker per message on `control`; returns when the other end is closed, without workers."""
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # meant for the server, which ends this process by its socket
    workers: dict[int, socket.socket] = {}
    given_up: set[int] = set()
    control.send(READY)
    while True:
        waiting: list[socket.socket | int] = [each for pid, each in workers.items() if pid not in given_up]
        readable, _, _ = select.select([control, woken, *waiting], [], [])
        if woken in readable:
            os.read(woken, 4096)
        for pid, end in workers.items():
            if end in readable:  # the server closed its side: nobody waits for this one any more
                os.kill(pid, signal.SIGKILL)
                given_up.add(pid)
        _tell_ends(workers, given_up)
        if control in readable and not _take_job(control, workers, work):
            break
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


def _take_job(
    control: socket.socket, workers: dict[int, socket.socket], work: Callable[[int, int, int], int]
) -> bool:
    try:
        message, descriptors, _, _ = socket.recv_fds(control, 16, 3)
    except ConnectionError:
        message, descriptors = b"", []
    if not message:
        return False
    audio, way, end = descriptors
    pid = _fork()
    if pid == 0:
        _become_worker(audio, way, work)
    os.close(audio)
    os.close(way)
    workers[pid] = socket.socket(fileno=end)
    return True


def _tell_ends(workers: dict[int, socket.socket], given_up: set[int]) -> None:
    """Tell the server how each worker ended: its exit status, or minus the signal."""
    while workers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        given_up.discard(pid)
        with workers.pop(pid) as end, contextlib.suppress(OSError):
            end.send(str(os.waitstatus_to_exitcode(status)).encode())


def _fork() -> int:
    if threads() != 1:
        raise RuntimeError("a thread was started in the process that workers are forked from")
    return os.fork()


def _become_worker(audio: int, way: int, work: Callable[[int, int, int], int]) -> NoReturn:
    """Do the job in the new process and end it; nothing of the template's is left open to it."""
    status = FAILED
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        parent = os.getppid()
        for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 -- names, no paths
            if descriptor > 2 and descriptor not in (audio, way):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        status = work(audio, way, parent)
    finally:
        os._exit(status)


def _import_what_takes_long() -> None:
    """Import it here; if a thread comes with it, begin anew and leave it to each worker, at 0.5 s each."""
    with _quiet_stderr():
        for name in HEAVY:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    if threads() != 1:
        sys.stderr.write("a library starts threads when it is imported: every request will take longer\n")
        os.execv(  # noqa: S606
            sys.executable, [sys.executable, "-P", "-m", "daemon.engine.template", WITHOUT_IMPORTS]
        )


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep out of the log what libraries write there, such as that they cannot see /proc/cpuinfo."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def threads() -> int:
    """Count the threads of this process."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


if __name__ == "__main__":
    main()
