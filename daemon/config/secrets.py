"""Reads the API key and the alert URLs, and lists what no log may show."""

from __future__ import annotations

import base64
import contextlib
import functools
import logging
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from daemon.config.destinations import service_problem
from daemon.config.document import SHORTEST_TOKEN, shown_name
from daemon.config.models import Config, Destination, Webhook
from daemon.config.short_forms import CREDENTIAL
from daemon.config.urls import is_deepgram_host
from daemon.errors import ConfigError, ConfigProblem

logger = logging.getLogger(__name__)

KEY_CREDENTIAL = "deepgram_api_key"
KEY_CREDENTIAL_FILE = Path("/etc/earshot/credentials/deepgram_api_key")
"""From which the systemd unit takes it."""
KEY_VARIABLE = "DEEPGRAM_API_KEY"

_LARGEST_SECRET_BYTES = 64 * 1024
_SHORTEST_PASSWORD = 4
_SHORTEST_WEB_TOKEN = 12
"""Of the web pages, which many may try to guess."""
_WEBHOOK_PREFIX = "whsec_"
_SHORTEST_WEBHOOK_BYTES = 24
"""From the specification of Standard Webhooks."""


def api_key(config: Config, *, env: Mapping[str, str] = os.environ) -> str | None:
    """The Deepgram key: first of api_key, api_key_file, the systemd credential, $DEEPGRAM_API_KEY.

    None if none is needed: always for the embedded engine, and for a self-hosted address without a key.
    Raises ConfigError if a named file cannot be used, or there is no key for Deepgram's own address.
    """
    if config.analyzer.base_url == "embedded":
        return None
    key = _configured_key(config, env)
    if key is None and is_deepgram_host(urlsplit(config.analyzer.base_url).hostname or ""):
        raise _error("configuration", "analyzer", f"there is no API key; {_where_to_write_it(env)}")
    return key


def destination_urls(destination: Destination, *, env: Mapping[str, str] = os.environ) -> list[str]:
    """The destination's alert URLs, then those of its file (one per line, # starts a comment line).

    Raises ConfigError when the file cannot be used or a line in it is no alert URL.
    """
    urls = [url.get_secret_value() for url in destination.urls]
    if destination.urls_file is None:
        return urls
    path = _credential_path(destination.urls_file, "urls_file", env)
    found = _urls_in(path, env)
    if not found:
        raise _error(path, "urls_file", "has no alert URL in it; write one per line")
    problems = [
        ConfigProblem(str(path), number, "urls_file", problem)
        for number, url in found
        if (problem := service_problem(url)) is not None
    ]
    if problems:
        raise ConfigError(path, problems)
    return urls + [url for _number, url in found]


def _urls_in(path: Path, env: Mapping[str, str]) -> list[tuple[int, str]]:
    """What is no comment in a file of alert URLs, with its line; nothing of it is judged."""
    lines = _read_secret(path, "urls_file", env).splitlines()
    found = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    return [(number, line) for number, line in found if not line.startswith("#")]


def webhook_secret(webhook: Webhook, *, env: Mapping[str, str] = os.environ) -> str:
    """The secret that signs messages to this webhook. Raises ConfigError when there is none."""
    path = _credential_path(webhook.secret_file, "secret_file", env)
    secret = _read_secret(path, "secret_file", env).strip()
    try:
        size = len(base64.b64decode(secret.removeprefix(_WEBHOOK_PREFIX) + "==", validate=False))
    except ValueError:
        size = 0
    if not secret.startswith(_WEBHOOK_PREFIX) or size < _SHORTEST_WEBHOOK_BYTES:
        text = "has no secret for webhooks in it; write one by: echo whsec_$(openssl rand -base64 32)"
        raise _error(path, "secret_file", text)
    return secret


def web_token(path: Path | None, *, env: Mapping[str, str] = os.environ) -> str | None:
    """The password of the web pages, or None. Raises ConfigError when its file cannot be used."""
    if path is None:
        return None
    token = _read_secret(_credential_path(path, "web.token_file", env), "web.token_file", env).strip()
    if len(token) < _SHORTEST_WEB_TOKEN:
        text = f"has no password of at least {_SHORTEST_WEB_TOKEN} characters in it"
        raise _error(path, "web.token_file", f"{text}; write one by: openssl rand -hex 16")
    return token


def engine_key(path: Path | None, *, env: Mapping[str, str] = os.environ) -> str | None:
    """The key that clients of `earshot engine` must send, or None. ConfigError if its file is unusable."""
    if path is None:
        return None
    text = _read_secret(_credential_path(path, "engine.api_key_file", env), "engine.api_key_file", env)
    return _checked_key(text, path, "engine.api_key_file")


def nameless_below(config: Config) -> list[str] | None:
    """Return the folders of which the log names no file; None if it names files."""
    if config.log_names:
        return None
    return [place for folder in config.watch for place in (*folder.places, folder.into) if place]


