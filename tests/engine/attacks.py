"""What code that a recording smuggled into the decoder might try: in a real worker or, to compare, not."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from daemon.engine import template, worker

PTRACE_ATTACH, PTRACE_DETACH = 16, 17
PROCESS_VM_READV, IO_URING_SETUP, PIDFD_OPEN = {"x86_64": (310, 425, 434)}.get(
    os.uname().machine, (270, 425, 434)
)
PR_SET_DUMPABLE = 4
NOT_THERE = b"/no/such/program"

Attempt = Callable[[dict[str, Any], BinaryIO], object]


def read_the_database(targets: dict[str, Any], _: BinaryIO) -> object:
    return Path(targets["database"]).read_bytes()


def list_its_folder(targets: dict[str, Any], _: BinaryIO) -> object:
    return os.listdir(Path(targets["database"]).parent)  # noqa: PTH208


def write_a_file(targets: dict[str, Any], _: BinaryIO) -> object:
    return Path(targets["database"]).with_name("new").write_bytes(b"x")


def write_into_the_upload(_: dict[str, Any], recording: BinaryIO) -> object:
    return os.write(os.open(f"/proc/self/fd/{recording.fileno()}", os.O_RDWR), b"x")


def delete_a_file(targets: dict[str, Any], _: BinaryIO) -> object:
    Path(targets["victim"]).unlink()
    return True


def make_a_link(targets: dict[str, Any], _: BinaryIO) -> object:
    Path(targets["database"]).with_name("link").symlink_to("/etc/passwd")
    return True


def connect_by_tcp(targets: dict[str, Any], _: BinaryIO) -> object:
    with socket.create_connection(("127.0.0.1", targets["port"])) as connection:
        return connection.getpeername()


def connect_to_the_engines_socket(targets: dict[str, Any], _: BinaryIO) -> object:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(targets["socket"])
        return True


def send_by_udp(targets: dict[str, Any], _: BinaryIO) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        return out.sendto(b"x", ("127.0.0.1", targets["port"]))


def listen(_: dict[str, Any], __: BinaryIO) -> object:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()


def read_anothers_environment(targets: dict[str, Any], _: BinaryIO) -> object:
    return Path(f"/proc/{targets['pid']}/environ").read_bytes()


def read_anothers_memory_as_a_file(targets: dict[str, Any], _: BinaryIO) -> object:
    with Path(f"/proc/{targets['pid']}/mem").open("rb"):
        return True


def read_anothers_memory(targets: dict[str, Any], _: BinaryIO) -> object:
    taken = ctypes.create_string_buffer(1)
    ours = (ctypes.c_size_t * 2)(ctypes.addressof(taken), 1)
    theirs = (ctypes.c_size_t * 2)(0, 1)
    return called(PROCESS_VM_READV, targets["pid"], ours, 1, theirs, 1, 0, fine=errno.EFAULT)


def trace_another(targets: dict[str, Any], _: BinaryIO) -> object:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, targets["pid"], None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(targets["pid"], 0)
    return libc.ptrace(PTRACE_DETACH, targets["pid"], None, None) == 0


def signal_another(targets: dict[str, Any], _: BinaryIO) -> object:
    os.kill(targets["pid"], 0)
    return True


def hold_another(targets: dict[str, Any], _: BinaryIO) -> object:
    return called(PIDFD_OPEN, targets["pid"], 0) > 0


def start_a_process(_: dict[str, Any], __: BinaryIO) -> object:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)


def run_a_program(_: dict[str, Any], __: BinaryIO) -> object:
    # One that is not there: this very process would otherwise become it.
    ctypes.CDLL(None, use_errno=True).execve(NOT_THERE, None, None)
    if ctypes.get_errno() != errno.ENOENT:
        raise OSError(ctypes.get_errno(), "execve")
    return True


def let_others_read_its_memory(_: dict[str, Any], __: BinaryIO) -> object:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return True


def give_itself_memory(_: dict[str, Any], __: BinaryIO) -> object:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return len(mmap.mmap(-1, 3 << 30))


def give_itself_descriptors(_: dict[str, Any], __: BinaryIO) -> object:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4000, 4000))
    return [os.dup(0) for _ in range(300)][-1]


def use_a_ring(_: dict[str, Any], __: BinaryIO) -> object:
    return called(IO_URING_SETUP, 1, None, fine=errno.EFAULT)


def called(number: int, *arguments: object, fine: int | None = None) -> int:
    """Make a system call; `fine` is the error that only one who may make it gets."""
    result = int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))
    if result < 0 and ctypes.get_errno() != fine:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return max(result, 1)


ATTEMPTS: dict[str, Attempt] = {
    each.__name__: each
    for each in (
        *(
            read_the_database,
            list_its_folder,
            write_a_file,
            write_into_the_upload,
            delete_a_file,
            make_a_link,
        ),
        *(connect_by_tcp, connect_to_the_engines_socket, send_by_udp, listen),
        *(read_anothers_environment, read_anothers_memory_as_a_file, read_anothers_memory, trace_another),
        *(signal_another, hold_another, start_a_process, run_a_program, let_others_read_its_memory),
        *(give_itself_memory, give_itself_descriptors, use_a_ring),
    )
}


def attack(recording: BinaryIO, job: worker.Job | None = None, _: worker.Tell | None = None) -> bytes:
    """Try everything; return what came of each as JSON, and what a worker must still be able to do."""
    targets = json.loads(recording.read())
    outcome = {name: outcome_of(attempt, targets, recording) for name, attempt in ATTEMPTS.items()}
    harmless = {
        "import": lambda *_: __import__("wave").__name__,
        "thread": lambda *_: in_a_thread(),
        "descriptors": lambda *_: open_descriptors(),
        "environment": lambda *_: sorted(os.environ),
    }
    return json.dumps(
        outcome | {name: outcome_of(each, targets, recording) for name, each in harmless.items()}
    ).encode()


def outcome_of(attempt: Attempt, targets: dict[str, Any], recording: BinaryIO) -> object:
    try:
        done = attempt(targets, recording)
    except (OSError, MemoryError, ValueError) as error:
        return f"refused: {error}"
    return done if isinstance(done, int | str | list) else "done"


def in_a_thread() -> str:
    done: list[str] = []
    thread = threading.Thread(target=partial(done.append, "ran"))
    thread.start()
    thread.join()
    return done[0]


def open_descriptors() -> list[int]:
    found = []
    for number in range(3, 100):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(number)
    return found


def main() -> None:
    """Serve the socket on stdin as the engine's own template does, with workers that attack."""
    if "--outside" in sys.argv:
        sys.stdout.write(attack(sys.stdin.buffer).decode())
        return
    with socket.socket(fileno=os.dup(0)) as control:
        template.serve(control, partial(worker.run, work=attack))
