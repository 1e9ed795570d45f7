"""How many workers fit, and what each may have."""

from __future__ import annotations

import os
from pathlib import Path

from daemon.engine.capacity import OWN_BYTES, WORKER_BYTES, capacity, memory_bytes, processors

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def limited(root: Path, own: str, **limits: str) -> int:
    """The memory with these cgroup files, named with _ for / and - for the dot."""
    for name, value in limits.items():
        file = root / name.replace("__", "/").replace("-", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    (root / "own").write_text(f"{own}\n")
    return memory_bytes(root, root / "own")


def test_the_least_limit_of_the_groups_around_counts(tmp_path: Path) -> None:
    (tmp_path / "system/earshot").mkdir(parents=True)
    (tmp_path / "system/earshot/memory.max").write_text("max\n")
    (tmp_path / "system/earshot/memory.high").write_text("600000000\n")
    (tmp_path / "system/memory.max").write_text("500000000\n")
    assert limited(tmp_path, "0::/system/earshot") == 500_000_000


def test_older_cgroups_count_as_well_also_where_only_the_root_is_seen(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("300000000\n")
    assert limited(tmp_path, "4:cpu,memory:/some/container\n0::/") == 300_000_000


def test_without_a_limit_it_is_the_machines_memory(tmp_path: Path) -> None:
    assert limited(tmp_path, "4:memory:/\n0::/", memory__limit="9223372036854771712") == MACHINE
    assert memory_bytes(tmp_path, tmp_path / "none") == MACHINE


def test_workers_are_as_many_as_the_processors_and_no_more_than_fit() -> None:
    assert 1 <= capacity(0).workers <= processors()
    assert capacity(MACHINE).workers == 1
    assert capacity(0, wanted=7).workers == 7


def test_a_worker_has_what_it_needs_and_no_multiple_of_it() -> None:
    found = capacity(100 << 20)
    need = WORKER_BYTES + (125 << 20)
    assert need <= found.worker_bytes <= 2 * need
    assert found.alone_bytes >= found.worker_bytes
    assert found.alone_bytes <= max(MACHINE - OWN_BYTES, need)
