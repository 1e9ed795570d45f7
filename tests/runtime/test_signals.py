"""Signals come at any moment, also in the middle of the wait that they are to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

AT_EVERY_STEP = """
import os, signal, sys
from daemon.runtime.signals import Signals

signals = Signals()
signals.install()
for step in range(1, 1000):
    done = 0

    def traced(frame, event, argument):
        global done
        frame.f_trace_opcodes = True
        if event == "opcode":
            done += 1
            if done == step:
                os.kill(os.getpid(), signal.SIGHUP)
        return traced

    signals.reload = False
    sys.settrace(traced)
    signals.wait(0.02)
    sys.settrace(None)
    if done < step:
        sys.exit(0)
    assert signals.reload
    signals.wait(0)
"""


def test_a_signal_at_any_step_of_a_wait_is_noted_and_stops_nothing() -> None:
    """A handler runs between two steps of the main thread: what it needs must not be locked there."""
    command = [sys.executable, "-c", AT_EVERY_STEP]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr
