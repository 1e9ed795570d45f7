"""How much memory and how many processors the engine may use, and so how many workers fit."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

OWN_BYTES = 400 << 20  # the server, the template, and the service that started them
WORKER_BYTES = 750 << 20  # at work on a long recording, beside the model (measured)
# A worker that takes this much more than it needs has a hostile recording.
MOST_TIMES = 2
NO_LIMIT = 1 << 60
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many workers run at once, and the memory of each: beside others, and of one that runs alone."""

    workers: int
    worker_bytes: int
    alone_bytes: int


def capacity(model_bytes: int, wanted: int | None = None) -> Capacity:
    """Share out what there is; `wanted` workers in any case, else one per processor as long as memory lasts.

    `model_bytes` is the size of the models' files, which every worker loads.
    """
    need = WORKER_BYTES + model_bytes * 5 // 4
    room = max(memory_bytes() - OWN_BYTES, need)
    workers = wanted or max(1, min(processors(), room // need))
    most = MOST_TIMES * need
    return Capacity(workers, min(most, max(room // workers, need)), min(most, room))


def processors() -> int:
    """Count the processors that this process may use."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the memory that this process may use: the machine's, or the least limit of a cgroup around it.

    Not from /proc/meminfo: a hardened service does not see that.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [limit for file in _limit_files(cgroups, own) if (limit := _limit(file)) is not None]
    return min([machine, *limits])


def _limit_files(cgroups: Path, own: Path) -> list[Path]:
    """The files that may hold a limit, from this process's group up to the root, in cgroups 1 and 2."""
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, names = cgroups, ["memory.max", "memory.high"]
        elif "memory" in controllers.split(","):
            root, names = cgroups / "memory", ["memory.limit_in_bytes"]
        else:
            continue
        group = root / path.strip("/")
        folders = [each for each in (group, *group.parents) if _below(each, root)]
        files += [folder / name for folder in folders for name in names]
    return files


def _below(folder: Path, root: Path) -> bool:
    return folder == root or root in folder.parents


def _limit(file: Path) -> int | None:
    try:
        value = int(file.read_text("ascii"))
    except (OSError, ValueError):
        return None  # there is none, or it is `max`
    return value if 0 < value < NO_LIMIT else None
