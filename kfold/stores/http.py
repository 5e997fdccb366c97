"""A small HTTPS client for the Kubernetes API: standard library only, because importing the official one takes 0.3 s.

Thread-safe: connections are kept in a pool and each is used by one call at a time. Every call that kfold makes may be
repeated (reads, server-side applies, deletes with a UID), so broken connections, 429 and 5xx are tried again.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from kfold.stores.api_errors import refusal, unreachable
from kfold.stores.cluster_interface import ClusterError
from kfold.stores.connection import tls_context
from kfold.stores.credentials import Credential, Credentials
from kfold.stores.kubeconfig import ContextEntry
from kfold.stores.network import TlsConnection, is_loopback, proxy_headers

Query = Sequence[tuple[str, str]]
_Certificate = tuple[bytes | None, bytes | None]
"""The client certificate and key that a TLS connection was made with."""

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
"""The API server's own limit for a request that is no watch is 60 s (--request-timeout)."""
_ATTEMPTS = 8
"""With the pauses between them 11 s: an API server that restarts is back by then."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
RETRIED = (429, 500, 502, 503, 504)


class Stream(Protocol):
    """An answer whose end is open: lines as they come. `close` may be called from any thread and ends the iteration."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Transport(Protocol):
    """What the cluster store needs: kfold's own client, or the official one where kfold's cannot log in."""

    def request(self, method: str, path: str, query: Query = (), body: Mapping[str, Any] | None = None, *,
                doing: str) -> dict[str, Any]:
        """A JSON answer. Raises ClusterError."""
        ...

    def stream(self, path: str, query: Query = (), *, doing: str) -> Stream:
        """A GET whose answer is read line by line. Raises ClusterError."""
        ...

    def close(self) -> None: ...


class HttpTransport:
    """See the module. `proxy` is an http:// URL or empty."""

    def __init__(self, entry: ContextEntry, credentials: Credentials, *, proxy: str = "",
                 answer_seconds: float = _ANSWER_SECONDS) -> None:
        self._entry = entry
        self._credentials = credentials
        self._proxy = urlsplit(proxy) if proxy else None
        self._answer_seconds = answer_seconds
        self._url = urlsplit(entry.server)
        self._lock = threading.Lock()
        self._idle: list[tuple[_Certificate, http.client.HTTPConnection]] = []
        self._context: tuple[_Certificate, ssl.SSLContext] | None = None
        self._answered = False
        weakref.finalize(self, _close_all, self._idle)

    def request(self, method: str, path: str, query: Query = (), body: Mapping[str, Any] | None = None, *,
                doing: str) -> dict[str, Any]:
        response, _, content = self._send(method, path, query, body, doing, open_ended=False)
        try:
            answer = json.loads(content)
        except ValueError:
            raise ClusterError(f"{doing}: {self._entry.server} did not answer in JSON: is it a Kubernetes API?",
                               code=response.status, reason="NotJSON") from None
        return answer if isinstance(answer, dict) else {"value": answer}

    def stream(self, path: str, query: Query = (), *, doing: str) -> Stream:
        response, line, _ = self._send("GET", path, query, None, doing, open_ended=True)

        def release() -> None:
            response.close()
            line.close()

        return ResponseLines(response.read1, release, line)

    def close(self) -> None:
        with self._lock:
            _close_all(self._idle)

    # --- one call, tried again ----------------------------------------------------------------------------------

    def _send(self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, doing: str, *,
              open_ended: bool) -> tuple[http.client.HTTPResponse, socket.socket, bytes]:
        """The first good answer and its content; an open-ended one unread, with the socket that it comes from."""
        target = self._url.path.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        payload = None if body is None else json.dumps(body).encode()
        renewed = False
        for pause in pauses():
            credential = self._credentials.current()
            try:
                response, connection, line = self._once(method, target, payload, credential, open_ended)
                if open_ended and response.status < 300:
                    self._answered = True
                    return response, line, b""
                try:
                    content = _content(response)
                except BaseException:
                    connection.close()
                    raise
            except TimeoutError as error:
                raise unreachable(self._entry, error, doing) from None
            except (OSError, http.client.HTTPException) as error:
                # a cluster that never answered is most likely not there; one that did may be restarting
                if pause is None or not self._answered or not is_passing(self._entry, error, pause):
                    self._answered = False  # waited for once, and not by each of a hundred calls that follow
                    raise unreachable(self._entry, error, doing) from None
                time.sleep(pause)
                continue
            self._answered = True
            self._keep(credential, connection, response)
            if response.status < 300:
                return response, line, content
            if response.status == 401 and not renewed and self._credentials.refused(credential):
                renewed = True
                continue
            if pause is None or response.status not in RETRIED:
                raise refusal(self._entry, response.status, content, doing)
            time.sleep(_retry_after(response) or pause)
        raise AssertionError("the last pause is None")

    def _once(self, method: str, target: str, payload: bytes | None, credential: Credential,
              open_ended: bool) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection, socket.socket]:
        connection = self._reuse(credential)
        if connection is not None:
            try:
                return self._exchange(connection, method, target, payload, credential, open_ended)
            except (ConnectionError, http.client.HTTPException, ssl.SSLError):
                # the server closes idle connections at any time: that says nothing about the cluster
                connection.close()
        connection = self._connect(credential)
        try:
            return self._exchange(connection, method, target, payload, credential, open_ended)
        except BaseException:
            connection.close()
            raise

    def _exchange(self, connection: http.client.HTTPConnection, method: str, target: str, payload: bytes | None,
                  credential: Credential, open_ended: bool,
                  ) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection, socket.socket]:
        headers = {"Accept": "application/json", "User-Agent": "kfold"}
        if payload is not None:
            headers["Content-Type"] = "application/json"
        if not open_ended and not is_loopback(self._url.hostname or ""):
            headers["Accept-Encoding"] = "gzip"
        if credential.token and self._url.scheme == "https":  # client-go too shows no token to a plain http:// server
            headers["Authorization"] = f"Bearer {credential.token}"
        if connection.sock is None:
            connection.timeout = _CONNECT_SECONDS
            connection.connect()
        line = connection.sock  # getresponse() lets go of it if the server says "Connection: close"
        line.settimeout(None if open_ended else self._answer_seconds)
        connection.request(method, target, payload, headers)
        return connection.getresponse(), connection, line

    # --- connections --------------------------------------------------------------------------------------------

    def _reuse(self, credential: Credential) -> http.client.HTTPConnection | None:
        with self._lock:
            while self._idle:
                made_for, connection = self._idle.pop()
                if made_for == (credential.certificate, credential.key):
                    return connection
                connection.close()  # its TLS handshake showed a client certificate that is not valid any more
        return None

    def _keep(self, credential: Credential, connection: http.client.HTTPConnection,
              response: http.client.HTTPResponse) -> None:
        if response.will_close:
            connection.close()
            return
        with self._lock:
            self._idle.append(((credential.certificate, credential.key), connection))

    def _connect(self, credential: Credential) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        first = self._proxy or self._url
        address = (first.hostname or "", first.port or 80) if self._proxy else (host, port)
        if self._url.scheme == "https":
            connection: http.client.HTTPConnection = TlsConnection(
                *address, self._tls(credential), self._entry.tls_server_name or host)
        else:
            connection = http.client.HTTPConnection(*address)
        if self._proxy is not None:
            connection.set_tunnel(host, port, proxy_headers(self._proxy.username, self._proxy.password))
        return connection

    def _tls(self, credential: Credential) -> ssl.SSLContext:
        with self._lock:
            certificate = (credential.certificate, credential.key)
            if self._context is None or self._context[0] != certificate:
                self._context = (certificate, tls_context(self._entry, credential))
            return self._context[1]


