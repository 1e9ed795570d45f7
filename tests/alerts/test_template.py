"""A destination's own template: what it may use, what stays whatever it says, and mistakes in it."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from daemon.alerts.sample import sample_variables
from daemon.alerts.template import load_template
from daemon.errors import ConfigError
from tests.alerts.examples import passage
from tests.alerts.stage import NOW, Stage
from tests.servers import HttpSink, SmtpSink

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


def templated(place: Path, text: str, url: str = "json://localhost/", **alerts: Any) -> Stage:
    (place / "team.j2").write_text(text, "utf-8")
    return Stage(place, {"destinations": {"team": {"urls": url, "template": "team.j2"}}} | alerts)


def body_of(place: Path, text: str, **changes: Any) -> str:
    here = templated(place, text)
    here.record(NOW, **changes)
    (stored,) = here.alerts()
    here.db.close()
    return str(stored["body"])


def problem_of(place: Path, text: str) -> str:
    file = place / "team.j2"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as raised:
        load_template(file, sample_variables())
    (problem,) = raised.value.problems
    return str(problem).removeprefix(str(file))


def test_a_template_says_it_its_own_way_at_every_address(tmp_path: Path) -> None:
    text = (
        "{{ name }} ({{ sentiment }} {{ score }}, {{ length }}) by {{ metadata.agent }}\n"
        "{% for reason in reasons %}\n- {{ reason }}\n{% endfor %}\n"
        "{{ quotes[0] }}\n{{ summary | upper }} #{{ recording_id }} at {{ seconds }}\n"
    )
    with HttpSink() as http, SmtpSink() as smtp:
        here = templated(tmp_path, text, f"json://{http.address}")
        here.configure(
            {
                "destinations": {
                    "team": {"urls": [f"json://{http.address}", smtp.mailto()], "template": "team.j2"}
                }
            }
        )
        here.record(NOW, name="call.wav", metadata={"agent": "Ann & Bob"})
        here.deliver()
        here.db.close()
        (message,), (mail,) = http.requests, smtp.messages
    lines = [
        "call.wav (negative -0.52, 12:34) by Ann & Bob",
        "- unhappy caller: average -0.52, negative at -0.33 and below",
        '[00:12] customer (sentiment -0.50): "I want to cancel."',
        "THE CUSTOMER WANTS TO CANCEL. #1 at 12",
        "",
    ]
    assert message.json()["message"].splitlines() == [*lines, "earshot alert 1, recording 1"]
    assert mail.get_content().replace("\r\n", "\n").splitlines()[:5] == lines


def test_why_it_fired_and_the_ids_stay_whatever_a_template_leaves_out(tmp_path: Path) -> None:
    assert body_of(tmp_path, "Look!").splitlines() == [
        "Look!",
        "",
        "unhappy caller: average -0.52, negative at -0.33 and below",
        "",
        "earshot alert 1, recording 1",
    ]


def test_a_template_that_fails_gives_the_built_in_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    body = body_of(tmp_path, "{{ 'x' if name == 'sample' else 1 / 0 }}")
    assert body.startswith("unhappy caller: average -0.52, negative at -0.33 and below\n\n[00:12] customer")
    assert "template failed, the built-in message is used error=ZeroDivisionError" in caplog.text


def test_a_long_template_is_cut_to_the_channel_and_keeps_why_it_fired(tmp_path: Path) -> None:
    body = body_of(tmp_path, "text {{ summary }} " * 900)
    assert len(body) <= 3500
    assert "unhappy caller: average -0.52, negative at -0.33 and below" in body
    assert body.endswith("earshot alert 1, recording 1")


def test_a_template_gets_shorter_quotes_before_anything_is_cut_off(tmp_path: Path) -> None:
    said = tuple(passage(f"{number} " + "so bad " * 90, word=number) for number in range(9))
    text = "{% for quote in quotes %}{{ quote }}\n{% endfor %}" + "static " * 420 + "END"
    body = body_of(tmp_path, text, sentiments=said, summary="So long. " * 200)
    assert "END" in body
    assert len(body) <= 3500


def test_what_a_template_is_given_is_harmless(tmp_path: Path) -> None:
    evil = "@everyone <b>[x](http://evil.example)"
    text = "{{ name }} {{ quotes }} {{ summary }} {{ path }} {{ metadata }} {{ folder }} {{ facts }}"
    body = body_of(
        tmp_path, text, name=evil.replace("/", ""), summary=evil, metadata={evil: evil}, folder=f"/{evil}"
    )
    for forbidden in ("@everyone", "<b>", "](", "http://"):
        assert forbidden not in body


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("fine\n{% for x in quotes %}\n{{ x }}\n", ":3: template: the template is not valid: "),
        ("{{ nmae }}", ": template: the template cannot be filled in: 'nmae' is undefined; it may use facts"),
        ("{{ ''.__class__.__mro__ }}", ": template: the template cannot be filled in: "),
        ("{{ quotes.append('x') }}", ": template: the template cannot be filled in: "),
        ("{% include 'other.j2' %}", ": template: the template cannot be filled in: "),
    ],
)
def test_a_mistake_in_a_template_is_found_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    assert problem_of(tmp_path, text).startswith(problem)


def test_a_template_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    for name, content in (("missing.j2", None), ("binary.j2", b"\xff\xfe\x00")):
        file = tmp_path / name
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be read"):
            load_template(file, sample_variables())


def test_every_variable_is_documented_in_the_example_configuration() -> None:
    text = EXAMPLE.read_text("utf-8")
    documented = re.search(r"# It may use: ((?:.|\n)*?)\.\n", text)
    assert documented is not None
    named = set(re.findall(r"[a-z_]+", documented[1])) - {"lists"}
    assert named == set(sample_variables())
