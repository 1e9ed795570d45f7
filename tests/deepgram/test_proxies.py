"""What goes through the proxy that the environment names, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.deepgram.proxies import proxy_for
from daemon.errors import EarshotError
from tests.harness import ScriptedApi, Service

PROXY = {"HTTP_PROXY": "http://proxy:3128", "HTTPS_PROXY": "proxy:3129"}


def goes_directly(url: str, entries: str, **env: str) -> bool:
    return proxy_for(url, {**PROXY, "NO_PROXY": entries, **env}) is None


@pytest.mark.parametrize(
    ("url", "env", "expected"),
    [
        ("https://api.deepgram.com", PROXY, "http://proxy:3129"),
        ("http://dg.example", PROXY, "http://proxy:3128"),
        ("https://api.deepgram.com", {"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ("https://api.deepgram.com", {"https_proxy": "http://low:1", **PROXY}, "http://low:1"),
        ("https://api.deepgram.com", {"https_proxy": "", **PROXY}, None),
        ("https://api.deepgram.com", {"HTTP_PROXY": "http://proxy:1"}, None),
        ("https://api.deepgram.com", {}, None),
        ("http://[::1", PROXY, None),
        ("", PROXY, None),
    ],
)
def test_the_proxy_is_the_one_that_is_named_for_the_scheme(
    url: str, env: dict[str, str], expected: str | None
) -> None:
    found = proxy_for(url, env)

    assert (found.url if found else None) == expected


@pytest.mark.parametrize(
    ("url", "entries"),
    [
        ("http://10.1.2.3:8080", "10.0.0.0/8"),
        ("http://10.1.2.3:8080", "10."),
        ("http://10.1.2.3", "10.1.*"),
        ("http://10.1.2.3", "10.1.2.3"),
        ("http://10.1.2.3:8080", "10.1.2.3:8080"),
        ("http://[fd07::5]", "fd07::/64"),
        ("http://[fd07::5]:8080", "[fd07::]/64"),
        ("http://[fd07::5]:8080", "[FD07:0::5]"),
        ("http://[fd07::5]:8080", "[fd07::5]:8080"),
        ("http://[fd07::5]", "fd07::5"),
        ("https://dg.example.com", "example.com"),
        ("https://dg.example.com", ".example.com"),
        ("https://example.com", ".example.com"),
        ("https://dg.example.com", "*.example.com"),
        ("https://DG.example.com.", "other, Example.COM."),
        ("https://dg.example.com:443", "other dg.example.com:443"),
        ("https://dg.example.com", "https://dg.example.com"),
        ("https://dg.example.com", "::1/128, fd07::/64, [::1], *"),
    ],
)
def test_what_no_proxy_names_goes_directly(url: str, entries: str) -> None:
    assert goes_directly(url, entries)
    assert goes_directly(url, "nobody", no_proxy=entries), "the lower-case one counts, as in curl"


@pytest.mark.parametrize(
    ("url", "entries"),
    [
        ("http://11.1.2.3", "10.0.0.0/8, 10., 10.1.2.3, fd07::/64"),
        ("http://10.1.2.3:81", "10.1.2.3:80"),
        ("http://[fd08::5]", "fd07::/64, [fd08::5]:81, 10.0.0.0/8"),
        ("https://notexample.com", "example.com, .example.com"),
        ("https://example.com", "dg.example.com"),
        ("https://api.deepgram.com", "::1/128, fd07::/64, [::1], 127.0.0.0/8, 10.0.0.0/99, [::, ., ,"),
    ],
)
def test_what_no_proxy_does_not_name_goes_through_the_proxy(url: str, entries: str) -> None:
    assert not goes_directly(url, entries)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "dg.localhost", "127.0.0.1", "127.5.5.5", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_this_host_itself_is_never_asked_through_a_proxy(host: str) -> None:
    assert goes_directly(f"http://{host}:8080", "10.0.0.0/99")


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "10.0.0/8/9", "[fd07::", "fd07::/999", "fd07:::1"])
def test_an_entry_that_may_mean_the_address_and_cannot_be_read_is_named(entry: str) -> None:
    with pytest.raises(EarshotError) as caught:
        goes_directly("http://10.1.2.3", f"good.example, {entry}")

    assert "NO_PROXY" in str(caught.value)
    assert repr(entry) in str(caught.value)


def test_no_entry_of_no_proxy_stops_what_needs_no_proxy(tmp_path: Path) -> None:
    entries = "::1/128, fd07::/64, [::1], 127.0.0.0/8, 10.0.0.0/99"
    with ScriptedApi() as proxy, ScriptedApi() as api:
        environment = {"HTTP_PROXY": proxy.url, "NO_PROXY": entries}
        with Service(tmp_path, {"analyzer": {"base_url": api.url}}, environment) as service:
            checked = service.earshot("check")
            analyzed = service.earshot("analyze", str(service.drop("a.wav")))

        assert (checked.returncode, checked.stderr) == (0, "")
        assert analyzed.returncode == 0, analyzed.stderr
        assert (len(api.listened()), proxy.calls) == (1, [])
