"""What is asked of the API, to the letter, and when two requests count as the same one."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.config.models import Analyzer
from daemon.deepgram.request import (
    EMBEDDED_TIMEOUT_SECONDS,
    build_request,
    reply_timeout,
    requests_by_folder,
)
from tests.deepgram.asking import config, request


def values(parameters: tuple[tuple[str, str], ...], name: str) -> list[str]:
    return [value for key, value in parameters if key == name]


def rule(*intents: str, **more: Any) -> dict[str, Any]:
    return {"name": f"rule {intents}", "when": {"intent": list(intents)}, "notify": ["team"], **more}


def test_the_default_configuration_asks_exactly_this() -> None:
    assert request().parameters == (
        ("model", "nova-3"),
        ("language", "en"),
        ("summarize", "v2"),
        ("topics", "true"),
        ("intents", "true"),
        ("sentiment", "true"),
        ("smart_format", "true"),
    )


@pytest.mark.parametrize("language", ["de", "es-419", "DE", "zh-CN", "enm"])
def test_what_is_for_english_only_is_not_asked_in_another_language(language: str) -> None:
    """A summary of German would be a 400 for the whole request, without a transcript."""
    asked = request(language=language)

    assert asked.parameters == (("model", "nova-3"), ("language", language), ("smart_format", "true"))
    assert asked.unsupported == asked.features == ("summary", "topics", "intents", "sentiment")


@pytest.mark.parametrize("language", ["en", "en-GB", "EN-us", "multi"])
def test_english_and_code_switching_keep_their_features(language: str) -> None:
    asked = request(language=language)

    assert asked.unsupported == ()
    assert values(asked.parameters, "summarize") == ["v2"]


@pytest.mark.parametrize("setting", [True, "true", ["en", "es"]])
def test_a_language_to_be_detected_is_not_named_and_keeps_the_features(setting: object) -> None:
    asked = request(language="de", options={"detect_language": setting})

    assert values(asked.parameters, "language") == []
    assert values(asked.parameters, "detect_language") == (
        [*setting] if isinstance(setting, list) else ["true"]
    )
    assert asked.unsupported == ()


@pytest.mark.parametrize("setting", [False, "false", "False", []])
def test_a_detection_that_is_switched_off_leaves_the_language_as_it_is(setting: object) -> None:
    asked = request(language="de", options={"detect_language": setting})

    assert values(asked.parameters, "language") == ["de"]
    assert values(asked.parameters, "summarize") == []
    assert len(asked.unsupported) == 4


def test_a_folder_asks_for_what_it_overrides_and_for_the_rest_as_everyone() -> None:
    folder = {"analyzer": {"model": "nova-2", "language": "en-GB", "features": ["sentiment"]}}

    assert request(folder=folder).parameters == (
        ("model", "nova-2"),
        ("language", "en-GB"),
        ("sentiment", "true"),
        ("smart_format", "true"),
    )


def test_a_folder_may_switch_all_features_off() -> None:
    asked = request(folder={"analyzer": {"features": []}}, custom_intents=["a"], custom_topics=["b"])

    assert [name for name, _ in asked.parameters] == ["model", "language", "smart_format"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"punctuate": True}, [("punctuate", "true")]),
        ({}, []),
        (None, [("smart_format", "true"), ("keyterm", "earshot")]),
    ],
)
def test_options_of_a_folder_replace_all_options(
    options: dict[str, Any] | None, expected: list[tuple[str, str]]
) -> None:
    asked = request(
        folder={"analyzer": {"features": [], "options": options}},
        options={"smart_format": True, "keyterm": "earshot"},
    )

    assert list(asked.parameters[2:]) == expected


def test_options_are_sent_as_the_api_spells_them() -> None:
    options = {
        "diarize_model": "latest",
        "numerals": False,
        "keyterm": ["a b", "c"],
        "utt_split": 0.8,
        "tag": (),
    }
    asked = request(features=[], options=options)

    assert asked.parameters[2:] == (
        ("diarize_model", "latest"),
        ("numerals", "false"),
        ("keyterm", "a b"),
        ("keyterm", "c"),
        ("utt_split", "0.8"),
    )


def test_custom_terms_name_their_mode() -> None:
    asked = request(
        custom_intents=["cancel"], custom_topics=["billing"], custom_topics_mode="strict"
    ).parameters

    assert values(asked, "custom_intent") == ["cancel"]
    assert values(asked, "custom_intent_mode") == ["extended"]
    assert values(asked, "custom_topic") == ["billing"]
    assert values(asked, "custom_topic_mode") == ["strict"]


def test_intents_that_rules_name_are_looked_for_unless_they_are_patterns() -> None:
    asked = request(
        custom_intents=["Get refund"], rules=[rule("cancel*", "Book a table"), rule("wh?", "get REFUND")]
    )

    assert [name.casefold() for name in values(asked.parameters, "custom_intent")] == [
        "get refund",
        "book a table",
    ]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("/r", ["leave"]), ("/r/sub", ["leave"]), ("/", ["leave"]), ("/rest", []), ("/q", [])],
)
def test_a_rule_of_other_folders_adds_no_intents_to_this_one(scope: str, expected: list[str]) -> None:
    asked = request(rules=[rule("leave", folders=[scope])])

    assert values(asked.parameters, "custom_intent") == expected


def test_terms_are_at_most_as_many_as_the_api_takes() -> None:
    asked = request(
        custom_intents=[f"intent {n}" for n in range(90)], rules=[rule(*(f"rule {n}" for n in range(30)))]
    )

    sent = values(asked.parameters, "custom_intent")
    assert len(sent) == 100
    assert sent[:90] == [f"intent {n}" for n in range(90)]


def test_named_channels_are_asked_for_separately() -> None:
    asked = request(folder={"channels": ["customer", "agent"]})

    assert values(asked.parameters, "multichannel") == ["true"]
    assert asked.channels == ("customer", "agent")
    assert values(request().parameters, "multichannel") == []


def test_the_embedded_engine_is_its_own_model() -> None:
    asked = request(base_url="embedded", model="nova-3")

    assert asked.model == "embedded"
    assert values(asked.parameters, "model") == ["embedded"]
    assert asked.key != request().key


def test_there_is_a_request_for_each_folder_and_one_for_what_is_in_none() -> None:
    settings = config(folder={"analyzer": {"model": "nova-2"}})
    requests = requests_by_folder(settings)

    assert {folder: asked.model for folder, asked in requests.items()} == {None: "nova-3", "/r": "nova-2"}
    assert requests[None] == build_request(settings, None)


# The key: equal exactly where the answer would be

DIFFERENT: list[dict[str, Any]] = [
    {},
    {"model": "nova-2"},
    {"language": "en-GB"},
    {"language": "de"},
    {"features": ["summary"]},
    {"features": []},
    {"custom_intents": ["cancel"]},
    {"custom_intents": ["cancel"], "custom_intents_mode": "strict"},
    {"custom_topics": ["cancel"]},
    {"options": {}},
    {"options": {"smart_format": False}},
    {"options": {"smart_format": True, "keyterm": ["a"]}},
    {"options": {"smart_format": True, "keyterm": ["a", "b"]}},
    {"options": {"smart_format": True, "keyterm": "a, b"}},
    {"folder": {"channels": ["customer", "agent"]}},
    {"rules": [rule("leave")]},
]


def test_the_key_differs_for_whatever_may_change_the_answer() -> None:
    assert len({request(**settings).key for settings in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"features": ["summary", "topics"]}, {"features": ["topics", "summary"]}),
        ({"custom_intents": ["a", "b"]}, {"custom_intents": ["b", "a"]}),
        ({"custom_intents": ["leave"]}, {"rules": [rule("leave")]}),
        ({"options": {"a": 1, "b": True}}, {"options": {"b": "true", "a": "1"}}),
        ({"timeout": 1.0, "concurrency": 2, "probe": 3.0}, {}),
        ({"folder": {"analyzer": {"model": "nova-2"}}}, {"model": "nova-2"}),
    ],
)
def test_the_key_is_equal_for_requests_that_ask_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert request(**one).key == request(**other).key


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({}, 660.0),
        ({"timeout": "3m"}, 180.0),
        ({"base_url": "embedded"}, EMBEDDED_TIMEOUT_SECONDS),
        ({"base_url": "embedded", "timeout": "3m"}, 180.0),
    ],
)
def test_the_embedded_engine_is_waited_for_unless_the_configuration_says_how_long(
    settings: dict[str, str], seconds: float
) -> None:
    assert reply_timeout(Analyzer.model_validate(settings)) == seconds
