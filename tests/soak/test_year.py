"""A simulated year: nothing is lost, nothing is done twice, nothing grows that need not."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.models import from_iso
from tests.soak import plan as planned
from tests.soak.far_end import SAMPLE, Ledger, far_end, twice
from tests.soak.plan import BEGIN, END, FULL, HOUR, SHORT, ZONE, Plan, Scale, within
from tests.soak.year import Clock, Year, own_disk, resident_bytes, table

MEGABYTE = 1_000_000
PER_MINUTE, PER_INPUT, PER_OUTPUT = 0.0043, 0.0003 / 1000, 0.0006 / 1000


def prices() -> dict[str, float]:
    """What a recording costs by its reply: for each second, and for the tokens of its transcript."""
    infos = json.loads(SAMPLE.read_text("utf-8"))["metadata"]
    sections = [infos[f"{name}_info"] for name in ("summary", "sentiment", "topics", "intents")]
    tokens = (sum(each[f"{way}_tokens"] for each in sections) for way in ("input", "output"))
    read, written = tokens
    return {"fixed": read * PER_INPUT + written * PER_OUTPUT, "second": PER_MINUTE / 60}


class Books:
    """What was seen of every recording and alert, before retention removes it; as little as will do."""

    def __init__(self, year: Year, plan: Plan) -> None:
        self.year = year
        self.by_number = {drop.number: drop for drop in plan.all()}
        self.ends = bytearray(max(self.by_number) + 1)
        self.wrong: list[dict[str, Any]] = []
        self.alerts: dict[int, dict[str, Any]] = {}
        self.sizes: dict[str, dict[str, Any]] = {}
        self._seen = self._seen_alerts = 0

    def read(self) -> None:
        """Note the recordings and alerts that have ended since."""
        sql = "SELECT id, name, state, error_code, not_before FROM recordings WHERE id > ? ORDER BY id"
        for row in table(self.year.db, sql, self._seen):
            if row["state"] in ("waiting", "analyzing"):
                break
            self._seen = row["id"]
            number = int(row["name"].rpartition("_")[2].removesuffix(".wav"))
            self.ends[number] += 1
            if (row["state"], row["error_code"]) != ENDS[self.by_number[number].kind]:
                self.wrong.append(row)
        sql = f"SELECT {ALERT_COLUMNS} FROM alerts WHERE id > ? ORDER BY id"  # noqa: S608
        for row in table(self.year.db, sql, self._seen_alerts):
            if row["state"] == "pending":
                break
            self._seen_alerts = row["id"]
            self.alerts[row["id"]] = row

    def measure(self) -> None:
        """Note sizes at the end of a month."""
        month = f"{self.year.clock.now.astimezone(ZONE):%m-%d}"
        fds = len(list(Path("/proc/self/fd").iterdir()))
        more = {"memory": resident_bytes(), "threads": threading.active_count(), "files": fds}
        self.sizes[month] = self.year.sizes() | more | {"rows": self.year.counts()}
        sys.stdout.write(f"{month} {self.sizes[month]}\n")
        sys.stdout.flush()


ALERT_COLUMNS = "id, recording_id, destination, severity, state, reason, title, created_at, sent_at"
ENDS = {
    "calm": ("done", None),
    "negative": ("done", None),
    "cancel": ("done", None),
    "long": ("done", None),
    "doubtful": ("done", None),
    "corrupt": ("failed", "corrupt_audio"),
    "copy": ("duplicate", None),
    "empty": ("skipped", "empty"),
}


class Events:
    """What befalls the service, and what people do about it."""

    def __init__(self, year: Year, resize: Callable[[str], None] | None) -> None:
        self._year = year
        self._resize = resize
        self._support = year.folders["support"]

    def befall(self, at: datetime) -> None:
        """Let happen what happens at this hour."""
        year, remote = self._year, self._year.remote
        for number, (start, end) in enumerate(planned.KEYS, 2):
            if at == start:
                remote.ask(key=f"key-{number}")
            if at == end:
                year.key = f"key-{number}"
                year.restart()
        if at in planned.OUTAGE:
            remote.ask(is_up=at == planned.OUTAGE[1])
        if at in planned.DEAF:
            remote.ask(down=("team",) if at == planned.DEAF[0] else ())
        if at == planned.AWAY[0]:
            self._support.rename(self._elsewhere)
        if at == planned.AWAY[1]:
            self._elsewhere.rename(self._support)
        if at in planned.FULL_DISK:
            self._fill(is_full=at == planned.FULL_DISK[0])
        year.clock.wrong = timedelta(
            days=365 * within(at, planned.AHEAD), hours=-2 * within(at, planned.BEHIND)
        )
        if at.astimezone(ZONE).day == 1 and at.astimezone(ZONE).hour == 8:
            year.restart()

    @property
    def _elsewhere(self) -> Path:
        return self._support.with_name("unplugged")

    def folder_of(self, name: str) -> Path:
        """Where the folder is now: what records goes on while the service cannot see it."""
        folder = self._year.folders[name]
        return folder if folder.exists() else self._elsewhere

    def _fill(self, *, is_full: bool) -> None:
        if self._resize is not None:
            used = shutil.disk_usage(self._year.store).used
            self._resize(str(used + 20 * MEGABYTE) if is_full else "8g")
            return
        self._year.settings.pop("min_free", None)
        if is_full:
            self._year.settings["min_free"] = "1000000GB"
        self._year.restart()


def live(year: Year, plan: Plan, events: Events, books: Books) -> None:
    """Let the year go by."""
    for at in plan.ticks:
        year.clock.go(at)
        events.befall(at)
        for drop in plan.drops.get(at, ()):
            year.put(drop, events.folder_of(drop.folder))
        year.look(is_calm=not plan.drops.get(at))
        hour = at.astimezone(ZONE)
        if hour.hour == 8:
            books.read()
            year.clean_up(year.folders["voicemail"], 20)
            year.clean_up(year.folders["calls"], 30)
        if hour.date() in planned.SURGES and hour.hour == 23:
            [found] = table(year.db, "SELECT count(*) AS n FROM recordings WHERE state = 'waiting'")
            assert found["n"] == plan.held_by_limit(hour.date())
        if (hour + timedelta(days=1)).day == 1 and hour.hour == planned.MEASURED:
            books.measure()


@pytest.fixture
def no_log() -> Iterator[None]:
    """pytest would keep every line of the year's log in memory."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(SHORT, marks=pytest.mark.timeout(600), id="short"),
        pytest.param(FULL, marks=[pytest.mark.soak, pytest.mark.timeout(0)], id="full"),
    ],
)
def test_a_year_goes_by(scale: Scale, tmp_path: Path, no_log: None) -> None:
    plan = planned.plan(scale, prices())
    began = time.process_time(), time.monotonic()
    with own_disk(tmp_path / "state", "8g") as resize, far_end(key="key-1") as remote:
        settings = {
            "calls": {"limits": {"recordings_per_day": scale.day_limit}},
            "limits": {"cost_per_month": plan.month_limit_usd},
        }
        year = Year(tmp_path, tmp_path / "state", remote, Clock(BEGIN), settings)
        books = Books(year, plan)
        with year.running():
            live(year, plan, Events(year, resize), books)
            year.clock.go(END + 8 * HOUR)
            year.look()
            books.read()
            books.measure()
            ledger = remote.ask()
            check_recordings(books, plan, ledger)
            check_costs(year, plan, ledger)
            check_alerts(books, plan, ledger)
            check_growth(books, scale)
    used = time.process_time() - began[0]
    sys.stdout.write(
        f"recordings={len(books.by_number)} processor={used:.0f}s wall={time.monotonic() - began[1]:.0f}s"
        f" by loop={ {name: round(spent, 1) for name, spent in year.spent.items()} }"
        f" longest wait={year.waits.longest:.3f}s of {year.waits.count} at {year.waits.longest_at}\n"
    )
    # Beside other tests a writer may wait for the processor too.
    assert year.waits.longest < (1.0 if scale is FULL else 20.0), year.waits


