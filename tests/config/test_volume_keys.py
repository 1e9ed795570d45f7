"""What the configuration may say about times and volume, and how mistakes in it are told."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.config.models import Burst
from daemon.config.times import zone_of
from tests.config.test_config import RULES, load, the_problem

DESTINATION = "watch: [/a]\nalerts:\n  destinations:\n    t:\n      urls: json://h/\n      "


def test_volume_has_the_defaults_that_the_documentation_names(tmp_path: Path) -> None:
    alerts = load(tmp_path, "watch: [/srv/a]").alerts
    assert (alerts.cooldown, alerts.max_age, alerts.burst, alerts.digest) == (
        0.0,
        86400.0,
        None,
        None,
    )


def test_every_key_of_volume_is_read(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """\
        timezone: Europe/Berlin
        watch: [{path: /srv/a, silent_after: 8h}]
        alerts:
          destinations:
            t: {urls: json://h/, quiet_hours: "22:00-07:30", timezone: UTC, template: team.j2}
          rules:
            - {name: r, when: {intent: x}, notify: t, cooldown: 1h, cooldown_by: metadata.agent}
          cooldown: 5m
          burst: {limit: 3, window: 1m}
          digest: {at: "17:30", every: friday, notify: t}
          link: http://h/{id}#t={seconds}
        """,
    )
    alerts, destination = config.alerts, config.alerts.destinations["t"]
    assert (config.timezone, config.watch[0].silent_after) == ("Europe/Berlin", 28800.0)
    assert destination.quiet_hours == (time(22), time(7, 30))
    assert (destination.timezone, destination.template) == ("UTC", tmp_path / "team.j2")
    assert (alerts.rules[0].cooldown, alerts.rules[0].cooldown_by) == (3600.0, "metadata.agent")
    assert (alerts.cooldown, alerts.burst) == (300.0, Burst(limit=3, window=60.0))
    assert alerts.digest is not None
    assert (alerts.digest.at, alerts.digest.every, alerts.digest.notify) == (time(17, 30), "friday", ("t",))


def test_a_burst_without_its_keys_has_their_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "watch: [/a]\nalerts: {burst: {}}").alerts.burst == Burst(limit=10, window=600.0)
    assert load(tmp_path, "watch: [/a]\nalerts: {burst: null}").alerts.burst is None


@pytest.mark.parametrize(
    ("text", "line", "key", "part"),
    [
        ("watch: [/a]\ntimezone: Europe/Belrin", 2, "timezone", "did you mean Europe/Berlin?"),
        ("watch: [/a]\ntimezone: ''", 2, "timezone", "no time zone"),
        ("watch: [/a]\ntimezone: ../../etc/passwd", 2, "timezone", "no time zone"),
        (DESTINATION + "timezone: Mars/Sea", 6, "alerts.destinations.t.timezone", "no time zone"),
        (DESTINATION + "quiet_hours: 22:00", 6, "alerts.destinations.t.quiet_hours", '"22:00-07:00"'),
        (DESTINATION + "quiet_hours: 25:00-07:00", 6, "alerts.destinations.t.quiet_hours", "two times"),
        (DESTINATION + "quiet_hours: 07:00-07:00", 6, "alerts.destinations.t.quiet_hours", "different"),
        (DESTINATION + "template: ''", 6, "alerts.destinations.t.template", "must not be empty"),
        ("watch: [/a]\nalerts:\n  cooldown: long", 3, "alerts.cooldown", "is not a duration"),
        ("watch: [/a]\nalerts:\n  burst: {limit: 0}", 3, "alerts.burst.limit", "at least 1"),
        ("watch: [/a]\nalerts:\n  burst: {window: 0s}", 3, "alerts.burst.window", "longer than 0s"),
        ("watch: [/a]\nalerts:\n  burst: {size: 3}", 3, "alerts.burst.size", "unknown key"),
        (RULES + "  digest: {notify: teem}", 6, "alerts.digest.notify", "did you mean 'team'?"),
        (RULES + "  digest: {at: 8, notify: team}", 6, "alerts.digest.at", "in quotes"),
        (RULES + "  digest: {every: sunda, notify: team}", 6, "alerts.digest.every", "sunday?"),
        (RULES + "  digest: {at: '8:00'}", 6, "alerts.digest.notify", "names of destinations"),
        ("watch: [/a]\nmetrics_file: /srv/earshot.txt", 2, "metrics_file", "must end with .prom"),
        ("watch: [{path: /a, silent_after: 0s}]", 1, "watch[0].silent_after", "longer than 0s"),
        (
            RULES + "    - {name: a, when: {intent: x}, notify: team, cooldown_by: caller}",
            6,
            "alerts.rules[0].cooldown_by",
            "metadata.agent",
        ),
        (
            RULES + "    - {name: a, when: {intent: x}, notify: team, cooldown_by: metadata.}",
            6,
            "alerts.rules[0].cooldown_by",
            "after the dot",
        ),
    ],
)
def test_a_mistake_in_volume_is_told_with_its_line_and_key(
    tmp_path: Path, text: str, line: int, key: str, part: str
) -> None:
    problem = the_problem(tmp_path, text)
    assert (problem.line, problem.key) == (line, key)
    assert part in problem.problem


def test_the_time_zone_is_the_named_one_else_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert zone_of("Europe/Paris", "UTC") == ZoneInfo("Europe/Paris")
    assert zone_of(None, "UTC") == ZoneInfo("UTC")
    assert zone_of(None, None) == ZoneInfo("Asia/Tokyo")
    monkeypatch.setenv("TZ", ":no such zone")
    assert zone_of() is not None
