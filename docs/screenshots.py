"""Pictures of the web pages with invented calls, in a real browser: scripts/screenshots [FOLDER]."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import sync_playwright

from daemon.models import Ending, RecordingState, iso
from daemon.storage.lock import held
from daemon.web.server import Pages
from tests.web.places import CALL, NOW, Place, hum, reply_of

SHOWN = Path(__file__).parent / "web"
SHOWN_NAMES = ("recording-phone-light", "recording-desk-light", "recordings-desk-light", "health-desk-dark")
SIZES = {"desk": (1280, 900), "phone": (390, 844)}
SUBJECTS = (
    "Charged twice for September, third call about it; a refund and a free month keep the contract for now",
    "Wants to know when the technician comes on Friday; appointment confirmed by e-mail",
    "Asks to add a second line; offer explained and accepted",
    "Outage since the morning, works from home and loses pay; a credit was promised",
    "Moves to a new flat in January; address changed, no fee",
    "Says the price is higher than the letter promised, asks for a supervisor",
)
AGENTS = ("Ines", "Tomasz", "Maya", "Ruth")


def main() -> None:
    """Make what the documents show, or everything into a folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as home:
        place = Place(Path(home), listen="127.0.0.1:0")
        call = fill(place)
        pages = Pages({}, clock=lambda: NOW)
        pages.take(place.config)
        # As while the service runs.
        with held(place.database) as lock:
            lock.say(ready=True)
            for name, picture in pictures(str(pages.address), call):
                if folder is not None or name in SHOWN_NAMES:
                    target = folder or SHOWN
                    target.mkdir(parents=True, exist_ok=True)
                    (target / f"{name}.png").write_bytes(picture)
        pages.end()
        pages.join()


def fill(place: Place) -> int:
    """Put a few days of calls there; return the newest one, of which an alert told."""
    chance = random.Random(3)  # noqa: S311 - the same pictures each time
    for number in range(24):
        agent = chance.choice(AGENTS)
        mood = chance.uniform(-0.5, 0.8)
        said = tuple((who, at, text, max(-1.0, min(1.0, score + mood))) for who, at, text, score in CALL)
        ago = timedelta(minutes=57 + 171 * number)
        average = sum(score for *_, score in said) / len(said)
        place.add(
            f"{NOW - ago:%Y%m%d-%H%M%S}_{agent.lower()}_{1100 - number}.wav",
            reply_of(said, average=average, summary=chance.choice(SUBJECTS)),
            ago=ago,
            agent=agent,
        )
    place.sql(
        "INSERT INTO folders (path, method, reason, settle_seconds, available, configured_at, first_seen_at,"
        " last_scan_at) VALUES (?1, 'events', 'local file system', 2, 1, ?2, ?2, ?2)",
        str(place.calls),
        iso(NOW - timedelta(seconds=20)),
    )
    why = "the file is shorter than its header says (1.2 of 4.8 MB); copy it again, it is taken up by itself"
    ending = Ending(RecordingState.FAILED, "incomplete", why)
    place.add("20261126-131702_ruth_1162.wav", ending=ending, ago=timedelta(minutes=30), agent="Ruth")
    return place.add(sound=hum(), agent="Ines")


def pictures(base: str, call: int) -> Iterator[tuple[str, bytes]]:
    """Yield each page by its name, as PNG."""
    pages = {
        "recording": f"/recordings/{call}?t=43#t=43",
        "recordings": "/recordings",
        "search": "/recordings?q=refund&sort=worst",
        "alerts": "/alerts",
        "trends": "/trends",
        "health": "/queue",
        "login": "/login",
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                )
                for name, path in pages.items():
                    page.goto(base + path)
                    page.wait_for_timeout(700)
                    yield f"{name}-{size}-{scheme}", page.screenshot()
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
