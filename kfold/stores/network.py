"""What every client of ours needs to reach a server: TLS over a plain connection, and the proxy in between."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit


class TlsConnection(http.client.HTTPConnection):
    """TLS with a server name of its own (`tls-server-name`), which http.client.HTTPSConnection cannot do."""

    default_port = 443

    def __init__(self, host: str, port: int, context: ssl.SSLContext, server_name: str) -> None:
        super().__init__(host, port)
        self._tls_context = context
        self._server_name = server_name

    def connect(self) -> None:
        super().connect()
        plain = self.sock
        try:
            self.sock = self._tls_context.wrap_socket(plain, server_hostname=self._server_name)
        except BaseException:
            plain.close()
            self.sock = None
            raise


def environment_proxy(url: str, environment: Mapping[str, str]) -> str:
    """The proxy that the environment names for a URL: HTTPS_PROXY or HTTP_PROXY unless NO_PROXY or loopback, as in Go."""
    parts = urlsplit(url)
    variable = f"{parts.scheme}_proxy"
    proxy = environment.get(variable.upper()) or environment.get(variable) or ""
    host = parts.hostname or ""
    if not proxy or is_loopback(host):
        return ""
    return "" if _bypasses(host, environment.get("NO_PROXY") or environment.get("no_proxy") or "") else proxy


def _bypasses(host: str, no_proxy: str) -> bool:
    import ipaddress  # 10 ms that few need

    for rule in filter(None, (part.strip().lower() for part in no_proxy.split(","))):
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False):
                return True
        except ValueError:
            name = rule.removeprefix("*").lstrip(".")
            if rule == "*" or host == name or host.endswith(f".{name}"):
                return True
    return False


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    return host in ("localhost", "::1") or host.startswith("127.")


def proxy_headers(user: str | None, password: str | None) -> dict[str, str]:
    """What a proxy asks for: the name and password of its URL."""
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}
