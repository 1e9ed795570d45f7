"""Replies other than 200, in Deepgram's shape (developers.deepgram.com/docs/errors)."""

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

RETRY_AFTER_SECONDS = 5


class Refusal(Exception):
    """A reply that says why there is no result."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


TOO_BUSY = Refusal(429, "TOO_MANY_REQUESTS", "Too many requests. Please try again later")
TOO_LARGE = Refusal(413, "PAYLOAD_TOO_LARGE", "The maximum file size is 2 GB.")
SLOW = Refusal(408, "SLOW_UPLOAD", "Request upload timeout.")
CORRUPT = Refusal(400, "Bad Request", "Bad Request: failed to process audio: corrupt or unsupported data")
NO_JSON = Refusal(
    400, "Bad Request", "Content-type was application/json, but we could not process the JSON payload."
)
NO_LANGUAGE = Refusal(400, "Bad Request", "Bad Request: No such model/language/tier combination found.")
TOKEN_LIMIT = Refusal(
    400,
    "TOKEN_LIMIT_EXCEEDED",
    "Text input currently supports up to 150K tokens. Please revise your text input to fit within the "
    "defined token limit.",
)
NO_SUMMARY = Refusal(400, "Bad Request", "Summarization v2 not supported for non-English languages")
UNAVAILABLE = Refusal(503, "Service Unavailable", "Please try again later")
FAILED = Refusal(500, "INTERNAL_SERVER_ERROR", "The engine failed; its log says why.")


def remote_content(message: str) -> Refusal:
    """What cannot be fetched for a client."""
    return Refusal(400, "REMOTE_CONTENT_ERROR", message)


def invalid_parameter(message: str) -> Refusal:
    """A query parameter that is not understood."""
    return Refusal(400, "INVALID_QUERY_PARAMETER", message)


def reply_of(refusal: Refusal, request_id: str) -> Response:
    """Return the reply that a refusal is."""
    body = {"err_code": refusal.code, "err_msg": refusal.message, "request_id": request_id}
    headers = {"dg-request-id": request_id}
    if refusal.status in (TOO_BUSY.status, UNAVAILABLE.status):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return JSONResponse(body, status_code=refusal.status, headers=headers)


def refusal_of(error: HTTPException) -> Refusal:
    """Return the refusal for a path or method that there is not."""
    return Refusal(error.status_code, error.detail, error.detail)
