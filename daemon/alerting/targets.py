"""The targets of alerts: every URL of every destination, and how long a message to it may be."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from apprise import Apprise, AppriseAsset, NotifyBase

from daemon.config.destinations import service_problem
from daemon.config.models import Alerts, Config
from daemon.config.secrets import destination_urls
from daemon.errors import ConfigError, ConfigProblem

READABLE = 3500
"""Characters. Many services take more, but nobody reads it on a phone."""

SMALLEST = 160
"""Characters. A reason and the last line need that much; a service that takes less gets too much."""

CONNECT_SECONDS = 10.0
READ_SECONDS = 20.0
"""Apprise waits 4 s by default, and takes a message for lost that a slow service did accept."""


@dataclass(frozen=True, slots=True)
class Target:
    """One URL of a destination. `limit` counts characters, with the title where that is part of the body."""

    destination: str
    index: int
    url: str = field(repr=False)
    limit: int
    title_in_body: bool


def open_targets(config: Config, env: Mapping[str, str]) -> list[Target]:
    """Every URL of every destination; raises ConfigError naming all that Apprise does not understand."""
    targets, problems = [], []
    for name, destination in config.alerts.destinations.items():
        for index, url in enumerate(destination_urls(destination, env=env)):
            service = open_service(url)
            if service is None:
                text = f"URL {index + 1} {service_problem(url)}"
                problems.append(ConfigProblem("configuration", None, f"alerts.destinations.{name}", text))
            else:
                limit, title_in_body = _limit(service)
                targets.append(Target(name, index, url, limit, title_in_body))
    if problems:
        raise ConfigError("configuration", problems)
    return targets


def operations_targets(alerts: Alerts, targets: Iterable[Target]) -> list[tuple[str, int]]:
    """Who hears that the service itself is in trouble, as (destination, target index)."""
    return [
        (target.destination, target.index) for target in targets if target.destination in alerts.operations
    ]


def limit_for(url: str) -> int:
    """How many characters a message to this URL may have; SMALLEST for one that Apprise does not know."""
    service = open_service(url)
    return SMALLEST if service is None else _limit(service)[0]


def open_service(url: str) -> NotifyBase | None:
    """The Apprise service for exactly one URL, or None when there is none; nothing is sent or logged."""
    keep_quiet()
    # Checked silently first: Apprise writes a URL that it cannot load into its error.
    if service_problem(url) is not None:
        return None
    # No limit of its own: Apprise would hand the call to a shared pool of threads that a few hanging services
    # exhaust for all others. The sender has a thread and a limit for each target.
    asset = AppriseAsset(app_id="earshot", app_desc="earshot", service_timeout=0)
    service = Apprise.instantiate(url, asset=asset)
    if service is None:
        return None
    if "socket_connect_timeout" not in vars(service):
        service.socket_connect_timeout = max(service.socket_connect_timeout, CONNECT_SECONDS)
    if "socket_read_timeout" not in vars(service):
        service.socket_read_timeout = max(service.socket_read_timeout, READ_SECONDS)
    return service


def keep_quiet() -> None:
    """Keep the records of Apprise and urllib3 out of every log: they name hosts, paths, tokens and bodies.

    What Apprise reports about a failed message is captured from its own logger and classed, not passed on.
    """
    logging.getLogger("apprise").propagate = False
    for name in ("apprise", "urllib3"):
        chatty = logging.getLogger(name)
        chatty.setLevel(max(chatty.level, logging.WARNING))


def _limit(service: NotifyBase) -> tuple[int, bool]:
    title_in_body = service.title_maxlen <= 0 or service.overflow_amalgamate_title
    return max(SMALLEST, min(int(service.body_maxlen), READABLE)), title_in_body
