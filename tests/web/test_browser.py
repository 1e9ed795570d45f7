"""The pages in a real browser, Debian's Chromium: sound, words, keys, hostile texts, and who can use them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest

from daemon.models import Ending, RecordingState
from daemon.web.server import Pages
from tests.programs import program
from tests.servers import wait_until
from tests.web.places import CALL, NOW, Place, hum, reply_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page

SWITCHES = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"),
    # As few processes as can be: each takes up to a second of processor time to start.
    *("--process-per-site", "--renderer-process-limit=1", "--in-process-gpu", "--no-zygote"),
)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' onmouseover=alert(3) {{7*7}}"
PATIENCE_MS = 60_000


@dataclass
class Shown:
    """A server with recordings, and a browser."""

    place: Place
    browser: Browser
    base: str
    call: int
    hostile: int
    complaints: list[str] = field(default_factory=list)
    window: Page | None = None

    def open(self, path: str, *, width: int = 390, height: int = 844) -> Page:
        """Show a page on a screen of this size, in a window that is there for all tests."""
        if self.window is None:
            self.window = self.anew(path, width=width, height=height)
            return self.window
        self.window.set_viewport_size({"width": width, "height": height})
        self.window.goto(self.base + path)
        return self.window

    def anew(self, path: str, *, width: int = 390, height: int = 844, **how: Any) -> Page:
        """Open a page in a window of its own; whatever the browser complains of is noted."""
        page = self.browser.new_page(viewport={"width": width, "height": height}, **how)
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._dismiss)
        page.goto(self.base + path)
        return page

    def _note(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.complaints.append(said.text)

    def _dismiss(self, dialog: Dialog) -> None:
        self.complaints.append(dialog.message)
        dialog.dismiss()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    # Here, as all processes of pytest-xdist load this file, and one of them runs it.
    from playwright.sync_api import sync_playwright

    place = Place(tmp_path_factory.mktemp("pages"), listen="127.0.0.1:0")
    call = place.add(sound=hum(), agent="Ines")
    said = [(0, 1.0, HOSTILE, -0.9)]
    labels = [(0, f"cancel {HOSTILE}", 0.9)]
    reply = reply_of(said, summary=HOSTILE, intents=labels, topics=labels)
    hostile = place.add("a<img src=x onerror=alert(4)>.wav", reply, ago=timedelta(days=1), agent=HOSTILE)
    place.add("cut.wav", ending=Ending(RecordingState.FAILED, "incomplete", HOSTILE), ago=timedelta(hours=3))
    pages = Pages({}, clock=lambda: NOW)
    pages.take(place.config)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=list(SWITCHES))
        yield Shown(place, browser, str(pages.address), call, hostile)
        browser.close()
    pages.end()
    pages.join()


def at(page: Page, seconds: float) -> None:
    """Wait until the player stands within 0.1 s of this place."""
    until(page, f"Math.abs(document.querySelector('audio').currentTime - {seconds}) <= 0.1")


def until(page: Page, condition: str) -> None:
    """Wait for a condition; not by Playwright's own way, which our policy forbids in pages."""
    wait_until(lambda: page.evaluate(condition), what=condition)