def check_recordings(books: Books, plan: Plan, ledger: Ledger) -> None:
    """Every recording ended exactly once, as it should, and was paid for once."""
    assert not books.wrong
    assert [number for number in books.by_number if books.ends[number] != 1] == []
    paid = {f"{drop.number:06}" for drop in plan.all() if drop.kind not in ("corrupt", "copy", "empty")}
    assert ledger.answered.keys() == paid
    assert not twice(ledger.answered)


def check_costs(year: Year, plan: Plan, ledger: Ledger) -> None:
    """Every request that was billed, or may have been, has a row, and there is no other."""
    price = prices()
    [found] = table(
        year.db,
        "SELECT count(*) AS n, sum(input_tokens IS NULL) AS lost,"
        " sum(usd * (input_tokens IS NOT NULL)) AS usd FROM costs",
    )
    assert (found["n"], found["lost"]) == (len(ledger.answered) + len(ledger.lost), len(ledger.lost))
    paid = [drop for drop in plan.all() if drop.kind not in ("corrupt", "copy", "empty")]
    expected = sum(round(price["fixed"] + price["second"] * drop.seconds, 6) for drop in paid)
    assert found["usd"] == pytest.approx(expected, abs=0.01)


def check_alerts(books: Books, plan: Plan, ledger: Ledger) -> None:
    """Every message that should be is there, was sent once, at its time, and there is no other."""
    of_recordings = [row for row in books.alerts.values() if row["recording_id"] is not None]
    states = Counter((row["state"], row["reason"]) for row in of_recordings)
    assert states == +plan.alerts()
    sent = {f"{row['destination']}/{row['id']}" for row in books.alerts.values() if row["state"] == "sent"}
    assert ledger.alerts.keys() == sent
    assert not twice(ledger.alerts)
    for row in of_recordings:
        if row["state"] == "sent" and row["severity"] == "warning":
            assert 8 <= from_iso(row["sent_at"]).astimezone(ZONE).hour < 22, row
    check_digests(books, plan)
    assert sum("held back" in row["title"] for row in books.alerts.values()) == plan.bursts()
    # Long paths are cut at the front.
    titles = Counter(re.sub(r" - .*/(support|calls)$", r" - FOLDER/\1", title) for title in ledger.titles)
    assert titles == operations(plan)
    told = Counter(key.partition("/")[0] for key in ledger.webhooks)
    sent_alerts = plan.alerts()["sent", None]
    assert told == {"recording.failed": sum(plan.failures().values()), "recording.alert": sent_alerts}
    assert not twice(ledger.webhooks)


