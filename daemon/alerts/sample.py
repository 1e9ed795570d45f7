"""A made-up conversation: what `earshot test-alert` sends, and what a template is tried on."""

from __future__ import annotations

from typing import Any

from jinja2 import Template

from daemon.alerts.compose import Message, compose, variables
from daemon.models import Analysis, Conversation, Match, Segment

_TEXT = "This has been going on for three weeks and nobody calls me back."
_SEGMENT = Segment(0, _TEXT, 0, 12, 12.0, 16.0, "customer", "negative", -0.61)
_ANALYSIS = Analysis(
    duration_seconds=94.0,
    channels=1,
    transcript=_TEXT,
    summary="This is a test message of earshot. No such conversation took place.",
    average_sentiment="negative",
    average_sentiment_score=-0.52,
    sentiments=(_SEGMENT,),
)
_CONVERSATION = Conversation(0, "sample", "", None, _ANALYSIS)
_MATCH = Match("test alert", "info", (), ("average -0.52, negative at -0.33 and below",), (_SEGMENT,))


def sample_message(*, limit: int, title_in_body: bool = False, template: Template | None = None) -> Message:
    """An alert as it would look, which says that nothing happened."""
    return compose(
        [_MATCH], _CONVERSATION, link=None, limit=limit, title_in_body=title_in_body, template=template
    )


def sample_variables() -> dict[str, Any]:
    """What a template is given, with values like those of an alert."""
    return variables([_MATCH], _CONVERSATION, "[info] test alert - sample")
