"""The HTTP conversation with an endpoint that speaks Deepgram's API: one request, one reply or one error.

Nothing is retried here and redirects are not followed: the queue decides what is asked again, and a key is
never sent to another host. Every failure leaves as one of the errors in `daemon.errors`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from daemon.deepgram.http_errors import error_of_exception, error_of_status, one_line
from daemon.deepgram.proxies import proxy_for
from daemon.deepgram.request import Request
from daemon.deepgram.upload import Upload
from daemon.errors import AccountError, DoubtfulReplyError, EarshotError, RecordingError, ServiceDownError

CONNECT_SECONDS = 10.0
STALL_SECONDS = 60.0
"""How long an upload may make no progress."""
MAX_REPLY_BYTES = 64 * 1024 * 1024
"""A reply of hours of speech with word times has some 20 MB; more than this is not a reply."""
MAX_ERROR_BYTES = 64 * 1024
ENCODINGS = ("", "identity", "gzip", "deflate")
"""Of a reply. None is asked for, but some proxies compress all the same; a block of 64 KB of these becomes
64 MB at most."""
URL_REPLY_ALLOWANCE = 600.0
"""Extra seconds for a hosted recording: Deepgram fetches it first."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The body of a 200, as received, with the request's id from the header if it named one."""

    body: bytes
    request_id: str | None


