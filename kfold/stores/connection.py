"""How to reach an API server: TLS as its kubeconfig entry says, and the proxy in between."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kfold.stores.cluster_interface import ClusterError
from kfold.stores.credentials import Credential
from kfold.stores.kubeconfig import ContextEntry
from kfold.stores.network import environment_proxy


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
    return environment_proxy(entry.server, environment)
