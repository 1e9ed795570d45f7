"""The targets of a destination: one for each recipient, and what each of them takes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from apprise import Apprise

from daemon.alerts.apprise_urls import one_recipient_each
from daemon.alerts.targets import fit
from daemon.config.destinations import open_service
from tests.alerts.stage import NOW, stage
from tests.servers import Answer, HttpSink, Received, SmtpSink


class OneRefuses(SmtpSink):
    """A mail server that does not know one of the people."""

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("gone"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"


def test_a_recipient_that_is_refused_keeps_no_other_from_the_mail_and_repeats_none(tmp_path: Path) -> None:
    with OneRefuses() as smtp:
        url = smtp.mailto("ann@example.org,gone@example.org,bob@example.org")
        with stage(tmp_path, {"destinations": {"team": url}}) as here:
            here.record(NOW)
            here.deliver(NOW)
            here.deliver(NOW + timedelta(minutes=1))
            assert [row["state"] for row in here.alerts()] == ["sent", "pending", "sent"]
            assert [row["target"] for row in here.alerts()] == [0, 1, 2]
        assert sorted(to for _, [to] in smtp.envelopes) == ["ann@example.org", "bob@example.org"]


class OneTopicIsGone(HttpSink):
    """A server of ntfy that lets nobody write to one of the topics."""

    def answer_to(self, request: Received) -> Answer:
        answer = super().answer_to(request)
        return Answer(403) if request.json()["topic"] == "gone" else answer


def test_a_channel_that_refuses_repeats_the_message_in_no_other(tmp_path: Path) -> None:
    """Apprise calls the whole of it failed, and a day of retries would tell the others thirty times."""
    with OneTopicIsGone() as ntfy:
        with stage(tmp_path, {"destinations": {"team": f"ntfy://{ntfy.address}/calls/gone/nights"}}) as here:
            here.record(NOW)
            here.deliver(NOW)
            here.deliver(NOW + timedelta(minutes=1))
            assert [row["state"] for row in here.alerts()] == ["sent", "pending", "sent"]
        topics = [request.json()["topic"] for request in ntfy.requests]
        assert sorted(topics) == ["calls", "gone", "gone", "nights"]


@pytest.mark.parametrize(
    ("url", "count"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#a/#b?footer=no&rto=9", 2),
        ("slack://xoxb-1234-1234-abc124/#a/@ann/#b", 3),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/-1001234/?silent=yes", 2),
        ("matrixs://user:p%40ss@chat.example/#room/!abc:chat.example", 2),
        ("mmosts://chat.example/3ccdd113474722377935511fc85d3dd4?channels=a,b", 2),
        ("signal://chat.example:9922/+11234567890/+11234567891/+11234567892?batch=yes", 1),
        # Not every plugin writes its URL as it read it: then it stays one.
        ("rocket://user:pass@chat.example/#a/#b/@ann", 1),
    ],
)
def test_a_url_of_several_channels_is_one_for_each_or_stays_whole(url: str, count: int) -> None:
    whole = open_service(url)
    assert whole is not None
    before = str(vars(whole))
    parts = one_recipient_each(url, whole)
    assert len(set(parts)) == len(parts) == count
    assert str(vars(whole)) == before
    for part in parts if count > 1 else ():
        service = open_service(part)
        assert service is not None
        assert (len(service), service.url_identifier) == (1, whole.url_identifier)
        assert service.socket_read_timeout == whole.socket_read_timeout


@pytest.mark.parametrize(
    "url",
    [
        "mailto://user:p%40ss@mail.example:2525?from=Ear<e@example.org>&to=a@x.org,b@y.org&reply=r@x.org",
        "mailtos://user:p%2Fw@mail.example?from=e@example.org&to=a@x.org,Bob<b@y.org>&mode=ssl&format=html",
        "mailtos://user:pass@mail.example/a@x.org/b@y.org?smtp=smtp.mail.example&mode=starttls",
    ],
)
def test_a_mail_url_for_one_recipient_sends_as_the_whole_one_does(url: str) -> None:
    whole = open_service(url)
    assert whole is not None
    parts = one_recipient_each(url, whole)
    services = [open_service(part) for part in parts]
    assert len(parts) == 2
    assert [service.targets for service in services] == [[each] for each in whole.targets]  # type: ignore[union-attr,attr-defined]
    for name in ("from_addr", "secure_mode", "smtp_host", "password", "port", "notify_format"):
        assert {str(getattr(each, name)) for each in services} == {str(getattr(whole, name))}


@pytest.mark.parametrize(
    "url",
    [
        "mailto://user:pass@mail.example?to=a@x.org",
        "mailto://user:pass@mail.example?to=a@x.org,b@x.org&cc=c@x.org",
        "json://localhost/a/b",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js/?ping=@a,@b",
    ],
)
def test_other_urls_stay_as_they_are(url: str) -> None:
    service = Apprise.instantiate(url)
    assert service is not None
    assert one_recipient_each(url, service) == [url]


def test_any_message_is_cut_to_the_channel_and_keeps_its_ids(tmp_path: Path) -> None:
    with HttpSink() as http:
        alerts = {"destinations": {"ops": f"json://{http.address}"}, "operations": "ops", "rules": []}
        with stage(tmp_path, alerts) as here:
            for number in range(9):
                here.fail(f"{'long-name-' * 20}{number}.wav")
            here.tick(NOW + timedelta(minutes=1))
            here.targets = [replace(here.targets[0], limit=200, title_in_body=True)]
            here.deliver(NOW + timedelta(minutes=1))
        (message,) = (request.json() for request in http.requests)
    assert len(message["title"]) + 2 + len(message["message"]) <= 200
    assert message["message"].endswith("…\n\nearshot alert 1")


def test_a_message_that_fits_is_left_alone(tmp_path: Path) -> None:
    with stage(tmp_path, {"destinations": {"team": "json://localhost/"}}) as here:
        target = replace(here.targets[0], limit=160)
    body = "x" * 100 + "\n\nearshot alert 1"
    assert fit(target, "title", body) == body
