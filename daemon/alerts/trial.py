"""Send a sample alert to every URL of a destination."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from daemon.alerts.sample import sample_message
from daemon.alerts.sender import AppriseSender
from daemon.alerts.targets import open_targets
from daemon.config.destinations import service_name
from daemon.config.models import Config


def only_destination(config: Config, name: str) -> Config:
    """Return the configuration with only this destination, so that faults of others do not matter."""
    destinations = {name: config.alerts.destinations[name]}
    return config.model_copy(
        update={"alerts": config.alerts.model_copy(update={"destinations": destinations})}
    )


def try_destination(
    config: Config, name: str, env: Mapping[str, str] = os.environ
) -> Iterator[tuple[str, str | None]]:
    """Yield for each URL of a destination what people call it, and why it refused; None if it took it."""
    targets = open_targets(only_destination(config, name), env)
    for target in targets:
        message = sample_message(
            limit=target.limit, title_in_body=target.title_in_body, template=target.template
        )
        place = f"{name}, URL {target.index + 1} of {len(targets)} ({service_name(target.url)})"
        yield place, AppriseSender(target.url).send(message.title, message.body)
