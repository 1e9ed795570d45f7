"""The examples for proxies, with the real nginx and Caddy: who logged in there is who judges."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from daemon.web.server import Pages
from tests.programs import program
from tests.servers import free_port, wait_until
from tests.web.places import NOW, Place

EXAMPLES = Path(__file__).parents[2] / "examples"
HASH = "$2a$04$abcdefghijklmnopqrstuuqV57DHm5rgR4RxAnx4tHnwUub/X9mYO"
"""Of `her password`, as `caddy hash-password` makes it, at a lower cost."""

Proxy = Callable[[Path, int, str], AbstractContextManager[str]]


def example(name: str, changes: dict[str, str]) -> str:
    """An example as it is, but for these changes."""
    text = (EXAMPLES / name).read_text("utf-8")
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


@contextmanager
def nginx(place: Path, port: int, pages: str) -> Iterator[str]:
    """The example, but for its port, its certificate and where the pages are."""
    text = example(
        "nginx-web.conf",
        {
            "listen 443 ssl;": f"listen 127.0.0.1:{port};",
            "    ssl_certificate     /etc/ssl/calls.example.com.pem;\n": "",
            "    ssl_certificate_key /etc/ssl/calls.example.com.key;\n": "",
            "/etc/nginx/earshot.htpasswd": str(place / "htpasswd"),
            "http://127.0.0.1:8765": pages,
        },
    )
    (place / "htpasswd").write_text("olga:{PLAIN}her password\n")
    temporary = "".join(f"{name}_temp_path {place}/{name};\n" for name in ("client_body", "proxy"))
    temporary += "".join(f"{name}_temp_path {place}/{name};\n" for name in ("fastcgi", "uwsgi", "scgi"))
    file = place / "nginx.conf"
    # Else its workers, another user, could not read the passwords in our folder.
    user = "user root;" if os.geteuid() == 0 else ""
    file.write_text(
        f"daemon off; {user} pid {place}/pid; error_log {place}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary}{text}\n}}\n"
    )
    with serving([program("nginx"), "-c", str(file), "-e", str(place / "error.log")], port) as base:
        yield base


@contextmanager
def caddy(place: Path, port: int, pages: str) -> Iterator[str]:
    """The example, but for its port, without TLS, her password, and where the pages are."""
    text = example(
        "Caddyfile",
        {
            "\ncalls.example.com {": f"\nhttp://calls.example.com:{port} {{",
            "\nexample.com {": f"\nhttp://example.com:{port} {{",
            "$2a$14$put.the.hash.of.her.password.here": HASH,
            "127.0.0.1:8765": pages.removeprefix("http://"),
        },
    )
    file = place / "Caddyfile"
    file.write_text(f"{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\tauto_https off\n}}\n{text}")
    homes = {name: str(place) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]
    with serving(command, port, env=os.environ | homes) as base:
        yield base


@contextmanager
def serving(command: list[str], port: int, env: dict[str, str] | None = None) -> Iterator[str]:
    """Run a proxy until the end."""
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            base = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(base), what=command[0])
            yield base
        finally:
            process.terminate()


def _answers(base: str) -> bool:
    try:
        return httpx.get(base, verify=False).status_code > 0  # noqa: S501
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("proxy", [nginx, caddy])
@pytest.mark.parametrize(("name", "path"), [("calls.example.com", ""), ("example.com", "/earshot")])
def test_whoever_logged_in_at_the_proxy_judges(tmp_path: Path, proxy: Proxy, name: str, path: str) -> None:
    place = Place(
        tmp_path / "site",
        listen="127.0.0.1:0",
        public_url=f"https://{name}{path}",
        user_header="X-Remote-User",
        trusted_proxies=["127.0.0.1"],
    )
    number = place.add()
    pages = Pages({}, clock=lambda: NOW)
    pages.take(place.config)
    port = free_port()
    try:
        with proxy(tmp_path, port, str(pages.address)) as base:
            host = {"host": name}
            forged = host | {"x-remote-user": "forged"}
            assert httpx.get(f"{base}{path}/recordings", headers=forged).status_code == 401
            with httpx.Client(base_url=base, auth=("olga", "her password"), headers=host) as client:
                page = client.get(f"{path}/recordings/{number}", headers={"x-remote-user": "forged"})
                assert f'href="{path}/alerts"' in page.text
                answer = client.post(
                    f"{path}/alerts/1/verdict",
                    data={"verdict": "useful", "back": "/alerts"},
                    headers={"origin": f"https://{name}", "sec-fetch-site": "same-origin"},
                )
                assert (answer.status_code, answer.headers["location"]) == (303, f"{path}/alerts")
            refused = httpx.get(f"{base}{path}/verdict/1?v=useful&e=1&s=1", headers=forged)
            assert refused.status_code == 403 and "This link was changed" in refused.text
    finally:
        pages.end()
        pages.join()
    assert place.sql("SELECT given_by FROM verdicts") == [{"given_by": "olga"}]
