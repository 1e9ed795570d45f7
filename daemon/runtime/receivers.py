"""The configured webhooks: how to call them, and which rows to write for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from daemon.alerts.webhooks import Receiver
from daemon.config.models import Config, Webhook
from daemon.config.secrets import webhook_secret
from daemon.deepgram.proxies import proxy_for
from daemon.errors import all_of
from daemon.storage.webhooks import Subscription


def receivers(config: Config, env: Mapping[str, str]) -> list[Receiver]:
    """Return every webhook with its secret and its proxy; ConfigError where a secret cannot be used."""
    return all_of(*(partial(_receiver, webhook, env) for webhook in config.webhooks))


def _receiver(webhook: Webhook, env: Mapping[str, str]) -> Receiver:
    url = webhook.url.get_secret_value()
    proxy = proxy_for(url, env)
    return Receiver(webhook.label, url, webhook_secret(webhook, env=env), proxy.url if proxy else None)


def subscriptions(config: Config) -> list[Subscription]:
    """Return the events that each webhook wants."""
    return [
        Subscription(webhook.label, webhook.on, "transcript" in webhook.include)
        for webhook in config.webhooks
    ]
