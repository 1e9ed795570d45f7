"""The targets of alerts, as the configuration names them: every URL of every destination."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from jinja2 import Template

from daemon.alerts.apprise_urls import limit_of, one_recipient_each
from daemon.alerts.sample import sample_variables
from daemon.alerts.template import load_template
from daemon.alerts.verdict_links import links_room
from daemon.config.destinations import open_service, service_problem
from daemon.config.models import Config, Destination
from daemon.config.secrets import destination_urls
from daemon.config.times import zone_of
from daemon.errors import ConfigError, ConfigProblem, all_of
from daemon.models import QuietHours, Target
from daemon.text import shorten


def open_targets(config: Config, env: Mapping[str, str]) -> list[Target]:
    """Return every URL of every destination.

    Raises ConfigError, which names every destination with a fault: a URL that Apprise does not understand, a
    file that cannot be read, a template that is none.
    """
    named = config.alerts.destinations.items()
    opened = all_of(*(partial(_targets_of, config, name, destination, env) for name, destination in named))
    return [target for targets in opened for target in targets]


def _targets_of(config: Config, name: str, destination: Destination, env: Mapping[str, str]) -> list[Target]:
    targets: list[Target] = []
    problems: list[ConfigProblem] = []
    zone = zone_of(destination.timezone, config.timezone)
    quiet = None if destination.quiet_hours is None else QuietHours(*destination.quiet_hours, zone)
    template = destination_template(destination)
    services = []
    for number, url in enumerate(destination_urls(destination, env=env), 1):
        service = open_service(url)
        if service is None:
            text = f"URL {number} {service_problem(url)}"
            problems.append(ConfigProblem("configuration", None, f"alerts.destinations.{name}", text))
        else:
            services += [(each, service) for each in one_recipient_each(url, service)]
    if problems:
        raise ConfigError("configuration", problems)
    for index, (url, service) in enumerate(services):
        limit, title_in_body = limit_of(service)
        room = links_room(config, limit)
        targets.append(
            Target(name, index, url, limit - room, title_in_body, quiet, template, zone, links_room=room)
        )
    return targets


def destination_template(destination: Destination) -> Template | None:
    """Return the destination's template, None when it has none. Raises ConfigError when it is not usable."""
    return None if destination.template is None else load_template(destination.template, sample_variables())


def fit(target: Target, title: str, body: str) -> str:
    """Cut the body of a message to what the target takes; its last paragraph, with the ids, stays."""
    room = target.limit - (len(title) + len("\r\n") if target.title_in_body else 0)
    if len(body) <= room:
        return body
    text, gap, last = body.rpartition("\n\n")
    return shorten(text, max(room - len(gap) - len(last), 0)) + gap + last
