"""The system calls that a worker may make; all others fail with EPERM (seccomp, by a program for its filter).

A list of what is allowed, not of what is forbidden: a kernel gets new calls with each version. What is on it
computes, takes memory, runs threads, tells the time, and reads files. Opening is allowed for reading alone,
so nothing can be written even where Landlock is missing. There is no call on it that makes or uses a socket,
starts a process or a program, or touches another process; by flags, a thread is told from a process.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PR_SET_SECCOMP, PR_SET_NAME, PR_SET_VMA = 22, 15, 0x53564D41  # prctl(2)
SECCOMP_MODE_FILTER = 2
ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, SAME, NOT_LESS, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06  # of BPF, on 32 bits
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
OTHER_NUMBERS = 0x40000000  # x86-64 has a second set of numbers there

THREAD = 0x100 | 0x800 | 0x10000  # CLONE_VM, CLONE_SIGHAND, CLONE_THREAD
NAMESPACES = 0x7E020000  # CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET
# O_TMPFILE without O_DIRECTORY, which it contains
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | 0o20000000
FCNTL = (
    0,
    1,
    2,
    3,
    4,
    1030,
)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC: no signals, no leases
IOCTL = (0x5450, 0x5451)  # FIONCLEX, FIOCLEX

# Numbers on x86-64 and on 64-bit ARM (asm/unistd_64.h, asm-generic/unistd.h); -1: has no such call.
CALLS: dict[str, tuple[int, int]] = {
    # read, and answer through what is open already
    "read": (0, 63),
    "pread64": (17, 67),
    "readv": (19, 65),
    "write": (1, 64),
    "writev": (20, 66),
    "close": (3, 57),
    "close_range": (436, 436),
    "lseek": (8, 62),
    "fadvise64": (221, 223),
    "dup": (32, 23),
    "dup2": (33, -1),
    "dup3": (292, 24),
    "poll": (7, -1),
    "ppoll": (271, 73),
    # look at files
    "stat": (4, -1),
    "lstat": (6, -1),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, -1),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "getcwd": (79, 17),
    "readlink": (89, -1),
    "readlinkat": (267, 78),
    "getdents64": (217, 61),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    # memory
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "brk": (12, 214),
    "madvise": (28, 233),
    "mincore": (27, 232),
    "mbind": (237, 235),
    "get_mempolicy": (239, 236),
    "set_mempolicy": (238, 237),
    # threads, signals to itself, the end
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "get_robust_list": (274, 100),
    "rseq": (334, 293),
    "set_tid_address": (218, 96),
    "membarrier": (324, 283),
    "arch_prctl": (158, -1),
    "gettid": (186, 178),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_setaffinity": (203, 122),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "getcpu": (309, 168),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "alarm": (37, -1),
    "setitimer": (38, 103),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # time, chance, and who and where it is
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "time": (201, -1),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "times": (100, 153),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
}
OPEN, OPENAT, CLONE, CLONE3 = (2, -1), (257, 56), (56, 220), (435, 435)
PRCTL, PRLIMIT, TGKILL, FCNTL_CALL, IOCTL_CALL = (157, 167), (302, 261), (234, 131), (72, 25), (16, 29)
PROCESSORS = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*

Instruction = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


@dataclass(frozen=True, slots=True)
class _Test:
    """What an argument of a call must be: one of `same`, or, with `bits` None, without any of `none_of`."""

    argument: int
    same: tuple[int, ...] = ()
    bits: int | None = None
    none_of: int = 0


def is_known() -> bool:
    """Return whether this kernel and processor have it."""
    if sys.platform != "linux" or platform.machine() not in PROCESSORS or sys.maxsize < 2**32:
        return False
    # Without a program this fails in any case: by its address where filters are known, else as unknown.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, None, 0, 0)
    return ctypes.get_errno() == errno.EFAULT


def restrict_calls(*, ioctl: bool = False) -> None:
    """Allow this process and its threads nothing else from now on; no_new_privs must be set. `ioctl`: any."""
    code = b"".join(struct.pack("=HBBI", *each) for each in _program(os.getpid(), ioctl=ioctl))
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl PR_SET_SECCOMP")


def _program(pid: int, *, ioctl: bool) -> Iterator[Instruction]:
    machine = platform.machine()
    column = list(PROCESSORS).index(machine)
    yield (LOAD, 0, 0, ARCHITECTURE)
    yield (SAME, 1, 0, PROCESSORS[machine])
    yield (RETURN, 0, 0, KILL)
    yield (LOAD, 0, 0, NUMBER)
    yield (NOT_LESS, 0, 1, OTHER_NUMBERS)
    yield (RETURN, 0, 0, FAIL | errno.EPERM)
    plain = [numbers[column] for numbers in CALLS.values()]
    for number in [*plain, *([IOCTL_CALL[column]] if ioctl else [])]:
        if number >= 0:
            yield (SAME, 0, 1, number)
            yield (RETURN, 0, 0, ALLOW)
    yield (SAME, 0, 1, CLONE3[column])
    # Its flags are in memory, which no filter can read: without it the C library takes `clone`.
    yield (RETURN, 0, 0, FAIL | errno.ENOSYS)
    for numbers, test in _tests(pid):
        if numbers[column] >= 0:
            yield from _when(numbers[column], test)
    yield (RETURN, 0, 0, FAIL | errno.EPERM)


def _tests(pid: int) -> Iterator[tuple[tuple[int, int], _Test]]:
    yield OPEN, _Test(1, none_of=WRITING)
    yield OPENAT, _Test(2, none_of=WRITING)
    yield CLONE, _Test(0, bits=THREAD, none_of=NAMESPACES)
    yield PRCTL, _Test(0, same=(PR_SET_NAME, PR_SET_VMA))
    yield PRLIMIT, _Test(0, same=(0,))
    yield TGKILL, _Test(0, same=(pid,))
    yield FCNTL_CALL, _Test(1, same=FCNTL)
    yield IOCTL_CALL, _Test(1, same=IOCTL)


def _when(number: int, test: _Test) -> Sequence[Instruction]:
    """Instructions that decide on this call by the lower 32 bits of an argument, and pass all others on."""
    checks: list[Instruction] = [(LOAD, 0, 0, ARGUMENTS + 8 * test.argument)]
    for value in test.same:
        checks += [(SAME, 0, 1, value), (RETURN, 0, 0, ALLOW)]
    if test.none_of:
        checks += [(ANY_BIT, 0, 1, test.none_of), (RETURN, 0, 0, FAIL | errno.EPERM)]
        if test.bits is not None:
            checks += [(AND, 0, 0, test.bits), (SAME, 1, 0, test.bits), (RETURN, 0, 0, FAIL | errno.EPERM)]
        checks += [(RETURN, 0, 0, ALLOW)]
    checks += [(RETURN, 0, 0, FAIL | errno.EPERM)]
    return [(SAME, 0, len(checks), number), *checks]
