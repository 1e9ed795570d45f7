"""The configured webhooks: how to call them, and which rows to write for them."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.alerts.webhooks import Receiver
from daemon.config.models import Config
from daemon.config.secrets import webhook_secret
from daemon.deepgram.proxies import proxy_for
from daemon.storage.webhooks import Subscription


def receivers(config: Config, env: Mapping[str, str]) -> list[Receiver]:
    """Return every webhook with its secret and its proxy; ConfigError where a secret cannot be used."""
    found = []
    for webhook in config.webhooks:
        url = webhook.url.get_secret_value()
        proxy = proxy_for(url, env)
        secret = webhook_secret(webhook, env=env)
        found.append(Receiver(webhook.label, url, secret, proxy.url if proxy else None))
    return found


def subscriptions(config: Config) -> list[Subscription]:
    """Return the events that each webhook wants."""
    return [
        Subscription(webhook.label, webhook.on, "transcript" in webhook.include)
        for webhook in config.webhooks
    ]