def test_an_alert_s_link_plays_with_one_tap_and_takes_a_verdict_with_the_next(shown: Shown) -> None:
    page = shown.anew(f"/recordings/{shown.call}?t=43#t=43", has_touch=True)
    play = page.get_by_role("link", name="Play from 0:43")
    assert all(
        each.bounding_box()["y"] + each.bounding_box()["height"] < 844 - 60  # type: ignore[index]
        for each in (play, page.get_by_role("button", name="Useful"))
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    at(page, 43.94)
    play.tap()
    playing = "!document.querySelector('audio').paused"
    until(page, f"{playing} && document.querySelector('audio').currentTime > 44")
    page.get_by_role("button", name="Useful").tap()
    page.wait_for_selector("button[value=useful][aria-pressed=true]")
    assert page.url.endswith(f"/recordings/{shown.call}?t=43")
    page.close()
    assert not shown.complaints


def test_words_times_keys_and_the_drawing_lead_to_their_moments(shown: Shown) -> None:
    page = shown.open(f"/recordings/{shown.call}", width=1280, height=900)
    until(page, "document.querySelector('audio').readyState > 0")
    page.evaluate("document.querySelector('audio').play = () => Promise.resolve()")
    _, start, said, _ = CALL[8]
    number = said.split().index("contract,")
    box = page.evaluate(
        """([start, number]) => {
            const text = document.querySelector(`.say[data-t="${start}"] p`).firstChild
            const word = [...text.data.matchAll(/\\S+/g)][number], range = new Range()
            range.setStart(text, word.index); range.setEnd(text, word.index + word[0].length)
            document.querySelector(`.say[data-t="${start}"]`).scrollIntoView({block: 'center'})
            const {x, y, width, height} = range.getBoundingClientRect()
            return [x + width / 2, y + height / 2]
        }""",
        [start, number],
    )
    page.mouse.click(*box)
    at(page, start + number * 0.4)
    page.goto(f"{page.url.partition('#')[0]}#t=9")
    at(page, 9.6)
    page.keyboard.press("n")
    at(page, CALL[3][1])
    page.keyboard.press("l")
    at(page, CALL[3][1] + 10)
    page.get_by_role("button", name="\u221210 s").click()
    at(page, CALL[3][1])
    page.get_by_label("Speed").select_option("1.5")
    until(page, "document.querySelector('audio').playbackRate === 1.5")
    page.get_by_role("link", name="0:56", exact=True).first.click()
    at(page, 56.45)
    assert not shown.complaints


def test_sound_that_browsers_do_not_play_is_heard_as_a_preview(shown: Shown) -> None:
    def made(*how: str) -> bytes:
        tone = ("-n", "-r", "8000", *how, "-", "synth", "3", "sine", "300")
        return subprocess.run([program("sox"), *tone], check=True, capture_output=True).stdout

    # By its name the first is one that they play; of the second not even its name tells.
    gsm = shown.place.add("gsm.wav", sound=made("-t", "wav", "-e", "gsm-full-rate"))
    other = shown.place.add("aiff.mp3", sound=made("-t", "aiff"))
    for number in (gsm, other):
        page = shown.open(f"/recordings/{number}")
        until(page, "document.querySelector('audio').readyState > 0")
        assert 2.9 < page.evaluate("document.querySelector('audio').duration") < 3.2
    played = httpx.get(f"{shown.base}/recordings/{gsm}/audio")
    assert (played.status_code, played.headers["location"]) == (302, f"/recordings/{gsm}/preview")
    original = httpx.get(f"{shown.base}/recordings/{gsm}/audio?download=1")
    assert original.headers["content-type"] == "audio/wav"
    assert not shown.complaints


def test_the_page_is_whole_without_scripts(shown: Shown) -> None:
    page = shown.anew(f"/recordings/{shown.call}?t=56", java_script_enabled=False)
    source = page.locator("audio source").first.get_attribute("src")
    assert source == f"/recordings/{shown.call}/audio#t=56"
    page.get_by_role("link", name="0:29", exact=True).first.click()
    assert page.url.endswith(f"/recordings/{shown.call}?t=29#t=29")
    page.get_by_role("button", name="Noise").click()
    assert page.locator("button[value=noise]").first.get_attribute("aria-pressed") == "true"
    page.close()


def test_hostile_names_words_and_summaries_do_nothing(shown: Shown) -> None:
    page = shown.open(f"/recordings/{shown.hostile}", width=1280)
    for path in ("/recordings", "/recordings?q=script", "/alerts", "/trends", "/queue"):
        page.mouse.move(300, 300)
        page.goto(shown.base + path)
    page.mouse.move(300, 300)
    assert not shown.complaints


def test_everybody_can_use_every_page(shown: Shown) -> None:
    """axe-core finds nothing, and nothing is wider than the screen. In the dark only colours are others."""
    from axe_playwright_python.sync_playwright import Axe

    found = {}
    ways: tuple[tuple[Literal["light", "dark"], int, dict[str, Any]], ...] = (
        ("light", 1280, {}),
        ("light", 390, {}),
        ("dark", 390, {"runOnly": ["color-contrast"]}),
    )
    paths = (
        f"/recordings/{shown.call}?t=43",
        "/recordings?q=refund",
        "/recordings",
        "/alerts",
        "/trends",
        "/queue",
        "/login",
    )
    for path in paths:
        page = shown.open(path)
        page.evaluate(Axe().axe_script)
        for scheme, width, only in ways:
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 844})
            options = {"resultTypes": ["violations"], **only}
            # Of the rest nothing is brought here: that is most of the work.
            for each in page.evaluate("how => axe.run(how).then(told => told.violations)", options):
                found[path, scheme, width, each["id"]] = [node["html"][:200] for node in each["nodes"][:3]]
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert not found, json.dumps({str(key): value for key, value in found.items()}, indent=1)
