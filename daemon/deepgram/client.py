"""The HTTP conversation with an endpoint that speaks Deepgram's API: one request, one reply or one error.

Nothing is retried here and redirects are not followed: the queue decides what is asked again, and a key is
never sent to another host. Every failure leaves as one of the errors in `daemon.errors`.
"""

from __future__ import annotations

import functools
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

import httpx

from daemon.deepgram.deadlines import Deadlines
from daemon.deepgram.http_errors import error_of_exception, error_of_status, one_line
from daemon.deepgram.proxies import proxy_for
from daemon.deepgram.request import Request
from daemon.deepgram.upload import Upload
from daemon.errors import AccountError, DoubtfulReplyError, EarshotError, RecordingError, ServiceDownError

CONNECT_SECONDS = 10.0
STALL_SECONDS = 60.0
"""How long an upload may make no progress."""
MAX_REPLY_BYTES = 64 * 1024 * 1024
"""Hours of speech with word times give about 20 MB; a larger body than this is no reply."""
MAX_ERROR_BYTES = 64 * 1024
ENCODINGS = ("", "identity", "gzip", "deflate")
"""Those accepted in a reply. We ask for none, but some proxies compress anyway; 64 KB become at most
64 MB."""
URL_REPLY_ALLOWANCE = 600.0
"""Extra seconds for a hosted recording: Deepgram fetches it first."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The body of a 200, as received, with the request's id from the header if it named one."""

    body: bytes
    request_id: str | None


class ApiClient:
    """HTTP access to one endpoint, shared by all workers; use as a context manager.

    `timeout` is seconds from the last byte sent to the last byte received. With `socket_path` the requests go
    by this Unix socket, as those to the embedded engine do, else by the network.
    """

    def __init__(
        self, base_url: str, *, key: str | None, timeout: float, socket_path: Path | None = None
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._timeout = timeout
        self._deadlines = Deadlines()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "earshot"}
        headers["Connection"] = "close"
        if key:
            headers["Authorization"] = f"Token {key}"
        # Below httpx.Client, whose cookies, redirects and authentication cost as much as all the rest. One of
        # its own for each request: threads that share one wait for each other, and it looks at the
        # connections of all again and again. And a new connection for each: if a server closed an idle one
        # just as we used it again, that would look like a lost reply, which is paid for.
        self._transport = _transport(base_url, socket_path)
        self._headers = httpx.Headers(headers).raw
        timeouts = httpx.Timeout(timeout, connect=CONNECT_SECONDS, write=STALL_SECONDS, pool=None)
        self._limits = timeouts.as_dict()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        self._deadlines.close()

    def listen_file(self, upload: Upload, request: Request) -> Reply:
        """Send a file to /v1/listen and return the 200's body; raises AnalysisError or FileTrouble.

        The body is streamed from disk with its Content-Length (Deepgram has cut off recordings sent
        without: github.com/deepgram/deepgram-python-sdk/issues/485).
        """
        kind, size = "application/octet-stream", upload.file.size_bytes
        return self._post("/v1/listen", request, iter(upload), kind, size, self._timeout)

    def listen_url(self, url: str, request: Request) -> Reply:
        """Have Deepgram fetch and analyze a hosted recording; raises AnalysisError."""
        if not url.isprintable():
            # Control characters, or bytes from the command line that are not text.
            raise RecordingError(
                "remote_content", "the address has characters in it that none may have; correct it"
            )
        timeout = self._timeout + URL_REPLY_ALLOWANCE
        return self._post_json("/v1/listen", request, {"url": url}, timeout, address=url)

    def read_text(self, text: str, request: Request) -> Reply:
        """Have a text analyzed by /v1/read; raises AnalysisError."""
        return self._post_json("/v1/read", request, {"text": text}, self._timeout)

    def _post_json(
        self,
        path: str,
        request: Request,
        content: dict[str, str],
        timeout: float,
        *,
        address: str | None = None,
    ) -> Reply:
        # Stray bytes, as a name may have, are no text that could be sent.
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        return self._post(
            path, request, iter((body,)), "application/json", len(body), timeout, address=address
        )

    def _post(
        self,
        path: str,
        request: Request,
        body: Iterator[bytes],
        kind: str,
        size_bytes: int,
        timeout: float,
        *,
        address: str | None = None,
    ) -> Reply:
        if self._is_closed:
            # A reload closed this client while its worker hung on a network share.
            raise ServiceDownError("the configuration was read again meanwhile", reached=False)
        conversation = _Conversation(timeout, address, self._deadlines)
        try:
            url = _address(self._base_url + path, request.parameters)
            own = [
                (b"Host", url.netloc),
                (b"Content-Type", kind.encode()),
                (b"Content-Length", b"%d" % size_bytes),
            ]
            asked = httpx.Request(
                "POST",
                url,
                headers=[*self._headers, *own],
                stream=_Body(body, conversation),
                extensions={"timeout": self._limits, "trace": conversation.trace},
            )
            with (
                conversation,
                self._transport() as transport,
                closing(transport.handle_request(asked)) as response,
            ):
                response.request = asked
                return self._reply(response, conversation)
        except UnicodeError as error:
            # The host or a parameter cannot be encoded; that would fail for every recording.
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
        """Return a 200's reply; raise the error of another status, even when its body breaks off."""
        named = _request_id(response) or ""
        conversation.request_id = self._without_key(named.encode()).decode() or None
        try:
            complete = _read(response, conversation)
        except httpx.HTTPError:
            # The status arrived and says what happened: a refusal is not a lost reply.
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
        """Return a body with the key replaced by ***: some proxies repeat the request's headers in it."""
        return body.replace(self._key.encode(), b"***") if self._key else body


