"""A measured figure beside a baseline of the same run: machines differ and are noisy, ratios hold."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.harness import Service


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, and the same of the baseline; `baseline` 0 where there is none to compare with."""

    work: str
    value: float
    unit: str
    beside: str = ""
    baseline: float = 0.0


def table(figures: Iterable[Figure]) -> str:
    """The figures as a table in Markdown."""
    lines = ["| work | measured | beside | ratio |", "| --- | --- | --- | --- |"]
    for each in figures:
        beside = f"{each.beside}: {shown(each.baseline)} {each.unit}" if each.beside else ""
        ratio = f"{each.value / each.baseline:.2f}" if each.baseline else ""
        lines.append(f"| {each.work} | {shown(each.value)} {each.unit} | {beside} | {ratio} |")
    return "\n".join(lines)


def shown(value: float) -> str:
    """Three figures are enough, of whole numbers all."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> dict[str, Any]:
    """What the figures are from, and how busy it is as they begin."""
    text = Path("/proc/cpuinfo").read_text("utf-8")
    model = next(
        (line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), ""
    )
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "began_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_at_begin": load(),
    }


def load() -> float:
    """How many processes wanted a processor in the last minute, on average."""
    return round(os.getloadavg()[0], 1)


def pid_of(service: Service) -> int:
    """The process of a service that runs."""
    assert service.process is not None
    return service.process.pid


def processor_seconds(pid: int) -> float:
    """The processor time that a process has taken so far, in user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    """The most memory that a process had resident so far (VmHWM of proc(5))."""
    return _status(pid, "VmHWM") * 1024


def wake_ups(pid: int) -> int:
    """How often the threads of a process gave up the processor by themselves, so far."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(_status(f"{pid}/task/{task.name}", "voluntary_ctxt_switches") for task in tasks)


def _status(pid: int | str, name: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text("ascii")
    line = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
