"""Clients that do nothing but ask: `python -m benchmarks.clients bare|sdk FOLDER ADDRESS AT_ONCE`.

Each sends every file of the folder once, in threads, and prints seconds and processor seconds as JSON. `bare`
is httpx, `sdk` the official deepgram-sdk with the same options as earshot's.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx


def main() -> None:
    """Send the files, and print what it took."""
    kind, folder, address, at_once = sys.argv[1:]
    files = sorted(Path(folder).iterdir())
    send = bare(address) if kind == "bare" else official(address, int(at_once))
    before, started = processor_seconds(), time.monotonic()
    with ThreadPoolExecutor(int(at_once)) as pool:
        list(pool.map(send, files))
    seconds = time.monotonic() - started
    print(json.dumps({"seconds": seconds, "processor": processor_seconds() - before}))


def bare(address: str) -> Callable[[Path], object]:
    """Post by httpx, with a new connection for each as earshot does, and read the reply as JSON."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    client = httpx.Client(trust_env=False, timeout=60, limits=limits, headers={"Connection": "close"})
    return lambda file: client.post(f"{address}/v1/listen", content=file.read_bytes()).json()


def official(address: str, at_once: int) -> Callable[[Path], object]:
    """Post by Deepgram's own client.

    It may keep all its connections, else 20: of more, httpcore now and then closes one that another has
    just taken (`ReadError: Bad file descriptor`).
    """
    from deepgram import DeepgramClient
    from deepgram.environment import DeepgramClientEnvironment

    there = DeepgramClientEnvironment(base=address, production=address, agent=address, agent_rest=address)
    client = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=at_once))
    media = DeepgramClient(api_key="key", environment=there, httpx_client=client).listen.v1.media

    def send(file: Path) -> object:
        return media.transcribe_file(
            request=file.read_bytes(),
            model="nova-3",
            smart_format=True,
            sentiment=True,
            topics=True,
            intents=True,
            summarize="v2",
            diarize=True,
        )

    return send


def processor_seconds() -> float:
    """The processor time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