class ApiClient:
    """A connection to one endpoint, shared by all workers; use as a context manager.

    `base_url` is asked for at each request: the embedded engine's changes when it is restarted. Whether a
    proxy is used is decided at the start: the engine is on this host always.
    `timeout` is seconds from the last byte sent to the last byte received.
    """

    def __init__(self, base_url: Callable[[], str], *, key: str | None, timeout: float) -> None:
        self._base_url = base_url
        self._key = key
        self._timeout = timeout
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "earshot"}
        if key:
            headers["Authorization"] = f"Token {key}"
        self._http = http_client(
            base_url(),
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS, write=STALL_SECONDS, pool=None),
            # A connection for each request: a server that closes an idle one just as it is used again
            # would look like a reply lost, and that is paid for.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def listen_file(self, upload: Upload, request: Request) -> Reply:
        """Send a file to /v1/listen and return the 200's body; raises AnalysisError or FileTrouble.

        The body is streamed from disk with its Content-Length (Deepgram has cut off recordings sent
        without: github.com/deepgram/deepgram-python-sdk/issues/485).
        """
        size = str(upload.file.size_bytes)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": size}
        return self._post("/v1/listen", request, headers, iter(upload), self._timeout)

    def listen_url(self, url: str, request: Request) -> Reply:
        """Have Deepgram fetch and analyze a hosted recording; raises AnalysisError."""
        if not url.isprintable():
            # Bytes of a command line that are no text, or control characters.
            raise RecordingError(
                "remote_content", "the address has characters in it that none may have; correct it"
            )
        timeout = self._timeout + URL_REPLY_ALLOWANCE
        return self._post("/v1/listen", request, {}, {"url": url}, timeout, address=url)

    def read_text(self, text: str, request: Request) -> Reply:
        """Have a text analyzed by /v1/read; raises AnalysisError."""
        return self._post("/v1/read", request, {}, {"text": text}, self._timeout)

    def _post(
        self,
        path: str,
        request: Request,
        headers: Mapping[str, str],
        body: Iterator[bytes] | dict[str, str],
        timeout: float,
        *,
        address: str | None = None,
    ) -> Reply:
        if self._http.is_closed:
            # Whoever read from a share that hung for longer than a reload waits comes too late.
            raise ServiceDownError("the configuration was read again meanwhile", reached=False)
        conversation = _Conversation(timeout, address)
        content: dict[str, Any] = (
            {"json": body} if isinstance(body, dict) else {"content": _sent(body, conversation)}
        )
        try:
            with (
                conversation,
                self._http.stream(
                    "POST",
                    self._base_url().rstrip("/") + path,
                    params=list(request.parameters),
                    headers=dict(headers),
                    extensions={"trace": conversation.trace},
                    **content,
                ) as response,
            ):
                return self._reply(response, conversation)
        except UnicodeError as error:
            # A host or a parameter that no encoding has letters for; it would be so for every recording.
            raise AccountError(
                "request",
                "the request cannot be built: analyzer.base_url, a proxy's address or a text in "
                "analyzer.options has letters in it that cannot be sent",
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            failure = error_of_exception(error, sent=conversation.sent, late=conversation.late)
            if isinstance(failure, DoubtfulReplyError):
                failure.body = self._without_key(bytes(conversation.received))
                failure.request_id = conversation.request_id
            raise failure from error

    def _reply(self, response: httpx.Response, conversation: _Conversation) -> Reply:
        """The reply of a 200; raises the error of any other status, also when its body never ends."""
        named = _request_id(response) or ""
        conversation.request_id = self._without_key(named.encode()).decode() or None
        try:
            complete = _read(response, conversation)
        except httpx.HTTPError:
            # The status came whole, and it says what happened: a refusal is no reply lost.
            if response.status_code == 200:
                raise
            complete = False
        body = self._without_key(bytes(conversation.received))
        if response.status_code != 200:
            raise error_of_status(
                response.status_code,
                body[:MAX_ERROR_BYTES],
                response.headers,
                request_id=conversation.request_id,
                address=conversation.address,
            )
        if not complete:
            raise DoubtfulReplyError(
                f"the reply is larger than {MAX_REPLY_BYTES} bytes",
                request_id=conversation.request_id,
                body=body[:4096],
            )
        return Reply(body, conversation.request_id)

    def _without_key(self, body: bytes) -> bytes:
        """A body for the database, for people and logs: some proxies repeat the request's headers in it."""
        return body.replace(self._key.encode(), b"***") if self._key else body


@dataclass(slots=True)
class _Conversation:
    """How far a request has got, and the hard end of waiting for its reply.

    httpx limits each read only, so a server that drips a byte a second would hold a worker for ever. At
    the deadline the socket is shut down from a timer's thread, which ends any read at once.
    """

    timeout: float
    address: str | None
    sent: bool = False
    late: bool = False
    received: bytearray = field(default_factory=bytearray)
    request_id: str | None = None
    _socket: Any = None
    _timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore tells here what it does; the socket is what we need."""
        # The first part of the name is another one behind a proxy.
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")
        elif event == "http11.send_request_body.complete":
            # The last byte has left: from here on the request may be billed.
            self.sent = True
        elif event == "http11.receive_response_headers.started" and self._timer is None:
            self._timer = threading.Timer(self.timeout, self._give_up)
            self._timer.daemon = True
            self._timer.start()

    def _give_up(self) -> None:
        self.late = True
        if self._socket is not None:
            _shut_down(self._socket)


def http_client(url: str, **settings: Any) -> httpx.Client:
    """A client for requests to `url`, with the proxy and the certificates that the environment names for it.

    Raises EarshotError where those are needed and of no use, never with their text: an address may have a
    password in it.
    """
    proxy = proxy_for(url, os.environ)
    encrypted = any(address.lower().startswith("https:") for address in (url, proxy.url if proxy else ""))
    try:
        certificates = httpx.create_ssl_context() if encrypted else False
    except OSError as error:
        raise EarshotError(
            f"the certificates that the environment names cannot be read ({error.strerror or error}); "
            "correct or unset SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE"
        ) from error
    try:
        return httpx.Client(
            proxy=proxy.url if proxy else None, trust_env=False, verify=certificates, **settings
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        name = proxy.variable if proxy else "the environment"
        raise EarshotError(
            f"the proxy that {name} names cannot be used; correct or unset it (an address such as "
            "http://proxy:3128)"
        ) from error


def _shut_down(connection: Any) -> None:
    """End a connection under whoever reads from it, below TLS, without closing their descriptor."""
    try:
        duplicate = socket.socket(fileno=os.dup(connection.fileno()))
    except OSError:
        return
    with duplicate:
        try:
            duplicate.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _sent(blocks: Iterator[bytes], conversation: _Conversation) -> Iterator[bytes]:
    yield from blocks
    conversation.sent = True


def _read(response: httpx.Response, conversation: _Conversation) -> bool:
    """Take the body in as far as a reply may be long; False when it is longer.

    Raises DecodingError for encodings that nobody asked for, or within one another: a few kilobytes of those
    become gigabytes before there is anything to measure.
    """
    if response.headers.get("content-encoding", "identity").strip().lower() not in ENCODINGS:
        raise httpx.DecodingError("another encoding than gzip", request=response.request)
    limit = MAX_REPLY_BYTES if response.status_code == 200 else MAX_ERROR_BYTES
    for block in response.iter_bytes():
        conversation.received += block
        if len(conversation.received) > limit:
            return False
    return True


def _request_id(response: httpx.Response) -> str | None:
    named = response.headers.get("dg-request-id") or response.headers.get("x-dg-request-id")
    return one_line(named) or None if named else None


def unpaid_look(base_url: str, key: str | None, *, seconds: float = 10.0) -> int:
    """The status of a GET that costs nothing, to learn whether the endpoint is there and the key is good.

    Raises ServiceDownError when there is no answer, AccountError when address or key cannot be used at all,
    EarshotError when a proxy or certificates that the environment names cannot.
    """
    headers = {"Authorization": f"Token {key}"} if key else {}
    try:
        # Its body is not looked at, so that it does not matter how long it is.
        with (
            http_client(base_url, headers=headers, timeout=seconds) as client,
            client.stream("GET", f"{base_url.rstrip('/')}/v1/projects") as response,
        ):
            return response.status_code
    except UnicodeError as error:
        raise AccountError("request", "analyzer.base_url is not a usable address; correct it") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        failure = error_of_exception(error, sent=False, late=False)
        if not isinstance(failure, AccountError | ServiceDownError):
            failure = ServiceDownError(f"no answer from the service ({type(error).__name__})", reached=False)
        raise failure from error
