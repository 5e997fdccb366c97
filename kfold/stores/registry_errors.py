"""A registry's refusals as errors that a person can act on."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Sequence

from kfold.stores.registry_credentials import Login
from kfold.stores.registry_interface import DeletionRefused, RegistryError

_LOGIN = "Log in (`docker login {host}`) as a user who may do that."
_RIGHTS = "That user needs the right to do it; or `docker login {host}` as another one."
_FULL = "The registry's disk or quota is full: free space there (old tags, then its garbage collection), and run this again."
_LIMIT = "It limits requests: wait, or log in (`docker login {host}`) for a higher limit."


def unreachable(host: str, error: Exception, doing: str) -> RegistryError:
    """The error for a registry that did not answer at all."""
    hint = "Is it running, and the name right? "
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is not accepted: {error.verify_message}"
        hint = f"Put its authority's certificate into /etc/docker/certs.d/{host}/ca.crt (the engine reads it there too)."
    elif isinstance(error, ssl.SSLError):
        reason = f"TLS failed: {error.reason or error}"
        hint = "If it speaks plain http: list it as insecure, here and in the engine (`insecure-registries`)."
    elif isinstance(error, socket.gaierror):
        reason = "its name is not known"
    elif isinstance(error, TimeoutError):
        reason = "it does not answer"
    else:
        reason = str(getattr(error, "strerror", "") or error) or type(error).__name__
    return RegistryError(f"the registry {host} cannot be reached ({doing}): {reason}", hint=hint.strip())


def refusal(host: str, repository: str, code: int, body: bytes, doing: str, login: Login | None) -> RegistryError:
    """The error for an answer with HTTP status `code`. `login` is who asked."""
    name = f"{host}/{repository}" if repository else host
    kinds, told = _errors(body)
    message = told or f"HTTP {code}"
    who = login.told() if login else "nobody: the registry was told no user"
    if code in (405, 415) and ("UNSUPPORTED" in kinds or not kinds) and doing.startswith("deleting "):
        return DeletionRefused(
            f"{host} deletes nothing ({doing}): {message} Its owner has to allow it (docker-registry: "
            "`storage.delete.enabled`), or to remove it there.",
            code=code,
        )
    if code == 429:
        hint = _LIMIT.format(host=host)
        return RegistryError(f"{host} answers no more for now ({doing}): {message}", hint=hint, code=code)
    if is_full(message):
        return RegistryError(f"{name} takes no more ({doing}): {message}", hint=_FULL, code=code)
    if code == 401:
        hint = _LOGIN.format(host=host)
        return RegistryError(f"{host} does not let us into {name} ({doing}) as {who}: {message}", hint=hint, code=code)
    if code == 403:
        hint = _RIGHTS.format(host=host)
        return RegistryError(f"{host} forbids it in {name} ({doing}) to {who}: {message}", hint=hint, code=code)
    if "NAME_INVALID" in kinds or "NAME_UNKNOWN" in kinds:
        hint = "The artifact's `image` (after `default-repo`) must name a repository that this registry takes."
        return RegistryError(f"{host} refuses the name {repository} ({doing}): {message}", hint=hint, code=code)
    hint = "It has trouble of its own: try again later." if code >= 500 else ""
    return RegistryError(f"{host} refused ({doing}): {message}", hint=hint, code=code)


def push_refusal(host: str, repository: str, output: Sequence[str], login: Login) -> RegistryError:
    """The error for an engine's push that failed: the registry's words are in what it printed last (`output`)."""
    text = next((line.strip() for line in reversed(output) if line.strip()), "no word")
    lower = text.lower()
    doing, name, who = "pushing", f"{host}/{repository}", login.told()
    if "server gave http response to https client" in lower:
        return RegistryError(
            f"the engine wants TLS of {host}, which has none",
            hint="List it in the engine as well: `insecure-registries` in /etc/docker/daemon.json, then restart the engine.",
        )
    if "x509" in lower or "certificate" in lower:
        return RegistryError(
            f"the engine does not accept the certificate of {host}: {text}",
            hint=f"Put its authority's certificate into /etc/docker/certs.d/{host}/ca.crt on the engine's machine.",
        )
    if is_full(text):
        return RegistryError(f"{name} takes no more ({doing}): {text}", hint=_FULL)
    if "unauthorized" in lower or "no basic auth" in lower or "authentication required" in lower:
        hint = _LOGIN.format(host=host)
        return RegistryError(f"{host} does not let us into {name} ({doing}) as {who}: {text}", hint=hint, code=401)
    if "denied" in lower or "forbidden" in lower or "insufficient_scope" in lower:
        hint = _RIGHTS.format(host=host)
        return RegistryError(f"{host} forbids it in {name} ({doing}) to {who}: {text}", hint=hint, code=403)
    if "name invalid" in lower or "invalid repository name" in lower or "name unknown" in lower:
        hint = "The artifact's `image` (after `default-repo`) must name a repository that this registry takes."
        return RegistryError(f"{host} refuses the name {repository} ({doing}): {text}", hint=hint)
    if "toomanyrequests" in lower or "too many requests" in lower:
        return RegistryError(f"{host} answers no more for now ({doing}): {text}", hint=_LIMIT.format(host=host), code=429)
    return RegistryError(f"{name} could not be pushed: {text}", hint="Is the registry up? Run this again.")


def is_full(text: str) -> bool:
    """Whether a registry's words mean that there is no room: they come with many a status."""
    lower = text.lower()
    return any(words in lower for words in ("no space left", "quota", "insufficient storage", "disk full"))


def _errors(body: bytes) -> tuple[Sequence[str], str]:
    """Codes and message of an error body (OCI distribution spec, error codes); or the beginning of its text."""
    try:
        errors = json.loads(body)["errors"]
        kinds = [str(error.get("code") or "") for error in errors]
        parts = []
        for error in errors:
            detail = error.get("detail")
            words = detail.get("Err") if isinstance(detail, dict) else detail if isinstance(detail, str) else ""
            parts.append(": ".join(part for part in (str(error.get("message") or ""), _words(words)) if part))
        return kinds, "; ".join(parts)
    except (ValueError, KeyError, TypeError, AttributeError):
        text = body[:300].decode(errors="replace").strip()
        return (), "" if text.startswith("<") else text


def _words(detail: object) -> str:
    return str(detail) if isinstance(detail, str | int) else json.dumps(detail) if detail else ""
