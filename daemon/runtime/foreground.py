"""What a command needs that asks the API itself, while a person waits: the same parts as the service."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

from daemon.alerts.targets import open_targets
from daemon.analysis.context import Context
from daemon.analysis.throttle import Throttle
from daemon.config.models import Config
from daemon.config.secrets import api_key
from daemon.costs.estimate import expected
from daemon.deepgram.client import ApiClient
from daemon.deepgram.request import reply_timeout, requests_by_folder
from daemon.runtime.engine_process import ENGINE_URL, EmbeddedEngine, embedded, share_done
from daemon.runtime.results import Rules, store


@contextmanager
def asking(
    config: Config, env: Mapping[str, str] = os.environ, *, concurrency: int = 1
) -> Iterator[tuple[Context, Rules]]:
    """Yield what the analysis needs, and the rules; the embedded engine runs as long, if it is configured.

    Raises EarshotError when key, destinations or engine cannot be used.
    """
    key = api_key(config, env=env)
    rules = Rules(config.alerts, open_targets(config, env))
    with ExitStack() as resources:
        base_url, socket_path = config.analyzer.base_url, None
        if settings := embedded(config):
            engine = resources.enter_context(EmbeddedEngine(settings, env))
            base_url, socket_path = ENGINE_URL, engine.socket
        client = resources.enter_context(
            ApiClient(base_url, key=key, timeout=reply_timeout(config.analyzer), socket_path=socket_path)
        )
        context = Context(
            config=config,
            client=client,
            requests=requests_by_folder(config),
            throttle=Throttle(concurrency),
            expected=expected,
            store=partial(store, alerts=rules.alerts, targets=rules.targets),
            # A person waits here: when a result cannot be stored, report it instead of trying again.
            ended=lambda: True,
            share_done=partial(share_done, socket_path),
        )
        yield context, rules
