"""Recordings a second through the whole service, beside a bare client: `python -m benchmarks.throughput`.

Both send the same files to the same far end, which answers each after a fixed time, with the same number of
requests at once. `share` is that of the ideal (files x latency / requests at once).
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.far_end import far_end
from tests.harness import Service, wav

FILE_SECONDS = 9.4  # 300 kB
ROUNDS = ((400, 10, 0.25), (1000, 50, 0.25), (1000, 50, 0.05))


def main() -> None:
    """Measure and print a line each."""
    chosen = [ROUNDS[int(number)] for number in sys.argv[1:]] or ROUNDS
    for files, at_once, latency in chosen:
        with tempfile.TemporaryDirectory() as place:
            ideal = files * latency / at_once
            contents = [wav(str(number), seconds=FILE_SECONDS) for number in range(files)]
            bare_seconds, bare_cpu = bare(contents, at_once, latency)
            seconds, cpu = service(Path(place), contents, at_once, latency)
        print(
            f"{files} files, {at_once} at once, latency {latency} s: "
            f"bare client {files / bare_seconds:.0f}/s share {ideal / bare_seconds:.2f} "
            f"{bare_cpu / files * 1000:.1f} ms each; "
            f"earshot {files / seconds:.0f}/s share {ideal / seconds:.2f} {cpu / files * 1000:.1f} ms each"
        )


def bare(contents: list[bytes], at_once: int, latency: float) -> tuple[float, float]:
    """Wall seconds and processor seconds to post the same bytes with nothing around it."""
    with far_end(latency) as address, httpx.Client(trust_env=False, timeout=60) as client:
        before = _own_cpu()
        started = time.monotonic()
        with ThreadPoolExecutor(at_once) as pool:
            url = f"{address}/v1/listen"
            list(pool.map(lambda content: client.post(url, content=content).json(), contents))
        return time.monotonic() - started, _own_cpu() - before


def service(place: Path, contents: list[bytes], at_once: int, latency: float) -> tuple[float, float]:
    """The same for the service, from the first claim to the last result."""
    with far_end(latency) as address, Service(place, {"analyzer": {"base_url": address}}) as service:
        watch = [{"path": str(service.folder), "settle": "0s", "rescan": "60s"}]
        service.write_config(analyzer={"concurrency": at_once}, watch=watch)
        service.start()
        spare = place / "spare"
        spare.mkdir()
        for number, content in enumerate(contents):
            (spare / f"{number}.wav").write_bytes(content)
        assert service.process is not None
        before = _cpu_of(service.process.pid)
        started = time.monotonic()
        for number in range(len(contents)):
            (spare / f"{number}.wav").rename(service.folder / f"{number}.wav")
        service.wait_states(done=len(contents), seconds=600)
        seconds = time.monotonic() - started
        return seconds, _cpu_of(service.process.pid) - before


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
