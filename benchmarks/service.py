"""What the service costs beside the bare work: `.venv/bin/python -m benchmarks.service`.

Prints ratios against a baseline of the same run, because machines differ and are noisy:
- throughput: recordings per second through the whole service, against a bare client that posts the same
  files to the same scripted API with the same concurrency and stores nothing;
- detection: seconds from the rename into the folder to the request's arrival, against `settle`;
- memory: peak resident size while a large file is uploaded, against that of the idle service.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.harness import ScriptedApi, Service, running, wav

FILES = 300
CONCURRENCY = 10
DROPS = 30
SETTLE_SECONDS = 0.5
LARGE_BYTES = 512 * 1024 * 1024


def main() -> None:
    """Measure and print, one line each."""
    for measure in (throughput, detection, memory):
        with tempfile.TemporaryDirectory() as place:
            print(measure(Path(place)))


def throughput(place: Path) -> str:
    contents = [wav(str(number)) for number in range(FILES)]
    with ScriptedApi() as api:
        baseline = bare(api, contents)
    with ScriptedApi() as api, Service(place, {"analyzer": {"base_url": api.url}}) as service:
        watch = watching(service, existing="analyze")
        service.write_config(analyzer={"concurrency": CONCURRENCY}, watch=watch)
        for number, content in enumerate(contents):
            service.drop(f"{number}.wav", content)
        started = time.monotonic()
        service.start(ready=False)
        service.wait_states(done=FILES, seconds=300)
        seconds = time.monotonic() - started
    ratio = (FILES / seconds) / (FILES / baseline)
    return (
        f"throughput  {FILES / seconds:.0f} recordings/s; bare client {FILES / baseline:.0f}/s;"
        f" ratio {ratio:.2f}"
    )


def bare(api: ScriptedApi, contents: list[bytes]) -> float:
    """Seconds to post the same bytes with nothing around it."""
    with httpx.Client(trust_env=False) as client, ThreadPoolExecutor(CONCURRENCY) as pool:
        started = time.monotonic()
        list(pool.map(lambda content: client.post(f"{api.url}/v1/listen", content=content), contents))
        return time.monotonic() - started


def detection(place: Path) -> str:
    with ScriptedApi() as api, running(place, api) as service:
        service.stop()
        service.write_config(watch=watching(service, settle=f"{SETTLE_SECONDS}s"))
        service.start()
        waits = []
        for number in range(DROPS):
            before = len(api.calls)
            service.drop(f"{number}.wav")
            dropped_at = time.monotonic()
            api.wait_for_calls(before + 1)
            waits.append(api.calls[before].started_at - dropped_at)
    median, worst = statistics.median(waits), max(waits)
    return (
        f"detection   median {median:.3f} s, worst {worst:.3f} s of {DROPS}; settle {SETTLE_SECONDS} s;"
        f" ratio {median / SETTLE_SECONDS:.2f}"
    )


def memory(place: Path) -> str:
    with ScriptedApi() as api, running(place, api) as service:
        idle = peak_bytes(service)
        large = place / "large"
        with large.open("wb") as file:
            file.write(wav("large"))
            file.truncate(LARGE_BYTES)
        large.rename(service.folder / "large.wav")
        service.wait_states(done=1, seconds=300)
        peak = peak_bytes(service)
    return (
        f"memory      peak {peak / 1e6:.0f} MB at a file of {LARGE_BYTES / 1e6:.0f} MB;"
        f" idle {idle / 1e6:.0f} MB; ratio {peak / idle:.2f}"
    )


def watching(service: Service, **keys: object) -> list[dict[str, object]]:
    return [{"path": str(service.folder), "settle": "0.2s", "rescan": "2s", **keys}]


def peak_bytes(service: Service) -> int:
    """The most memory that the process had resident so far (VmHWM of proc(5))."""
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
