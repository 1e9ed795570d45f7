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
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.demo_report import report_console, show_findings, show_places
from daemon.cli.engine_models import ready_model
from daemon.cli.options import Context, configuration_options, pass_context
from daemon.cli.output import print_paragraph
from daemon.cli.progress import waiting_bar
from daemon.cli.waiting import engine_rate
from daemon.errors import WITH_ENGINE, EarshotError
from daemon.storage.lock import daemon_status

if TYPE_CHECKING:
    from rich.console import Console

    from daemon.export.document import Document

SAMPLE = Path(__file__).parent.parent / "samples" / "call.ogg"
PATIENCE_SECONDS = 600.0  # on a machine that is slow, or has much else to do
ENDING_SECONDS = 3.0
LOOK_SECONDS = 0.05
STARTING_SECONDS = 4.0
# Until the alert is there, beside recognition: the file settles, the text is analyzed.
AROUND_SECONDS = 3.0
SAMPLE_SECONDS = 38.6
CONFIGURATION = """\
database: {database}
watch:
  - path: {folder}
    settle: 0s
analyzer:
  base_url: embedded
  options: {{diarize: true}}
  custom_intents: [cancel subscription, request refund]
  custom_topics: [late delivery, double charge]
engine:
  model: {model}
alerts:
  destinations:
    screen: json://127.0.0.1:{port}/alert
  rules:
    - name: unhappy customer
      when: {{negative_passages_at_least: 3}}
      notify: [screen]
    - name: churn risk
      when: {{intent: "cancel*"}}
      notify: [screen]
"""


@click.command(epilog="Example: earshot demo --keep")
@configuration_options
@click.option("--keep", is_flag=True, help="Leave the temporary folder, to look into it with other commands.")
@pass_context
def demo(context: Context, keep: bool) -> None:
    """Show on a sample call what is found in it, and the alert.

    The call is dropped into a temporary folder that the real service watches, with the embedded engine:
    nothing is sent to anyone. The first time it fetches the engine's models. It brings a configuration of its
    own; --debug shows the service's log.
    """
    if find_spec("faster_whisper") is None:
        # Imported it would take half a second, and only the engine needs it.
        raise EarshotError(f"the demo needs the embedded engine; install {WITH_ENGINE}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    model = ready_model(context)
    seconds = _about_seconds(model)
    console = report_console()
    print_paragraph(
        "A call between a customer and an agent is dropped into a watched folder. The real service analyzes "
        f"it on this machine, and nothing is sent to anyone. That takes about {round(seconds)} seconds."
    )
    with _place(keep=keep) as place, _alert_sink() as (port, alerts):
        file, database = _configured(place, port, model)
        began = time.monotonic()
        with _service(file, place, show_log=context.debug) as service:
            with waiting_bar("Starting the service and its engine", about_seconds=STARTING_SECONDS):
                _wait(service, lambda: daemon_status(database)["ready"])
            _done(console, f"The service watches {place / 'recordings'}")
            shutil.copy(SAMPLE, place / "recordings" / SAMPLE.name)
            about = seconds - STARTING_SECONDS
            with waiting_bar(
                f"Listening to {SAMPLE.name}", share=partial(_share, place), about_seconds=about
            ):
                _wait(service, lambda: not alerts.empty() and _is_told(database))
            _done(console, f"{SAMPLE.name} was dropped into it, analyzed and told of")
            # It ends while a person reads.
            service.terminate()
            show_findings(console, _found(database), alerts.get())
        show_places(console, database, file if keep else None, time.monotonic() - began)


def _share(place: Path) -> float | None:
    """How much of the recording the service's engine has heard."""
    from daemon.runtime.engine_process import share_done, socket_below

    return share_done(socket_below(place))


def _about_seconds(model: str) -> float:
    return STARTING_SECONDS + AROUND_SECONDS + SAMPLE_SECONDS * (engine_rate(model) or 0.0)


@contextmanager
def _place(*, keep: bool) -> Iterator[Path]:
    """Make a temporary folder; it stays with `keep`."""
    place = Path(tempfile.mkdtemp(prefix="earshot-demo-"))
    try:
        yield place
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


def _configured(place: Path, port: int, model: str) -> tuple[Path, Path]:
    """Write the configuration; return its path and the database's."""
    folder = place / "recordings"
    folder.mkdir()
    file, database = place / "config.yaml", place / "earshot.db"
    text = CONFIGURATION.format(database=database, folder=folder, port=port, model=model)
    file.write_text(text, encoding="utf-8")
    return file, database


def _found(database: Path) -> Document:
    """Return the recording with all that belongs to it."""
    from daemon.documents import document
    from daemon.storage.database import open_existing

    with closing(open_existing(database)) as db:
        found = document(db, None, 1)
    if found is None:
        raise EarshotError("the recording is not in the database; run again with --debug")
    return found


def _is_told(database: Path) -> bool:
    return any(alert["state"] == "sent" for alert in _found(database).recording["alerts"])


def _end(number: int, frame: FrameType | None) -> None:
    """Exit as on an error: end the service, remove the folder."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        # A closed terminal often sends both signals: one is enough.
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _done(console: Console, text: str) -> None:
    console.print(f"✓ {text}", style="green", soft_wrap=True)


def _wait(service: subprocess.Popen[bytes], is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if service.poll() is not None:
            raise EarshotError("the service ended; run again with --debug to see why")
        if time.monotonic() > deadline:
            raise EarshotError(f"nothing happened for {PATIENCE_SECONDS:.0f} s; run again with --debug")
        time.sleep(LOOK_SECONDS)


@contextmanager
def _service(file: Path, place: Path, *, show_log: bool) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "daemon", "run", "--exit-with-stdin", "--config", str(file)]
    service = subprocess.Popen(
        command,
        # Only this process has the other end, so the service ends with it, even when this one is killed.
        stdin=subprocess.PIPE,
        stderr=None if show_log else subprocess.DEVNULL,
        # Only this process gets the signals of the terminal.
        start_new_session=True,
        # There is the engine's socket, which tells how far it is.
        env=_environment() | {"RUNTIME_DIRECTORY": str(place)},
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
    threading.Thread(target=server.serve_forever, args=[LOOK_SECONDS], daemon=True).start()
    try:
        yield server.server_address[1], alerts
    finally:
        server.shutdown()
        server.server_close()
