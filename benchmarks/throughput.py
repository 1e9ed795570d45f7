"""Recordings a second through the whole service, and the processor time of each, beside mere clients.

All send the same files to the same far end, which answers each after a fixed time, with the same number
of requests at once: a pool of threads with the official deepgram-sdk, one with bare httpx, a shell with
inotifywait and curl. The ideal is latency / requests at once for each file.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from subprocess import PIPE, Popen

from benchmarks.far_end import far_end
from benchmarks.figures import Figure, pid_of, processor_seconds
from tests.harness import Service, wav

FILE_SECONDS = 9.4  # 300 kB
ROUNDS = ((400, 10, 0.25), (1000, 50, 0.25), (1000, 50, 0.05))
SMALL = ((6, 3, 0.01),)
SDK_PYTHON = os.environ.get("SDK_PYTHON", sys.executable)
"""A Python that has deepgram-sdk."""

ONE = ("taskset", "--cpu-list", str(max(os.sched_getaffinity(0))))
"""Threads that share an interpreter fight for it less where only one of them can run at a time."""

Took = tuple[float, float]
"""Seconds, and processor seconds."""


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the rate of each beside the ideal, and the processor time of each beside a client's."""
    for files, at_once, latency in SMALL if small else ROUNDS:
        work = f"{files} files, {at_once} at once, latency {latency} s"
        with tempfile.TemporaryDirectory() as place, far_end(latency) as address:
            spare = Path(place) / "spare"
            spare.mkdir()
            for number in range(files):
                (spare / f"{number}.wav").write_bytes(
                    wav(str(number), seconds=0.1 if small else FILE_SECONDS)
                )
            took = {"bare httpx": client("bare", spare, address, at_once)}
            if has_sdk():
                took["deepgram-sdk"] = client("sdk", spare, address, at_once)
            if which("inotifywait"):
                took["inotifywait and curl"] = shell(spare, address, at_once)
            took["earshot"] = service(Path(place), spare, address, at_once)
            if which("taskset") and not small:
                took["earshot on one processor"] = service(
                    Path(place) / "one", spare, address, at_once, on=ONE
                )
        for who, (seconds, _) in took.items():
            yield Figure(f"{work}: {who}", files / seconds, "/s", "ideal", at_once / latency)
        beside = "deepgram-sdk" if "deepgram-sdk" in took else "bare httpx"
        for who, (_, processor) in took.items():
            each, other = processor / files * 1000, took[beside][1] / files * 1000
            yield Figure(f"{work}, processor time a file: {who}", each, "ms", beside, other)


def has_sdk() -> bool:
    """Whether the official client is installed where it is looked for."""
    return (
        subprocess.run([SDK_PYTHON, "-c", "import deepgram"], capture_output=True, check=False).returncode
        == 0
    )


def client(kind: str, files: Path, address: str, at_once: int) -> Took:
    """What one of benchmarks/clients.py takes, in a process of its own."""
    command = [SDK_PYTHON if kind == "sdk" else sys.executable, "-m", "benchmarks.clients"]
    output = subprocess.run(
        [*command, kind, str(files), address, str(at_once)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    took = json.loads(output)
    return took["seconds"], took["processor"]


def shell(files: Path, address: str, at_once: int) -> Took:
    """What a line of shell takes that sends each file by curl as it appears."""
    seen = files.with_name("seen")
    seen.mkdir()
    names = [file.name for file in files.iterdir()]
    before, started = _children(), time.monotonic()
    with _watched(seen) as watch:
        send = f"xargs -P {at_once} -I {{}} curl -s -o /dev/null --data-binary @{{}} {address}/v1/listen"
        with Popen(["sh", "-c", f"sed -u {len(names)}q | {send}"], cwd=seen, stdin=watch.stdout) as sender:
            for name in names:
                (files / name).rename(seen / name)
        seconds = time.monotonic() - started
        watch.terminate()
    assert sender.returncode == 0
    for name in names:
        (seen / name).rename(files / name)
    return seconds, _children() - before


def _watched(folder: Path) -> Popen[bytes]:
    """Return an inotifywait that watches and prints the names of what is renamed into the folder."""
    command = ["inotifywait", "-m", "-e", "moved_to", "--format", "%f", str(folder)]
    watch = Popen(command, stdout=PIPE, stderr=PIPE)
    assert watch.stderr
    while b"established" not in (line := watch.stderr.readline()):
        assert line, "inotifywait ended"
    return watch


def service(place: Path, files: Path, address: str, at_once: int, *, on: tuple[str, ...] = ("env",)) -> Took:
    """What the service takes, from the first file that appears to the last result; `on` starts it."""
    with Service(place, {"analyzer": {"base_url": address}}) as service:
        watch = [{"path": str(service.folder), "settle": "0s", "rescan": "60s"}]
        service.write_config(analyzer={"concurrency": at_once}, watch=watch)
        # A new process, as it is started by people: not the copy of one that tests get.
        service.start(prefix=on)
        names = [file.name for file in files.iterdir()]
        before, started = processor_seconds(pid_of(service)), time.monotonic()
        for name in names:
            (files / name).rename(service.folder / name)
        service.wait_states(done=len(names), seconds=600)
        took = time.monotonic() - started, processor_seconds(pid_of(service)) - before
        for name in names:
            (service.folder / name).rename(files / name)
        return took


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