def known_secrets(config: Config, env: Mapping[str, str] = os.environ) -> list[str]:
    """Every text that a log must not show, longest first; unreadable files are left out.

    Also the parts of a URL that look secret: services are called by other URLs made of them.
    """
    secrets = {env.get(KEY_VARIABLE, "").strip()}
    with contextlib.suppress(ConfigError):
        secrets.add(_configured_key(config, env) or "")
    for destination in config.alerts.destinations.values():
        urls = [url.get_secret_value() for url in destination.urls]
        if destination.urls_file is not None:
            with contextlib.suppress(ConfigError):
                path = _credential_path(destination.urls_file, "urls_file", env)
                urls += [url for _number, url in _urls_in(path, env)]
        for url in urls:
            secrets.update((url, *_secret_parts(url)))
    for webhook in config.webhooks:
        url = webhook.url.get_secret_value()
        secrets.update((url, *_secret_parts(url)))
        with contextlib.suppress(ConfigError):
            secrets.add(webhook_secret(webhook, env=env))
    if config.heartbeat is not None:
        for address in filter(None, (config.heartbeat.url, config.heartbeat.fail_url)):
            url = address.get_secret_value()
            secrets.update((url, *_secret_parts(url)))
    with contextlib.suppress(ConfigError):
        secrets.add(web_token(config.web.token_file, env=env) or "")
    return sorted(filter(None, secrets), key=lambda secret: (-len(secret), secret))


def text_problem(secret: str) -> str | None:
    """What is wrong with a typed or pasted key, or None; the text never shows the key."""
    if not secret.strip():
        return "is empty; write the API key"
    if not all("!" <= character <= "~" for character in secret.strip()):
        return "has blanks, control characters or letters outside ASCII in it; copy the key again"
    return None


def _configured_key(config: Config, env: Mapping[str, str]) -> str | None:
    analyzer = config.analyzer
    if analyzer.api_key is not None:
        return _checked_key(analyzer.api_key.get_secret_value(), "configuration", "analyzer.api_key")
    if analyzer.api_key_file is not None:
        text = _read_secret(analyzer.api_key_file, "analyzer.api_key_file", env)
        return _checked_key(text, analyzer.api_key_file, "analyzer.api_key_file")
    directory = env.get("CREDENTIALS_DIRECTORY")
    credential = Path(directory, KEY_CREDENTIAL) if directory else None
    if credential is not None and os.path.lexists(credential):
        text = _read_secret(credential, KEY_CREDENTIAL, env)
        # Without a key file our systemd unit passes a blank line: the service then starts and reports it.
        if text.strip():
            return _checked_key(text, credential, KEY_CREDENTIAL)
    if env.get(KEY_VARIABLE, "").strip():
        return _checked_key(env[KEY_VARIABLE], "environment", KEY_VARIABLE)
    return None


def _where_to_write_it(env: Mapping[str, str]) -> str:
    directory = env.get("CREDENTIALS_DIRECTORY")
    if directory and os.path.lexists(Path(directory, KEY_CREDENTIAL)):
        return f"as root, write it into {KEY_CREDENTIAL_FILE} and restart the service"
    return f"write api_key_file: FILE, or set {KEY_VARIABLE}"


def _checked_key(text: str, source: Path | str, key: str) -> str:
    problem = text_problem(text)
    if problem is not None:
        raise _error(source, key, problem)
    return text.strip()


def _credential_path(path: Path, key: str, env: Mapping[str, str]) -> Path:
    name = str(path).removeprefix(CREDENTIAL)
    if name == str(path):
        return path
    directory = env.get("CREDENTIALS_DIRECTORY")
    if not directory:
        text = f"$CREDENTIALS_DIRECTORY is not set; write LoadCredential={name}:FILE into the systemd unit"
        raise _error(str(path), key, text)
    return Path(directory, name)


def _shown(path: Path) -> str:
    """A path as messages may show it: hidden if it looks like the secret itself, not its file."""
    if ":/" in str(path):
        return "<URL>"
    return str(path if "." in path.name else path.with_name(shown_name(path.name)))


def _read_secret(path: Path, key: str, env: Mapping[str, str]) -> str:
    """The text of a secret's file; warns if other users may read it. Raises ConfigError."""
    try:
        # First check the kind of file: opening a pipe would block.
        if not stat.S_ISREG(path.stat().st_mode):
            raise _error(path, key, "is not a regular file; name a file")
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LARGEST_SECRET_BYTES + 1)
    except FileNotFoundError:
        text = "there is no such file; create it or correct the path"
        raise _error(_shown(path), key, text) from None
    except PermissionError:
        raise _error(path, key, "no permission to read it; it must belong to earshot's user") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise _error(_shown(path), key, f"cannot be read: {reason}") from None
    if mode & 0o077 and not _is_credential(path, env):
        _warn_once(path)
    if len(content) > _LARGEST_SECRET_BYTES:
        raise _error(path, key, "is too large for a secret; check the path")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _error(path, key, "is not text in UTF-8; write it again") from None


@functools.cache
def _warn_once(path: Path) -> None:
    # Only a warning: a service that does not start because of a file's mode watches nothing.
    logger.warning("secret readable by others, run chmod 600 on it file=%s", path)


def _is_credential(path: Path, env: Mapping[str, str]) -> bool:
    # systemd owns that folder and lets nobody else in, so the mode 0440 of its files is safe.
    directory = env.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and path.parent == Path(str(directory))


def _secret_parts(url: str) -> Iterator[str]:
    _scheme, _, rest = url.partition("://")
    for part in re.split(r"[/?&=@:#,]", rest):
        # Names with a dot are hosts; logs need them.
        if len(part) >= SHORTEST_TOKEN and "." not in part:
            yield from {part, unquote(part)}
    user, at, _host = rest.partition("/")[0].rpartition("@")
    password = user.partition(":")[2]
    if at and len(password) >= _SHORTEST_PASSWORD:
        yield from {password, unquote(password)}


def _error(source: Path | str, key: str, problem: str) -> ConfigError:
    return ConfigError(source, [ConfigProblem(str(source), None, key, problem)])
