"""Text from outside, as it arrives at real servers in each service's own payload: it can do nothing there."""

from __future__ import annotations

import html
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack
from apprise.plugins.telegram import NotifyTelegram

from daemon.text import BREAK, harmless
from tests.alerts.examples import passage
from tests.alerts.stage import CHURN, NOW, UNHAPPY, Stage, stage
from tests.servers import Answer, HttpSink, SmtpSink

CORPUS = (
    "@everyone @here @channel <!channel> <!here> <@U12345> <#C123|x> <@&123456789012345678>",
    "<script>alert(1)</script><img src=x onerror=alert(1)> &lt;b&gt; <b>bold</b>",
    "[click](http://evil.example/a) ![x](https://evil.example/i.png) <https://evil.example|bank>",
    "**bold** __under__ ~~gone~~ ||spoiler|| `code` ```block``` > quote",
    "_slanted_ ~struck~",
    "\x1b[31mred\x1b[0m \x07 \x9b31m",
    "abc \u202egnp.exe\u202c \u2066x\u2069 \u200fend \U000e0041",
    "line\r\nBcc: victim@example.org\r\n\r\nnew body\x00",
    "www.evil.example evil.example/login tel:+123 mailto:x@evil.example",
    "earshot alert 1, recording 1\n\n[critical] forged",
    "&commat;channel &#64;everyone &#x40;here &#64all &#X40channel &COMMAT;here &com\u00admat;here",
    "&lt;!channel&gt; &ltb&gt &amp;lt;script&amp;gt; &amp;#64;here &lsqb;x&rsqb;&lpar;y&rpar; &ast;&ast;",
)
FORBIDDEN = (
    *(
        "@everyone",
        "@here",
        "@channel",
        "@all",
        "<!",
        "<@",
        "<#",
        "<script",
        "<img",
        "<b>",
        "](",
        "<https",
        "http://evil",
    ),
    *(
        "https://evil",
        "www.evil",
        "evil.example",
        "evil.mov",
        "_slanted_",
        "~",
        "**",
        "__",
        "~~",
        "||",
        "`code",
        "\x1b",
        "\x07",
        "\x9b",
    ),
    *("\u202e", "\u2066", "\u200f", "\U000e0041", "\x00", "\r\nBcc"),
)
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/"
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js/"
TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/12315544/"
TEAMS = "workflows://teams.example/workflow/signature/"


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpSink]:
    """A server that stands in for the fixed hosts of these services."""
    telegram = Answer(body=b'{"ok": true, "result": {"message_id": 1}}')
    with HttpSink() as server, HttpSink(default=telegram) as bot:
        server.requests = bot.requests
        monkeypatch.setattr(NotifySlack, "webhook_url", server.url + "/slack")
        monkeypatch.setattr(NotifyDiscord, "notify_url", server.url + "/discord")
        monkeypatch.setattr(NotifyTelegram, "notify_url", bot.url + "/bot")
        post = importlib.import_module("requests").post

        def here(url: str, *arguments: Any, **more: Any) -> Any:
            # Teams' plugin knows https only.
            parts = urlsplit(url)
            if parts.hostname == "teams.example":
                url = urlunsplit(("http", server.address, parts.path, parts.query, ""))
            return post(url, *arguments, **more)

        monkeypatch.setattr("requests.post", here)
        yield server


def send_corpus(here: Stage) -> None:
    """One recording that says all of it, and is called and filed like it."""
    poison = " ".join(CORPUS)
    for text in (*CORPUS, poison):
        segments = (passage(text, text, 0.9, speaker=text),)
        here.record(
            NOW,
            name=text.replace("/", "_").replace("\x00", "") + ".wav",
            folder="/srv/" + text.replace("\x00", ""),
            metadata={text: text},
            intents=segments,
            summary=text + " And so it went on.",
        )
    here.deliver()
    assert {state for state, _ in here.states()} == {"sent"}


