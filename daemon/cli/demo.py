"""`earshot demo`: shows the main job at once, with only what earshot brings along."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

import click

from daemon.cli.engine import engine_packages
from daemon.cli.engine_models import ready_model
from daemon.cli.options import Context, configuration_options, pass_context
from daemon.cli.show import print_recording
from daemon.errors import EarshotError
from daemon.logs import escaped
from daemon.storage.lock import daemon_status

SAMPLE = Path(__file__).parent.parent / "samples" / "complaint.mp3"
PATIENCE_SECONDS = 120.0
ENDING_SECONDS = 3.0
CONFIGURATION = """\
database: {database}
watch:
  - path: {folder}
    settle: 1s
analyzer:
  base_url: embedded
  custom_intents: [cancel subscription, request refund]
engine:
  model: {model}
alerts:
  destinations:
    screen: json://127.0.0.1:{port}/alert
  rules:
    - name: unhappy caller
      when: {{average_sentiment: negative}}
      notify: [screen]
    - name: churn risk
      when: {{intent: "cancel*"}}
      notify: [screen]
"""


@click.command(epilog="Example: earshot demo")
@configuration_options
@pass_context
def demo(context: Context) -> None:
    """Watch a temporary folder, drop a recorded complaint into it, and show the analysis and the alert.

    The real service, with the embedded engine: nothing is sent to anyone, and nothing is left behind. It
    brings a configuration of its own; --debug shows the log of the service, too.
    """
    with engine_packages():
        import faster_whisper  # noqa: F401
    model = ready_model(context)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    with tempfile.TemporaryDirectory(prefix="earshot-demo-") as name, _alert_sink() as (port, alerts):
        place = Path(name)
        folder = place / "recordings"
        folder.mkdir()
        file, database = place / "config.yaml", place / "earshot.db"
        file.write_text(
            CONFIGURATION.format(database=database, folder=folder, port=port, model=model), encoding="utf-8"
        )
        click.echo(f"The configuration:\n\n{_indented(file.read_text(encoding='utf-8'))}")
        with _service(file, show_log=context.debug) as service:
            _wait(service, lambda: daemon_status(database)["ready"])
            _say(f"The service is watching {folder}.")
            shutil.copy(SAMPLE, folder / SAMPLE.name)
            _say(f"{SAMPLE.name} is dropped into it: a caller complains for 40 seconds.")
            # A command is asked only once it has something to say: it takes a moment of the processor.
            _wait(service, lambda: not alerts.empty())
            _wait(service, lambda: _earshot(file, "status", "--json")["alerts"]["sent"])
            found = _earshot(file, "show", "1", "--json")
            _say("Analyzed and stored. This is `earshot show 1`:\n")
            print_recording(found)
            _say("And this is the alert, as it arrived at its destination:\n")
            click.echo(_indented(_next_alert(alerts)))


def _end(number: int, frame: FrameType | None) -> None:
    """Exit as on an error: end the service, remove the folder."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        # A closed terminal often sends both signals: one is enough.
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _say(text: str) -> None:
    click.secho(f"\n→ {text}", bold=True)


def _indented(text: str) -> str:
    return "\n".join(f"    {escaped(line)}" for line in text.splitlines())


def _next_alert(alerts: SimpleQueue[dict[str, Any]]) -> str:
    try:
        alert = alerts.get(timeout=5)
    except Empty:
        raise EarshotError("the alert is marked sent, but did not arrive; run again with --debug") from None
    return f"{alert.get('title')}\n\n{alert.get('message')}"


def _earshot(file: Path, *arguments: str) -> Any:
    command = [sys.executable, "-m", "daemon", *arguments, "--config", str(file)]
    done = subprocess.run(command, capture_output=True, check=False, env=_environment())
    if done.returncode:
        raise EarshotError(done.stderr.decode("utf-8", "replace").strip() or f"{arguments[0]} failed")
    return json.loads(done.stdout)


def _wait(service: subprocess.Popen[bytes], is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if service.poll() is not None:
            raise EarshotError("the service ended; run again with --debug to see why")
        if time.monotonic() > deadline:
            raise EarshotError(f"nothing happened for {PATIENCE_SECONDS:.0f} s; run again with --debug")
        time.sleep(0.2)


@contextmanager
def _service(file: Path, *, show_log: bool) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "daemon", "run", "--exit-with-stdin", "--config", str(file)]
    service = subprocess.Popen(
        command,
        # Only this process has the other end, so the service ends with it, even when this one is killed.
        stdin=subprocess.PIPE,
        stderr=None if show_log else subprocess.DEVNULL,
        # Only this process gets the signals of the terminal.
        start_new_session=True,
        env=_environment(),
    )
    try:
        yield service
    finally:
        service.terminate()
        try:
            service.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            # It still waits for a reply, which costs nothing; the engine ends with the service.
            service.kill()
            service.wait()
        if service.stdin is not None:
            service.stdin.close()


def _environment() -> dict[str, str]:
    """Return the environment without what ties the demo to anything outside it."""
    withheld = ("DEEPGRAM_API_KEY", "EARSHOT_CONFIG", "NOTIFY_SOCKET")
    return {
        name: value
        for name, value in os.environ.items()
        # Upper or lower case; ALL_PROXY is the default for the other proxies.
        if name not in withheld and not name.lower().endswith("_proxy")
    }


@contextmanager
def _alert_sink() -> Iterator[tuple[int, SimpleQueue[dict[str, Any]]]]:
    """Run a webhook on this machine; yields its port and the queue of messages posted to it."""
    alerts: SimpleQueue[dict[str, Any]] = SimpleQueue()

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            alerts.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: the alert is shown."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], alerts
    finally:
        server.shutdown()
        server.server_close()
