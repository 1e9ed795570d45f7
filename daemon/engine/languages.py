"""The languages that Whisper knows, by the codes that clients send."""

import json
from pathlib import Path

ENGLISH = "en"
_KNOWN = (
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr "
    "ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc "
    "pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue "
    "zh"
)
KNOWN = frozenset(_KNOWN.split())
OTHER_NAMES = {"nb": "no", "fil": "tl", "iw": "he", "jv": "jw", "in": "id"}
MULTILINGUAL_WORDS = 51_865
"""How many a vocabulary for all languages has, at the least; that of the English models has one less."""


def language_of(code: str) -> str | None:
    """Return Whisper's code for a language code such as `en-GB`; None for one that it does not know."""
    language = code.lower().replace("_", "-").partition("-")[0]
    language = OTHER_NAMES.get(language, language)
    return language if language in KNOWN else None


def is_multilingual(model_folder: Path) -> bool:
    """Whether a model knows more than English."""
    file = next(model_folder.glob("vocabulary.*"))
    text = file.read_text("utf-8")
    words = json.loads(text) if file.suffix == ".json" else text.rstrip("\n").split("\n")
    return len(words) >= MULTILINGUAL_WORDS
