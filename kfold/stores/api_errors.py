"""An API server's refusals as errors that a person can act on. What to do next depends on who asked for what."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from kfold.stores.cluster_interface import (
    FIELD_MANAGER,
    ClusterError,
    FieldConflict,
    ObjectReplaced,
    OwnedField,
    UnknownKind,
)
from kfold.stores.kubeconfig import CHOOSE_CONTEXT, ContextEntry

_SANDBOX = "kfold-sandbox"
"""The context of the embedded cluster; of one of several, followed by a hyphen and its name."""

_UID = re.compile(r"\buid\b", re.IGNORECASE)
_OWNER = re.compile(r'conflict with "(?P<manager>(?:[^"\\]|\\.)*)"')


def refusal(entry: ContextEntry, code: int, body: bytes, doing: str) -> ClusterError:
    """The error for an answer with HTTP status `code` to what we were `doing` ("apply deployment/web in default")."""
    status = _status(body)
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or "").strip() or body[:300].decode(errors="replace").strip() or f"HTTP {code}"
    details = status.get("details")
    causes = [cause for cause in (details or {}).get("causes") or () if isinstance(cause, Mapping)]
    if code == 401:
        return ClusterError(
            f'the cluster does not accept user "{entry.user}" of context "{entry.name}" ({doing})', code=code,
            reason=reason or "Unauthorized",
            hint=f"the credentials in {entry.file} are wrong or have expired: log in again")
    if code == 403:
        if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
            return ClusterError(f"{doing}: {message}", code=code, reason=reason,
                                hint="wait until the namespace is gone (kubectl get namespace), then try again")
        return ClusterError(f"{doing}: {message}", code=code, reason=reason or "Forbidden",
                            hint=f'user "{entry.user}" of context "{entry.name}" needs that permission (RBAC)')
    if code == 404 and not _names_object(details):
        # "the server could not find the requested resource": the path itself is not served, not the object
        return UnknownKind(f"{doing}: the cluster does not serve this kind",
                           hint="is its CustomResourceDefinition installed, and the apiVersion right?")
    if code == 409:
        owned = tuple(OwnedField(_owner(cause), str(cause.get("field") or "")) for cause in causes
                      if cause.get("reason") == "FieldManagerConflict")
        if owned:
            first = owned[0]
            more = f" (and {len(owned) - 1} more)" if len(owned) > 1 else ""
            return FieldConflict(f'{doing}: "{first.manager}" has set {first.field}{more}', owned,
                                 hint="leave the field out of the manifest; or take it over once: `kubectl apply "
                                      f"--server-side --force-conflicts --field-manager={FIELD_MANAGER} "
                                      f"--context {entry.name} -f FILE`")
        if _UID.search(message):
            # an apply that carries a UID: the object was re-created ("Precondition failed: UID in precondition …") or
            # is gone ("uid mismatch: …"); the API has one reason, Conflict, for both and for lost updates
            return ObjectReplaced(f"{doing}: the object was deleted or re-created by somebody else: {message}")
    if code in (400, 422) and doing.startswith("apply"):
        return ClusterError(f"{doing}: {message}", code=code, reason=reason, hint="correct the manifest")
    return ClusterError(f"{doing}: {message}", code=code, reason=reason)


def unreachable(entry: ContextEntry, error: Exception, doing: str) -> ClusterError:
    """The error for a call that got no answer."""
    cluster = f'cluster "{entry.cluster}" (context "{entry.name}") at {entry.server}'
    if isinstance(error, TimeoutError):
        return ClusterError(f"{doing}: {cluster} gave no answer in time", reason="Timeout",
                            hint="is it overloaded, or a firewall or VPN in between?")
    if isinstance(error, ssl.SSLCertVerificationError):
        return ClusterError(f"{doing}: the certificate of {cluster} is not trusted: {error.verify_message}",
                            reason="Unreachable",
                            hint=f"was the cluster re-created? renew its entry in {entry.file}")
    if isinstance(error, ssl.SSLError):
        return ClusterError(f"{doing}: {cluster} refused the TLS connection: {error.reason or error}",
                            reason="Unreachable", hint=f"is the client certificate in {entry.file} still valid?")
    if isinstance(error, socket.gaierror):
        return ClusterError(f"{doing}: {cluster} does not answer: its name has no address", reason="Unreachable",
                            hint="is the network or a VPN down?")
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    if isinstance(error, ConnectionRefusedError) and entry.name.startswith(_SANDBOX):
        # in the message: who gathers several problems into one shows no hints
        return ClusterError(f"{doing}: {cluster} does not answer: {why}; it was stopped or killed, and "
                            f"`{_up(entry)}` brings it back with its objects", reason="Unreachable")
    return ClusterError(f"{doing}: {cluster} does not answer: {why}", reason="Unreachable",
                        hint=f"start the cluster, or choose another context: {CHOOSE_CONTEXT}")


def _up(entry: ContextEntry) -> str:
    name = entry.name.removeprefix(_SANDBOX).removeprefix("-")
    return f"kfold sandbox up --name {name}" if name else "kfold sandbox up"


def _status(body: bytes) -> Mapping[str, Any]:
    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, Mapping) and status.get("kind") == "Status" else {}


def _names_object(details: object) -> bool:
    return isinstance(details, Mapping) and bool(details.get("name"))


def _owner(cause: Mapping[str, Any]) -> str:
    found = _OWNER.search(str(cause.get("message") or ""))
    return found["manager"] if found else "another manager"