@dataclass(slots=True)
class _Conversation:
    """How far a request has got, and the deadline for its reply.

    httpx limits only each single read: a server that sends a byte a second would block a worker for ever.
    At the deadline another thread shuts the socket down, which ends any read at once.
    """

    timeout: float
    address: str | None
    deadlines: Deadlines
    sent: bool = False
    late: bool = False
    received: bytearray = field(default_factory=bytearray)
    request_id: str | None = None
    _socket: Any = None
    _has_deadline: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.deadlines.lift(self._give_up)

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep the socket and the progress that httpcore reports here."""
        # Behind a proxy the name of the event begins differently.
        if event.endswith((".connect_tcp.complete", ".connect_unix_socket.complete", ".start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")
        elif event == "http11.send_request_body.complete":
            # The last byte has left: from here on the request may be billed.
            self.sent = True
        elif event == "http11.receive_response_headers.started" and not self._has_deadline:
            self._has_deadline = True
            self.deadlines.set(self._give_up, self.timeout)

    def _give_up(self) -> None:
        self.late = True
        if self._socket is not None:
            _shut_down(self._socket)


def http_client(url: str, *, socket_path: Path | None = None, **settings: Any) -> httpx.Client:
    """Return a client for requests to `url`; see `_transport`."""
    return httpx.Client(transport=_transport(url, socket_path)(), trust_env=False, **settings)


def _transport(url: str, socket_path: Path | None) -> Callable[[], httpx.HTTPTransport]:
    """Return what opens a way to `url`, with the proxy and certificates that the environment names.

    With `socket_path` it leads there, and needs neither.

    Raises EarshotError if these are needed but unusable; its text never quotes them: an address may hold a
    password.
    """
    proxy = None if socket_path else proxy_for(url, os.environ)
    encrypted = any(address.lower().startswith("https:") for address in (url, proxy.url if proxy else ""))
    try:
        # Once: to make one takes longer than all else here.
        certificates = httpx.create_ssl_context(verify=encrypted and not socket_path)
    except OSError as error:
        raise EarshotError(
            f"the certificates that the environment names cannot be read ({error.strerror or error}); "
            "correct or unset SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE"
        ) from error
    try:
        opened = functools.partial(
            httpx.HTTPTransport,
            proxy=httpx.Proxy(proxy.url) if proxy else None,
            uds=str(socket_path) if socket_path else None,
            verify=certificates,
            trust_env=False,
        )
        opened().close()
        return opened
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        name = proxy.variable if proxy else "the environment"
        raise EarshotError(
            f"the proxy that {name} names cannot be used; correct or unset it (an address such as "
            "http://proxy:3128)"
        ) from error


def _shut_down(connection: Any) -> None:
    """Shut down a socket that another thread reads from, below TLS; its descriptor stays open."""
    try:
        duplicate = socket.socket(fileno=os.dup(connection.fileno()))
    except OSError:
        return
    with duplicate:
        try:
            duplicate.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


@functools.lru_cache(maxsize=100)
def _address(url: str, parameters: tuple[tuple[str, str], ...]) -> httpx.URL:
    """Return the address of a request: the same for all recordings of a folder."""
    address = httpx.URL(url, params=list(parameters))
    if not address.host:
        raise httpx.InvalidURL("there is no host in it")
    return address


@dataclass(frozen=True, slots=True)
class _Body(httpx.SyncByteStream):
    """The blocks of a request's body; notes when the last one was taken."""

    blocks: Iterator[bytes]
    conversation: _Conversation

    def __iter__(self) -> Iterator[bytes]:
        yield from self.blocks
        self.conversation.sent = True


def _read(response: httpx.Response, conversation: _Conversation) -> bool:
    """Read the body up to the size limit; return False if it is longer.

    Raises DecodingError for encodings not in ENCODINGS, also nested ones: a few kilobytes of those can become
    gigabytes before their size can be checked.
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


@dataclass(frozen=True, slots=True)
class Look:
    """The answer to a request that costs nothing: its status, and the endpoint's clock, if it says."""

    status: int
    date: datetime | None


def unpaid_look(base_url: str, key: str | None, *, seconds: float = 10.0) -> Look:
    """Return the answer to a GET that costs nothing; it shows if the endpoint is there and the key valid.

    Raises ServiceDownError when there is no answer, AccountError when the address or the key is unusable,
    EarshotError when the environment's proxy or certificates are.
    """
    headers = {"Authorization": f"Token {key}"} if key else {}
    try:
        # The body is not read, so its length does not matter.
        with (
            http_client(base_url, headers=headers, timeout=seconds) as client,
            client.stream("GET", f"{base_url.rstrip('/')}/v1/projects") as response,
        ):
            return Look(response.status_code, _date(response))
    except UnicodeError as error:
        raise AccountError("request", "analyzer.base_url is not a usable address; correct it") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        failure = error_of_exception(error, sent=False, late=False)
        if not isinstance(failure, AccountError | ServiceDownError):
            failure = ServiceDownError(f"no answer from the service ({type(error).__name__})", reached=False)
        raise failure from error


def _date(response: httpx.Response) -> datetime | None:
    try:
        found = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None
