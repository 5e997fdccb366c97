"""A command in a container, over a WebSocket: the API's `pods/exec` (KEP-4006), protocol v4.channel.k8s.io.

By websocket-client, which the official client uses for the same: its own `stream` takes neither our TLS settings nor our
credentials. Each message begins with a byte for its channel; the error channel tells the exit code, as a Status.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from kfold.errors import Interrupted
from kfold.stores.api_errors import refusal, unreachable
from kfold.stores.cluster_interface import ClusterError
from kfold.stores.connection import tls_context
from kfold.stores.credentials import Credential, Credentials
from kfold.stores.kubeconfig import ContextEntry
from kfold.stores.lines import LineSplitter

if TYPE_CHECKING:
    from websocket import WebSocket

_OUTPUT, _ERROR = (1, 2), 3
_CONNECT = 30.0
"""Seconds to connect and to be accepted."""
_LOOK = 0.2
"""Seconds between two looks at whether the run is to end."""


def execute(
    entry: ContextEntry,
    credentials: Credentials,
    proxy: str,
    path: str,
    container: str,
    command: Sequence[str],
    *,
    on_line: Callable[[str], None],
    stop: threading.Event,
    doing: str,
) -> int:
    """Run `command` in a container of the Pod at `path`; both of its streams go to `on_line`. Returns its exit code.

    Raises Interrupted when `stop` is set: the connection is closed then, and what the command does about that is its own
    affair (the API has no way to end it). Raises ClusterError where it cannot be run, or its end was not heard of.
    """
    if not entry.supported:
        raise ClusterError(
            f"{doing}: commands in containers need a login that kfold knows, and not {entry.unsupported}",
            reason="Credentials", hint="use a token, a certificate or an exec plugin")  # fmt: skip
    query = [("container", container), ("stdout", "true"), ("stderr", "true"), *(("command", word) for word in command)]
    socket = _connect(entry, credentials, proxy, f"{path}/exec?{urlencode(query)}", doing)
    try:
        return _follow(entry, socket, on_line, stop, doing)
    finally:
        socket.shutdown()  # type: ignore[no-untyped-call]  # its close() does nothing once the server has closed


def _connect(entry: ContextEntry, credentials: Credentials, proxy: str, path: str, doing: str) -> WebSocket:
    import websocket

    renewed = False
    while True:
        credential = credentials.current()
        try:
            return websocket.create_connection(
                f"ws{entry.server.removeprefix('http')}{path}",
                timeout=_CONNECT,
                subprotocols=["v4.channel.k8s.io"],
                skip_utf8_validation=True,
                **_access(entry, credential, proxy),
            )
        except websocket.WebSocketBadStatusException as error:
            if error.status_code == 401 and not renewed and credentials.refused(credential):
                renewed = True
                continue
            raise refusal(entry, error.status_code, error.resp_body or b"", doing) from None
        except (websocket.WebSocketException, OSError) as error:
            cause = error if isinstance(error, OSError) else OSError(str(error))
            raise unreachable(entry, cause, doing) from None


def _access(entry: ContextEntry, credential: Credential, proxy: str) -> dict[str, Any]:
    access: dict[str, Any] = {"suppress_origin": True}
    if entry.server.startswith("https://"):
        access["sslopt"] = {"context": tls_context(entry, credential)}
        if entry.tls_server_name:
            access["sslopt"]["server_hostname"] = entry.tls_server_name
        if credential.token:
            access["header"] = [f"Authorization: Bearer {credential.token}"]
    if not proxy:
        return {**access, "http_no_proxy": ["*"]}  # else the library would look into the environment itself
    url = urlsplit(proxy)
    kind = url.scheme.replace("https", "http")
    access |= {"http_proxy_host": url.hostname, "http_proxy_port": url.port, "proxy_type": kind}
    if url.username:
        access["http_proxy_auth"] = (url.username, url.password or "")
    return access


def _follow(
    entry: ContextEntry, socket: WebSocket, on_line: Callable[[str], None], stop: threading.Event, doing: str
) -> int:
    import websocket

    streams = {channel: LineSplitter() for channel in _OUTPUT}
    status = b""
    socket.settimeout(_LOOK)
    while True:
        if stop.is_set():
            raise Interrupted(f"{doing}: was stopped")
        try:
            code, frame = socket.recv_data_frame(control_frame=True)
        except websocket.WebSocketTimeoutException:
            continue  # a frame of which a part came is completed by the next call
        except (websocket.WebSocketConnectionClosedException, OSError) as error:
            if not status:
                cause = error if isinstance(error, OSError) else OSError("the connection broke")
                raise unreachable(entry, cause, doing) from None
            break
        if code == websocket.ABNF.OPCODE_CLOSE:
            break
        if code not in (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT) or not frame.data:
            continue
        channel, data = frame.data[0], frame.data[1:]
        if channel in streams:
            for line in streams[channel].feed(data):
                on_line(line)
        elif channel == _ERROR:
            status += data
    for splitter in streams.values():
        for line in splitter.end():
            on_line(line)
    return _exit_code(status, doing)


def _exit_code(text: bytes, doing: str) -> int:
    try:
        status = json.loads(text)
        if status.get("status") == "Success":
            return 0
        causes = (status.get("details") or {}).get("causes") or ()
        code = next((cause["message"] for cause in causes if cause.get("reason") == "ExitCode"), None)
        if code is not None:
            return int(code)
        raise ClusterError(f"{doing}: {status.get('message') or 'no reason given'}", reason=str(status.get("reason") or ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ClusterError(f"{doing}: the connection ended before the command did", reason="Unreachable",
                           hint="it may still run") from None  # fmt: skip
