"""Replies other than 200, as Deepgram words them (developers.deepgram.com/docs/errors)."""


class Refusal(Exception):
    """A reply other than 200; codes and messages are Deepgram's (developers.deepgram.com/docs/errors)."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


TOKEN_LIMIT = Refusal(
    400,
    "TOKEN_LIMIT_EXCEEDED",
    "Text input currently supports up to 150K tokens. Please revise your text input to fit within the "
    "defined token limit.",
)
TOO_BUSY = Refusal(429, "TOO_MANY_REQUESTS", "Too many requests. Please try again later")
CORRUPT = Refusal(400, "Bad Request", "Bad Request: failed to process audio: corrupt or unsupported data")
NO_JSON = Refusal(
    400, "Bad Request", "Content-type was application/json, but we could not process the JSON payload."
)
