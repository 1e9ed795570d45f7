"""Who is let in, and what may change something."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from daemon.config.load import load_config
from daemon.errors import ConfigError
from daemon.web.login import own_path
from tests.web.places import SAME, Place

PASSWORD = "correct horse battery"


@pytest.fixture
def locked(place: Place) -> Place:
    """Pages with a password."""
    file = place.home / "token"
    file.touch(mode=0o600)
    file.write_text(PASSWORD + "\n")
    place.configure(token_file=str(file), public_url="https://calls.example.com")
    return place


def log_in(client: TestClient, password: str = PASSWORD, **form: str) -> Any:
    return client.post("/login", data={"token": password} | form, headers=SAME)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost:8765", 200),
        ("[::1]:8765", 200),
        ("192.168.1.5:8765", 200),
        ("calls.example.com", 200),
        ("CALLS.example.com.", 200),
        ("evil.example.com:8765", 421),
        ("127.0.0.1.evil.example.com", 421),
        ("", 421),
        ("[::1", 421),
    ],
)
def test_only_names_of_this_server_are_answered(place: Place, host: str, status: int) -> None:
    """DNS rebinding: a page of somebody else reaches us by a name of its own."""
    place.configure(public_url="https://calls.example.com/")
    assert place.client().get("/", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8765"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://127.0.0.1:8765"}, True),
        ({"origin": "https://calls.example.com"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8765"}, False),
        ({"sec-fetch-site": "same-site", "origin": "null"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1:8766"}, False),
        ({"origin": "https://evil.example.com"}, False),
        ({"origin": "http://["}, False),
        # An old browser that says no more than this, and a program.
        ({"referer": "https://evil.example.com/"}, False),
        ({"cookie": "a=b"}, False),
        ({}, True),
    ],
)
def test_no_page_of_another_site_changes_anything(
    place: Place, headers: dict[str, str], is_ours: bool
) -> None:
    place.configure(public_url="https://calls.example.com")
    place.add()
    answer = place.client().post("/alerts/1/verdict", data={"verdict": "noise"}, headers=headers)
    assert answer.status_code == (303 if is_ours else 403)
    assert place.sql("SELECT verdict, given_by FROM verdicts") == (
        [{"verdict": "noise", "given_by": "web"}] if is_ours else []
    )


def test_every_answer_carries_the_headers_that_bind_a_browser(place: Place) -> None:
    number = place.add()
    client = place.client()
    for path in (
        "/healthz",
        f"/recordings/{number}",
        f"/recordings/{number}/audio",
        "/nothing",
        "/static/style.css",
    ):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"]


def test_a_password_is_asked_for_and_leads_to_where_one_wanted_to_be(locked: Place) -> None:
    number = locked.add()
    client = locked.client()
    answer = client.get(f"/recordings/{number}?t=43")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/login?next=/recordings/{number}%3Ft%3D43",
    )
    for path in (f"/recordings/{number}/audio", "/api/recordings", "/metrics"):
        assert client.get(path).status_code == 401
    assert client.get("/healthz").status_code == 503
    assert client.post("/alerts/1/verdict", data={"verdict": "noise"}, headers=SAME).status_code == 401
    assert log_in(client, "wrong", next="/alerts").status_code == 403
    answer = log_in(client, next=f"/recordings/{number}?t=43")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/recordings/{number}?t=43")
    assert client.get(f"/recordings/{number}").status_code == 200
    assert client.post("/logout", headers=SAME).status_code == 303
    assert client.get(f"/recordings/{number}").status_code == 303


def test_the_cookie_ends_in_time_with_the_password_and_cannot_be_made_up(locked: Place) -> None:
    cookie = log_in(locked.client(), stay="1").cookies["earshot"]
    given = log_in(locked.client(base_url="https://calls.example.com"), stay="1").headers["set-cookie"]
    assert "HttpOnly" in given and "SameSite=lax" in given and "Secure" in given

    def status(value: str) -> int:
        return int(locked.client().get("/recordings/1", headers={"cookie": f"earshot={value}"}).status_code)

    assert status(cookie) == 404
    until, _, signed = cookie.partition(".")
    for forged in (
        "",
        f"{int(until) + 1}.{signed}",
        f"{until}.",
        f"{until}.{signed[:-1]}",
        "x.y",
        f"{cookie}.1",
    ):
        assert status(forged) == 303
    locked.now += timedelta(days=29)
    assert status(cookie) == 404
    locked.now += timedelta(days=2)
    assert status(cookie) == 303
    locked.now -= timedelta(days=31)
    (locked.home / "token").write_text("another password")
    assert status(cookie) == 303


def test_guessing_is_slowed_down(locked: Place) -> None:
    client = locked.client()
    statuses = [log_in(client, "wrong").status_code for _ in range(5)]
    assert statuses == [403] * 5
    answer = log_in(client)
    assert answer.status_code == 429 and 0 < int(answer.headers["retry-after"]) <= 60
    right = {"authorization": f"Bearer {PASSWORD}"}
    assert client.get("/api/status", headers=right).status_code == 429


def test_programs_send_the_password_as_a_bearer_token(locked: Place) -> None:
    client = locked.client()
    for given, status in ((PASSWORD, 200), ("wrong", 401), ("", 401)):
        assert client.get("/metrics", headers={"authorization": f"Bearer {given}"}).status_code == status


def test_a_user_is_believed_from_trusted_proxies_alone(place: Place) -> None:
    place.configure(user_header="X-Remote-User", trusted_proxies=["10.1.0.0/24", "unix"], operators=["olga"])
    place.add()
    said = {"x-remote-user": "olga"}

    def judge(peer: tuple[str, int] | None, headers: dict[str, str]) -> int:
        client = place.client(client=peer)
        return int(
            client.post("/alerts/1/verdict", data={"verdict": "useful"}, headers=SAME | headers).status_code
        )

    assert judge(("10.1.0.7", 1), said) == 303
    assert judge(("::ffff:10.1.0.7", 1), said) == 303
    assert place.sql("SELECT given_by FROM verdicts") == [{"given_by": "olga"}]
    assert judge(("127.0.0.1", 1), said) == 403
    assert judge(("10.1.0.7", 1), {}) == 403
    assert judge(("127.0.0.1", 1), said | {"x-forwarded-for": "10.1.0.7"}) == 403
    assert judge(("10.1.0.7", 1), {"x-remote-user": "o\x7flga"}) == 403


def test_only_operators_do_more_than_see_listen_and_judge(place: Place) -> None:
    place.configure(user_header="X-User", trusted_proxies=["127.0.0.1"], operators=["olga"])
    number = place.add()
    client = place.client()

    def protect(user: str) -> Any:
        headers = SAME | {"x-user": user}
        return client.post(f"/recordings/{number}/protect", data={"back": "/alerts"}, headers=headers)

    assert protect("paul").status_code == 403
    assert place.sql("SELECT * FROM actions") == []
    answer = protect("olga")
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts")
    assert place.sql("SELECT by, action, subject FROM actions") == [
        {"by": "olga", "action": "protect", "subject": str(number)}
    ]
    assert "Protect from deletion" not in client.get(f"/recordings/{number}", headers={"x-user": "paul"}).text


def test_the_pages_know_their_place_below_a_path(place: Place) -> None:
    """A proxy may take the path off, or leave it."""
    place.configure(public_url="https://example.com/earshot/")
    number = place.add()
    for prefix in ("", "/earshot"):
        answer = place.client().get(f"{prefix}/recordings/{number}", headers={"host": "example.com"})
        assert f'<source src="/earshot/recordings/{number}/audio#t=43">' in answer.text
    for path in ("/", "/recordings/", "/earshot", "/earshot/", "/earshot/recordings/"):
        answer = place.client().get(path, follow_redirects=False)
        assert answer.status_code == 200 and 'action="/earshot/recordings"' in answer.text


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/recordings?q=a%20b#t=3", "/recordings?q=a%20b#t=3"),
        ("//evil.example.com", "/"),
        ("/\\evil.example.com", "/"),
        ("https://evil.example.com", "/"),
        ("/a\r\nset-cookie: x=y", "/"),
        (None, "/"),
    ],
)
def test_a_form_leads_back_to_our_own_pages_alone(given: str | None, path: str) -> None:
    assert own_path(given) == path


@pytest.mark.parametrize(
    ("web", "key", "problem"),
    [
        ({"listen": "0.0.0.0:8765"}, "web.listen", "can be reached from other hosts"),
        ({"listen": "8765"}, "web.listen", "is no address to listen on"),
        ({"listen": "::1:8765"}, "web.listen", "in brackets"),
        ({"user_header": "X-User"}, "web.user_header", "anybody could send this header"),
        ({"user_header": "Cookie", "trusted_proxies": ["::1"]}, "web.user_header", "is sent by every client"),
        ({"trusted_proxies": ["proxy.example.com"]}, "web.trusted_proxies[0]", "must be an IP address"),
        ({"public_url": "calls.example.com"}, "web.public_url", "is not a web address"),
        ({"public_url": "https://a.example/?x=1"}, "web.public_url", "must have no user"),
    ],
)
def test_what_the_configuration_may_not_say(
    place: Place, web: dict[str, object], key: str, problem: str
) -> None:
    place.configure(**web)
    with pytest.raises(ConfigError) as error:
        load_config(place.file, env=dict(os.environ))
    assert [each.key for each in error.value.problems] == [key]
    assert problem in str(error.value)


def test_a_short_password_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    place.configure(token_file=str(tmp_path / "token"))
    with pytest.raises(ConfigError, match="no password of at least 12 characters"):
        place.site()
