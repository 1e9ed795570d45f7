"""More files at once than the kernel has room to report, into a running service."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.harness import Service
from tests.servers import wait_until
from tests.watching.places import METHODS

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
MOST_BYTES = 300_000_000
"""What the process may have in memory, however many files there are."""
WRITER = """
import os, sys
top, name = sys.argv[1:3]
folders, files, noise = map(int, sys.argv[3:])
for number in range(noise):
    open(f"{top}/noise.part", "wb").close()
    os.remove(f"{top}/noise.part")
for folder in range(folders):
    os.makedirs(f"{top}/{folder % 50}/{folder}", exist_ok=True)
    for number in range(folder, files, folders):
        with open(f"{top}/{folder % 50}/{folder}/{name}{number}.wav", "wb") as file:
            file.write(b"%d" % number)
"""
EVENTS_PER_NOISE = 3
"""Made, closed, removed."""


def write(service: Service, name: str, *, folders: int, files: int, noise: int = 0) -> None:
    """Write that many files into that many folders, from another process, and before them no recordings."""
    numbers = (str(folders), str(files), str(noise))
    subprocess.run([sys.executable, "-c", WRITER, service.folder, name, *numbers], check=True)


def wait_rows(service: Service, number: int, *, seconds: float) -> None:
    def are_there() -> bool:
        # Not asked all the time: counting keeps the service from its work.
        threading.Event().wait(0.2)
        return bool(service.rows("SELECT count(*) AS n FROM recordings")[0]["n"] >= number)

    wait_until(are_there, seconds=seconds, what=f"{number} rows")


def flood(place: Path, *, method: str, folders: int, files: int, unreported: int, seconds: float) -> None:
    """Two waves: one into folders that are new, then one that comes while the service stands still and the
    kernel's queue is full."""
    watch = {"method": method, "settle": "0.2s", "rescan": "1h" if method == "events" else "5s"}
    queue = int(QUEUE.read_text()) if QUEUE.exists() else 16384
    with Service(place) as service:
        service.write_config(watch=[{"path": str(service.folder), **watch}])
        service.start()
        write(service, "first", folders=folders, files=files)
        wait_rows(service, files, seconds=seconds)
        service.signal(signal.SIGSTOP)
        noise = queue // EVENTS_PER_NOISE + 100
        write(service, "second", folders=unreported // 10, files=unreported, noise=noise)
        service.signal(signal.SIGCONT)
        wait_rows(service, files + unreported, seconds=seconds)
        service.reload()
        service.drop("last.wav")
        wait_rows(service, files + unreported + 1, seconds=seconds)
        found = service.rows("SELECT count(*) AS rows, count(DISTINCT path) AS files FROM recordings")
        assert peak_bytes(service) < MOST_BYTES
        # watchdog warns of a harmless race of its own, with all that it knows of: kilobytes for each.
        assert service.log().count("RuntimeWarning") == 0
    assert found == [{"rows": files + unreported + 1, "files": files + unreported + 1}]


def peak_bytes(service: Service) -> int:
    """The most memory that the process had resident so far (VmHWM of proc(5))."""
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_a_flood_of_files_becomes_one_row_each(tmp_path: Path) -> None:
    """By events alone, although the kernel drops those of the second wave."""
    flood(tmp_path, method="events", folders=40, files=400, unreported=60, seconds=60)


@pytest.mark.soak
@pytest.mark.parametrize("method", METHODS)
def test_a_flood_of_50000_files_in_5000_folders_becomes_one_row_each(tmp_path: Path, method: str) -> None:
    flood(tmp_path, method=method, folders=5000, files=50_000, unreported=2000, seconds=600)


CHURN = """
import os, random, shutil, sys, time
top, end = sys.argv[1], time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    name = f"{top}/{random.randrange(200)}"
    try:
        os.makedirs(f"{name}/a/b", exist_ok=True)
        open(f"{name}/a/b/noise.part", "wb").close()
        if random.random() < 0.5:
            os.rename(name, f"{top}/{random.randrange(200)}")
        else:
            shutil.rmtree(name)
    except OSError:
        pass
"""


@pytest.mark.soak
@pytest.mark.parametrize("method", METHODS)
def test_folders_that_come_and_go_without_end_hide_no_recording(tmp_path: Path, method: str) -> None:
    """It makes the threads of watchdog die, and they do not say so."""
    watch = {"method": method, "settle": "0.2s", "rescan": "1h" if method == "events" else "2s"}
    with Service(tmp_path) as service:
        service.write_config(watch=[{"path": str(service.folder), **watch}])
        service.start()
        (service.folder / "churn").mkdir()
        churn = [sys.executable, "-c", CHURN, str(service.folder / "churn"), "20"]
        with subprocess.Popen(churn) as first, subprocess.Popen(churn) as second:
            dropped = 0
            while first.poll() is None or second.poll() is None:
                service.drop(f"kept/{dropped}.wav")
                dropped += 1
                threading.Event().wait(0.02)
        wait_rows(service, dropped, seconds=60)
        service.drop("kept/after.wav")
        service.drop("churn/after.wav")
        wait_rows(service, dropped + 2, seconds=60)
        found = service.rows("SELECT count(*) AS rows, count(DISTINCT path) AS files FROM recordings")
    assert found == [{"rows": dropped + 2, "files": dropped + 2}]
