"""Checks addresses in the configuration: the API's, secret ones, links in messages."""

from __future__ import annotations

from string import Formatter
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

_BASE_URL_HELP = "write embedded, or an address such as https://api.deepgram.com or http://host:8080"
_LINK_HELP = "write an address such as http://host:8765/recordings/{id}"
_ADDRESS_HELP = "write an address such as https://example.com/hooks/earshot"
_PUBLIC_HELP = "write the address of the web pages for people, such as https://calls.example.com"
_PLACEHOLDERS = ("id", "seconds")


def is_deepgram_host(host: str) -> bool:
    """True for Deepgram's own hosts, also regional and dedicated ones."""
    name = host.lower().rstrip(".")
    return name == "deepgram.com" or name.endswith(".deepgram.com")


def usable_base_url(value: str) -> str:
    """The address without a final slash. Raises ValueError if no request could go to it."""
    if value == "embedded":
        return value
    parts = _split(value, _BASE_URL_HELP)
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password; write the key as api_key_file")
    if parts.query or parts.fragment:
        raise ValueError("must not contain ? or #; query parameters belong under options:")
    if parts.path.rstrip("/").endswith(("/v1", "/v1/listen", "/v1/read")):
        raise ValueError("must end before /v1; earshot adds /v1/listen itself")
    # Only a self-hosted Deepgram takes plain http; the hosted API refuses it, and others could read the key.
    if parts.scheme == "http" and is_deepgram_host(parts.hostname or ""):
        raise ValueError("must start with https:// for Deepgram's own hosts")
    return value.rstrip("/")


def usable_link(value: str) -> str:
    """Raises ValueError if it is no web address or has placeholders other than {id}, {seconds}."""
    _split(value, _LINK_HELP)
    try:
        fields = [field for field in Formatter().parse(value) if field[1] is not None]
    except ValueError:
        raise ValueError("has a brace without its partner; the placeholders are {id} and {seconds}") from None
    if any(field[1] not in _PLACEHOLDERS or field[2:] != ("", None) for field in fields):
        raise ValueError("has an unknown placeholder; there are {id} and {seconds}")
    return value


def usable_public_url(value: str) -> str:
    """The address without a final slash. Raises ValueError if no link could begin with it."""
    parts = _split(value, _PUBLIC_HELP)
    if "@" in parts.netloc or parts.query or parts.fragment or "{" in value or "}" in value:
        raise ValueError(f"must have no user, no ?, no # and no braces; {_PUBLIC_HELP}")
    return value.rstrip("/")


def usable_secret_address(value: SecretStr) -> SecretStr:
    """ValueError if it is no web address; its text shows no part of it."""
    _split(value.get_secret_value(), _ADDRESS_HELP)
    return value


def _split(value: str, text: str) -> SplitResult:
    if any(character.isspace() or not character.isprintable() for character in value):
        raise ValueError(f"must not contain blanks; {text}")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(f"is not a usable address; {text}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"is not a web address; {text}")
    return parts