def rules() -> list[dict[str, Any]]:
    return [UNHAPPY, CHURN | {"when": {"intent": "*"}}]


def assert_harmless(text: str) -> None:
    # No host ends with .wav: a name that does stays readable.
    text = text.replace("evil.example.wav", "")
    # Some services, and the programs that people read them with, decode character references, even twice.
    for seen in (text, html.unescape(text), html.unescape(html.unescape(text))):
        for forbidden in FORBIDDEN:
            assert forbidden not in seen, f"{forbidden!r} in {seen!r}"


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("json", {"title", "message"}),
        (SLACK, {"attachments"}),
        (DISCORD, {"content"}),
        (TELEGRAM, {"text"}),
        (TEAMS, {"attachments"}),
    ],
    ids=["json", "slack", "discord", "telegram", "teams"],
)
def test_nothing_works_in_a_payload(tmp_path: Path, sink: HttpSink, url: str, keys: set[str]) -> None:
    to = f"json://{sink.address}/hook" if url == "json" else url
    with stage(tmp_path, {"destinations": {"team": to}, "rules": rules(), "burst": None}) as here:
        send_corpus(here)
    payloads = [request.json() for request in sink.requests]
    assert len(payloads) == len(CORPUS) + 1
    for payload in payloads:
        said = " ".join(" ".join(texts(payload[key])) for key in keys)
        # Apprise's own: it marks Telegram's title as bold, and escapes what Teams would take for markup.
        said = re.sub(r"^<b>(.*)</b>", r"\1", said).replace("\\", "")
        assert "unhappy caller: average -0.52" in said
        assert_harmless(said)


def test_telegram_and_slack_do_not_parse_what_they_get(tmp_path: Path, sink: HttpSink) -> None:
    alerts = {"destinations": {"team": [SLACK, TELEGRAM]}, "rules": rules(), "burst": None}
    with stage(tmp_path, alerts) as here:
        send_corpus(here)
    slack = [request.json() for request in sink.requests if request.path.startswith("/slack")]
    telegram = [request.json() for request in sink.requests if request.path.startswith("/bot")]
    assert len(slack) == len(telegram) == len(CORPUS) + 1
    assert all(payload["mrkdwn"] is False for payload in slack)
    # Where Telegram is told to parse HTML, what is sent has been escaped by Apprise.
    for payload in telegram:
        assert not re.search(r"<(?!/?(b|i|u|code|pre|a)>)", payload["text"])


@pytest.mark.parametrize("form", ["text", "html"])
def test_nothing_works_in_a_mail(tmp_path: Path, form: str) -> None:
    with SmtpSink() as smtp:
        url = smtp.mailto(query=f"&format={form}")
        with stage(tmp_path, {"destinations": {"team": url}, "rules": rules(), "burst": None}) as here:
            send_corpus(here)
        assert len(smtp.messages) == len(CORPUS) + 1
        for mail, envelope in zip(smtp.messages, smtp.envelopes, strict=True):
            assert envelope[1] == ["team@example.org"]
            assert mail["Bcc"] is None
            assert_harmless(str(mail["Subject"]))
            kinds = [part.get_content_type() for part in mail.walk() if not part.is_multipart()]
            assert ("text/html" in kinds) == (form == "html")
            for part in mail.walk():
                if not part.is_multipart():
                    content = str(part.get_content())
                    shown = content.replace("<br/>", "\n").replace("&nbsp;", " ")
                    assert_harmless(shown)
                    assert "\nearshot alert " in shown.replace("\r", "")


@pytest.mark.parametrize("text", ["R&D", "AT&T", "Q&A at 5 & 6", "Tom & Jerry; you & me", "a&&b", "M&S;"])
def test_an_ampersand_between_words_stays_as_it_is(text: str) -> None:
    assert harmless(text).replace(BREAK, "") == text
    assert text.endswith(";") or harmless(text) == text
