"""How to reach an API server: TLS as its kubeconfig entry says, and the proxy in between."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kfold.stores.cluster_interface import ClusterError
from kfold.stores.credentials import Credential
from kfold.stores.kubeconfig import ContextEntry


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


def tls_context(entry: ContextEntry, credential: Credential) -> ssl.SSLContext:
    """TLS settings of a context. Raises ClusterError (reason "Credentials") for a broken certificate or key."""
    try:
        ca = entry.ca.decode("ascii") if entry.ca is not None else None
        context = ssl.create_default_context(cadata=ca)
        # Python 3.13 refuses certificate authorities that Go accepts (no key identifier); kubectl's rule is ours
        context.verify_flags = (context.verify_flags & ~ssl.VERIFY_X509_STRICT) | ssl.VERIFY_X509_PARTIAL_CHAIN
        if entry.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if credential.certificate and credential.key:
            _load_client_certificate(context, credential.certificate, credential.key)
    except (ssl.SSLError, ValueError) as error:
        raise ClusterError(f'a certificate or key of context "{entry.name}" cannot be used: {error}',
                           reason="Credentials", hint=f"renew the entry in {entry.file}") from None
    return context


def _load_client_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # OpenSSL's Python interface reads client certificates from files only; the folder is 0700 and gone at once
    with tempfile.TemporaryDirectory(prefix="kfold-") as folder:
        certificate_file, key_file = Path(folder, "certificate"), Path(folder, "key")
        certificate_file.write_bytes(certificate)
        key_file.write_bytes(key)
        context.load_cert_chain(certificate_file, key_file, password=lambda: b"")


def proxy_for(entry: ContextEntry, environment: Mapping[str, str] | None = None) -> str:
    """The proxy to use: the cluster's `proxy-url`, else HTTPS_PROXY unless NO_PROXY or loopback, as in Go."""
    environment = os.environ if environment is None else environment
    if entry.proxy_url:
        return entry.proxy_url
    url = urlsplit(entry.server)
    variable = f"{url.scheme}_proxy"
    proxy = environment.get(variable.upper()) or environment.get(variable) or ""
    host = url.hostname or ""
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
