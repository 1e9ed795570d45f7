"""examples/nginx-web.conf before the pages, with the real nginx: who logged in there is who judges."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from daemon.web.server import Pages
from tests.programs import program
from tests.servers import free_port, wait_until
from tests.web.places import NOW, Place

EXAMPLE = Path(__file__).parents[2] / "examples" / "nginx-web.conf"
HASH = "olga:{PLAIN}her password\n"


@contextmanager
def nginx(place: Path, port: int, pages: str) -> Iterator[str]:
    """The example as it is, but for its port, its certificate and where the pages are."""
    text = EXAMPLE.read_text("utf-8")
    for before, after in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        ("    ssl_certificate     /etc/ssl/calls.example.com.pem;\n", ""),
        ("    ssl_certificate_key /etc/ssl/calls.example.com.key;\n", ""),
        ("/etc/nginx/earshot.htpasswd", str(place / "htpasswd")),
        ("http://127.0.0.1:8765", pages),
    ):
        assert before in text, before
        text = text.replace(before, after)
    (place / "htpasswd").write_text(HASH)
    temporary = "".join(f"{name}_temp_path {place}/{name};\n" for name in ("client_body", "proxy"))
    temporary += "".join(f"{name}_temp_path {place}/{name};\n" for name in ("fastcgi", "uwsgi", "scgi"))
    file = place / "nginx.conf"
    # Else its workers, another user, could not read the passwords in our folder.
    user = "user root;" if os.geteuid() == 0 else ""
    file.write_text(
        f"daemon off; {user} pid {place}/pid; error_log {place}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary}{text}\n}}\n"
    )
    with subprocess.Popen([program("nginx"), "-c", str(file), "-e", str(place / "error.log")]) as process:
        try:
            base = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(base), what="nginx")
            yield base
        finally:
            process.terminate()


def _answers(base: str) -> bool:
    try:
        return httpx.get(base).status_code > 0
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("path", ["", "/earshot"])
def test_whoever_logged_in_at_the_proxy_judges(tmp_path: Path, path: str) -> None:
    place = Place(
        tmp_path / "site",
        listen="127.0.0.1:0",
        public_url=f"https://calls.example.com{path}",
        user_header="X-Remote-User",
        trusted_proxies=["127.0.0.1"],
    )
    number = place.add()
    pages = Pages({}, clock=lambda: NOW)
    pages.take(place.config)
    try:
        with nginx(tmp_path, free_port(), str(pages.address)) as base:
            host = {"host": "calls.example.com"}
            assert httpx.get(f"{base}/recordings", headers=host).status_code == 401
            with httpx.Client(base_url=base, auth=("olga", "her password"), headers=host) as client:
                page = client.get(f"{path}/recordings/{number}", headers={"x-remote-user": "forged"})
                assert f'href="{path}/alerts"' in page.text
                answer = client.post(
                    f"{path}/alerts/1/verdict",
                    data={"verdict": "useful", "back": "/alerts"},
                    headers={"origin": "https://calls.example.com", "sec-fetch-site": "same-origin"},
                )
                assert (answer.status_code, answer.headers["location"]) == (303, f"{path}/alerts")
            refused = httpx.get(f"{base}{path}/verdict/1?v=useful&e=1&s=1", headers=host)
            assert refused.status_code == 403 and "This link was changed" in refused.text
    finally:
        pages.end()
        pages.join()
    assert place.sql("SELECT given_by FROM verdicts") == [{"given_by": "olga"}]
