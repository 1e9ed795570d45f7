"""The targets of alerts: every URL of every destination, and how long a message to it may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from jinja2 import Template

from daemon.alerts.quiet_hours import QuietHours
from daemon.alerts.sample import sample_variables
from daemon.alerts.template import load_template
from daemon.config.destinations import service_problem
from daemon.config.models import Alerts, Config, Destination
from daemon.config.secrets import destination_urls
from daemon.config.times import zone_of
from daemon.errors import ConfigError, ConfigProblem
from daemon.text import shorten

READABLE = 3500
"""Characters. Many services take more, but nobody reads it on a phone."""

SMALLEST = 160
"""Characters. A reason and the last line need that much; a service that takes less gets too much."""


@dataclass(frozen=True, slots=True)
class Target:
    """One URL of a destination, or one recipient of a URL that names several.

    `limit` counts characters, with the title where that is part of the body.
    """

    destination: str
    index: int
    url: str = field(repr=False)
    limit: int
    title_in_body: bool
    quiet: QuietHours | None = None
    template: Template | None = field(default=None, repr=False, compare=False)


def open_targets(config: Config, env: Mapping[str, str]) -> list[Target]:
    """Every URL of every destination; raises ConfigError naming all that Apprise does not understand.

    A template that cannot be used is a ConfigError as well.
    """
    targets: list[Target] = []
    problems: list[ConfigProblem] = []
    if not config.alerts.destinations:
        return targets
    # Only now: see there what it takes.
    from daemon.alerts.apprise_urls import limit_of, one_recipient_each, open_service

    for name, destination in config.alerts.destinations.items():
        quiet = _quiet_hours(destination, config.timezone)
        template = destination_template(destination)
        services = []
        for number, url in enumerate(destination_urls(destination, env=env), 1):
            service = open_service(url)
            if service is None:
                text = f"URL {number} {service_problem(url)}"
                problems.append(ConfigProblem("configuration", None, f"alerts.destinations.{name}", text))
            else:
                services += [(each, service) for each in one_recipient_each(url, service)]
        for index, (url, service) in enumerate(services):
            targets.append(Target(name, index, url, *limit_of(service), quiet, template))
    if problems:
        raise ConfigError("configuration", problems)
    return targets


def destination_template(destination: Destination) -> Template | None:
    """The destination's template, or None when it has none; ConfigError when it cannot be used."""
    return None if destination.template is None else load_template(destination.template, sample_variables())


def operations_targets(alerts: Alerts, targets: Iterable[Target]) -> list[tuple[str, int]]:
    """Who hears that the service itself is in trouble, as (destination, target index)."""
    return [
        (target.destination, target.index) for target in targets if target.destination in alerts.operations
    ]


def fit(target: Target, title: str, body: str) -> str:
    """The body of any message cut to what the target takes; its last paragraph, with the ids, stays."""
    room = target.limit - (len(title) + len("\r\n") if target.title_in_body else 0)
    if len(body) <= room:
        return body
    text, gap, last = body.rpartition("\n\n")
    return shorten(text, max(room - len(gap) - len(last), 0)) + gap + last


def _quiet_hours(destination: Destination, timezone: str | None) -> QuietHours | None:
    if destination.quiet_hours is None:
        return None
    return QuietHours(*destination.quiet_hours, zone=zone_of(destination.timezone, timezone))