class ResponseLines:
    """Lines of an open answer. `close` shuts the socket down, which wakes a reader that waits in another thread.

    `read` gives what has arrived, at most so many bytes, and nothing at the end; `release` frees answer and connection.
    When the server goes away in the middle the lines end, as they do for kubectl: whoever follows a log asks whether the
    container still runs. To be read once.
    """

    def __init__(self, read: Callable[[int], bytes], release: Callable[[], None], line: socket.socket | None) -> None:
        self._read = read
        self._release = release
        self._line = line
        self._lock = threading.Lock()
        self._reading = False
        self._closed = False
        if line is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # else a vanished server hangs us for ever

    def __iter__(self) -> Iterator[bytes]:
        with self._lock:
            if self._closed:
                return
            self._reading = True
        rest = b""
        try:
            while not self._closed and (chunk := self._read(65536)):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
            if rest and not self._closed:
                yield rest
        except (OSError, ValueError, http.client.HTTPException):
            pass
        finally:
            with self._lock:
                self._closed = True
            self._release()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._line is not None:
                try:
                    # the plain socket's method: SSLSocket.shutdown would take the TLS object away from the reader
                    socket.socket.shutdown(self._line, socket.SHUT_RDWR)
                except OSError:
                    pass  # the server hung up already
            if self._reading:
                return  # the reader wakes and releases: closing a file under a thread that reads it is not safe
        self._release()


def pauses() -> Iterator[float | None]:
    """Seconds to wait after each attempt that failed; None after the last one."""
    for attempt in range(_ATTEMPTS - 1):
        yield min(_FIRST_PAUSE * 2.0**attempt, _LONGEST_PAUSE)
    yield None


def _content(response: http.client.HTTPResponse) -> bytes:
    content = response.read()
    if response.getheader("Content-Encoding") == "gzip":
        return zlib.decompress(content, wbits=31)
    return content


def _retry_after(response: http.client.HTTPResponse) -> float:
    """Seconds that the server asks us to wait (it sends whole seconds, never a date), at most the longest pause."""
    text = response.getheader("Retry-After") or ""
    return min(float(text), _LONGEST_PAUSE) if text.isdigit() else 0.0


def is_passing(entry: ContextEntry, error: Exception, pause: float) -> bool:
    """Whether a broken connection may be whole again after `pause` seconds: not so for a certificate that is not accepted.

    A refusal on loopback says that no process of this machine listens. It is tried once more: a local cluster's own
    restart is behind a port that stays open (Docker's proxy, a virtual machine's forwarding), which resets instead.
    """
    if isinstance(error, ConnectionRefusedError) and is_loopback(urlsplit(entry.server).hostname or ""):
        return pause <= _FIRST_PAUSE
    return not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _close_all(idle: list[tuple[_Certificate, http.client.HTTPConnection]]) -> None:
    while idle:
        idle.pop()[1].close()
