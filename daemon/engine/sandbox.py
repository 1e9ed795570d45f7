"""Shuts a worker in before it reads a byte of a recording: what it may use, read and ask of the kernel.

The decoder is not trusted: code that a recording smuggles into it can compute, read the upload, the models
and the libraries, and answer. It finds no network, no other file or process, and no way to start one. Where
the kernel lacks a measure the others hold; `missing` names it.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import resource
import signal
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon.engine import seccomp

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38  # prctl(2)
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = (
    444,
    445,
    446,
)  # the same on all processors
LANDLOCK_VERSION = 1
READ_FILE, READ_DIR = 1 << 2, 1 << 3
# Rights and scopes by the version of Landlock that brought them (landlock(7)); what is handled and not
# allowed is refused: TCP from version 4 on, signals and abstract sockets of others from 6 on.
FILE_RIGHTS = ((1, 0x1FFF), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
TCP_RIGHTS = 0b11
SCOPES = 0b11

OPEN_FILES = 128
THREADS = 512  # above those that the user runs already
MOST_SECONDS = 24 * 3600
NICENESS = 5  # the machine's other work should not wait for recognition
LIBRARIES = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
PROCESSORS = ("/proc/cpuinfo", "/sys/devices/system/cpu", "/sys/devices/system/node")
GRAPHICS = (
    "/dev/nvidiactl",
    "/dev/nvidia-uvm",
    "/dev/nvidia0",
    "/proc/driver/nvidia",
    "/sys/bus/pci/devices",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one worker may have: `readable` paths beside the libraries, and memory in bytes.

    `graphics`: it runs on a graphics card. Its driver wants address space beyond any limit, and its own
    calls.
    """

    readable: tuple[str, ...] = ()
    memory_bytes: int
    cpu_seconds: int
    graphics: bool = False


def missing() -> list[str]:
    """Name the measures that this kernel, or the service's own sandbox, does not give."""
    found = [] if _landlock_version() else ["Landlock (files)"]
    return found if seccomp.is_known() else [*found, "seccomp (system calls)"]


def may_run_new_code() -> bool:
    """Whether memory may be made executable here; recognition writes machine code while it runs."""
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        return False
    return True


def enter(bounds: Bounds, parent: int) -> None:
    """Limit this process for good; it has one thread, and ends with its parent, even after kill -9."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # meant for the server, which ends its workers itself
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        # The kernel's choice when memory runs out: a worker, never the server or the service.
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    _limit_resources(bounds)
    if sys.platform != "linux":
        return
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before the signal was set
    _prctl(PR_SET_DUMPABLE, 0)  # only root may read its memory, with what was said
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if _landlock_version():
        _restrict_files((*libraries(), *PROCESSORS, *bounds.readable, *(GRAPHICS if bounds.graphics else ())))
    if seccomp.is_known():
        seccomp.restrict_calls(ioctl=bounds.graphics)


def libraries() -> Iterator[str]:
    """Where modules and shared libraries lie that are loaded when they are first needed."""
    yield from LIBRARIES
    yield str(Path(__file__).parents[1])
    yield from (path for path in sys.path if Path(path).name in ("site-packages", "dist-packages"))
    yield from {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    # A virtual environment's interpreter looks for its own configuration.
    yield str(Path(sys.prefix, "pyvenv.cfg"))


def allow_seconds(seconds: float) -> None:
    """Have this process ended when it used this much processor time, or took far longer in all."""
    cpu = int(min(seconds, MOST_SECONDS))
    _limit(resource.RLIMIT_CPU, cpu, hard=False)
    # For one that waits instead of working; twenty others may have to share a processor with it.
    signal.alarm(20 * cpu + 60)


def _limit_resources(bounds: Bounds) -> None:
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    with contextlib.suppress(OSError, ValueError):
        _limit(resource.RLIMIT_NPROC, _tasks_of_user() + THREADS)
    if not bounds.graphics:
        used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        _limit(resource.RLIMIT_AS, used + bounds.memory_bytes)
    _limit(resource.RLIMIT_CPU, MOST_SECONDS)
    allow_seconds(bounds.cpu_seconds)


def _limit(what: int, value: int, *, hard: bool = True) -> None:
    """Set a limit where that is allowed: a hardened service may have a lower one already."""
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(what)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(what, (value, value if hard else most))


def _tasks_of_user() -> int:
    """Count this user's threads as far as they can be seen: the kernel counts them all."""
    user, count = os.getuid(), 0
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == user:
                count += Path(entry.path, "task").stat().st_nlink - 2
    return count


def _restrict_files(paths: Iterable[str]) -> None:
    version = _landlock_version()
    files = sum(rights for since, rights in FILE_RIGHTS if version >= since)
    attributes = (ctypes.c_uint64 * 3)(files, TCP_RIGHTS, SCOPES)
    size = 8 * (1 + (version >= 4) + (version >= 6))
    rules = _call(LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    for path in dict.fromkeys(paths):
        _allow_reading(rules, path)
    _call(LANDLOCK_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _allow_reading(rules: int, path: str) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on every system
    try:
        mode = os.fstat(opened).st_mode
        rights = READ_FILE | (READ_DIR if stat.S_ISDIR(mode) else 0)
        if stat.S_ISCHR(mode):
            rights |= 1 << 1 | (1 << 15 if _landlock_version() >= 5 else 0)  # a graphics card is written to
        rule = rights.to_bytes(8, sys.byteorder) + opened.to_bytes(4, sys.byteorder)
        _call(LANDLOCK_ADD_RULE, rules, 1, rule, 0)
    finally:
        os.close(opened)


def _landlock_version() -> int:
    if sys.platform != "linux":
        return 0
    version = _libc().syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), LANDLOCK_VERSION)
    return max(int(version), 0)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"system call {number}: {errno.errorcode.get(code, code)}")
    return result


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