def check_digests(books: Books, plan: Plan) -> None:
    """One each day at 08:00 by the clocks on the wall, and one for the year that the clock jumped."""
    made = Counter(
        from_iso(row["created_at"]).astimezone(ZONE).replace(second=0, microsecond=0)
        for row in books.alerts.values()
        if "digest" in row["title"]
    )
    expected = Counter(plan.digests())
    expected[(planned.AHEAD[0] + timedelta(days=365)).astimezone(ZONE)] += 1
    assert made == expected


def operations(plan: Plan) -> Counter[str]:
    """The titles of all that operations should have heard."""
    titles: Counter[str] = Counter()
    for begun, over, count in (
        ("the API key is refused", "the API key is no longer refused", len(planned.KEYS)),
        ("the service is down", "the service answers again", 1),
        ("the database cannot be written", "the database can be written again", 1),
        ("a limit is reached", "a limit holds nothing back any more", len(planned.SURGES) + 1),
    ):
        titles[f"[critical] earshot paused - {begun}"] += count
        titles[f"[info] earshot goes on - {over}"] += count
    for title in (
        "[warning] a watched folder is gone - FOLDER/support",
        "[info] a watched folder is back - FOLDER/support",
        "[warning] alerts wait for team",
        "[info] alerts reach team again",
        "[warning] retention waits, because the clock may be wrong",
        "[info] retention goes on",
        "[warning] a limit is nearly reached - cost_per_month of all folders",
    ):
        titles[title] += 1
    titles["[warning] a limit is nearly reached - FOLDER/calls"] = len(planned.SURGES)
    for count in plan.failures().values():
        titles[f"[warning] {count} recording{'s' * (count > 1)} failed"] += 1
    return titles


GROWING = {"costs": 1.1, "erasures": 0.0}
"""The tables that only grow: at most so many rows for each recording. `erasures` grows by nights."""
ERASURES_A_NIGHT = 8


def check_growth(books: Books, scale: Scale) -> None:
    """What the service keeps and needs is no more in the last months than after the first quarter."""
    months = list(books.sizes.values())
    early, late = months[2:6], months[-4:]
    for name in late[-1]["rows"]:
        now = late[-1]["rows"][name]
        if name in GROWING:
            assert now <= GROWING[name] * len(books.by_number) + 365 * ERASURES_A_NIGHT, name
        else:
            most = max(month["rows"][name] for month in early)
            assert max(month["rows"][name] for month in late) <= 1.3 * most + 20, name
    # How many threads of the pool are there at a look differs by a few; a leak would grow each month.
    for name, leeway in (("memory", 24 * MEGABYTE), ("threads", 4), ("files", 2), ("log", 8 * MEGABYTE)):
        assert max(month[name] for month in late) <= max(month[name] for month in early) + leeway, name
    if scale.hours:
        growing = sum(late[-1]["rows"][name] - early[0]["rows"][name] for name in GROWING)
        assert late[-1]["file"] <= 1.15 * max(month["file"] for month in early) + ROW_BYTES * growing


ROW_BYTES = 250
"""A row of the tables that grow, with its entries in indexes."""
