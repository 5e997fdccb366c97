"""Errors as the Kubernetes API gives them: a `Status` object with a code, a reason and details.

Reasons and codes are those of `k8s.io/apimachinery/pkg/api/errors`; clients decide by `reason`, so it is never free
text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kfold.sandbox.api.resources import Resource

MEDIA_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
"""In which a real server takes and gives objects."""


class ApiError(Exception):
    """A refused request.

    `code` is the HTTP status, `reason` the enum that clients switch on, `details` may hold causes.
    """

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> dict[str, Any]:
        """The `Status` object that is the body of the answer."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


def _qualified(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _details(resource: Resource, name: str, *, by_kind: bool = False) -> dict[str, Any]:
    details = {"name": name, "kind": resource.kind if by_kind else resource.plural}
    if resource.group:
        details["group"] = resource.group
    return details


def not_found(resource: Resource, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{_qualified(resource)} "{name}" not found', _details(resource, name))


def path_not_found() -> ApiError:
    """A path of a served API group that leads to no resource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


class PageNotFound(ApiError):
    """404 for a path of no API group: no Status object, as the real server's last handler answers."""

    def __init__(self) -> None:
        super().__init__(404, "NotFound", "404 page not found")


def already_exists(resource: Resource, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{_qualified(resource)} "{name}" already exists', _details(resource, name))


def conflict(resource: Resource, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {_qualified(resource)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(resource, name))


def modified(resource: Resource, name: str) -> ApiError:
    """409 for a write that names another resourceVersion than the object's."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def apply_conflict(causes: list[dict[str, str]], message: str) -> ApiError:
    return ApiError(409, "Conflict", message, {"causes": causes})


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def invalid(resource: Resource, name: str, causes: Iterable[tuple[str, str, str]]) -> ApiError:
    """422 with one cause a field. A cause is (reason such as FieldValueInvalid, field path, text)."""
    listed = [{"reason": reason, "message": text, "field": field} for reason, field, text in causes]
    texts = [f"{cause['field']}: {cause['message']}" for cause in listed]
    said = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {**_details(resource, name, by_kind=True), "causes": listed}
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {said}', details)


def bad_patch(why: str) -> ApiError:
    """422 for a patch that leaves no object of its kind; the real server names no kind here."""
    cause = {"reason": "FieldValueInvalid", "message": f"Invalid value: {why}", "field": "patch"}
    return ApiError(422, "Invalid", f' "" is invalid: patch: Invalid value: {why}', {"causes": [cause]})


def bad_options(kind: str, causes: Iterable[tuple[str, str, str]]) -> ApiError:
    """422 for options of a request (`kind`: CreateOptions, DeleteOptions, …), with causes as of `invalid`."""
    return invalid(Resource("meta.k8s.io", "v1", "", kind), "", causes)


def too_large_version(asked: int, current: int) -> ApiError:
    """504 for a resourceVersion that is not reached yet: clients try again."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    text = f"Timeout: Too large resource version: {asked}, current: {current}"
    return ApiError(504, "Timeout", text, {"causes": [cause], "retryAfterSeconds": 1})


def forbidden(resource: Resource, name: str, why: str, causes: list[dict[str, str]] | None = None) -> ApiError:
    details = _details(resource, name)
    if causes:
        details["causes"] = causes
    return ApiError(403, "Forbidden", f'{_qualified(resource)} "{name}" is forbidden: {why}', details)


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def unsupported_media_type(allowed: Iterable[str]) -> ApiError:
    listed = ", ".join(allowed)
    message = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return ApiError(415, "UnsupportedMediaType", message)


def not_acceptable() -> ApiError:
    return ApiError(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(MEDIA_TYPES)}")


def expired(message: str) -> ApiError:
    """410: a resourceVersion or a continue token older than the history that is kept; clients list anew."""
    return ApiError(410, "Expired", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def too_large(limit: int) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def internal(message: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")


def not_implemented(what: str) -> ApiError:
    """501 with the name of what this stand-in does not have; never a silent success."""
    return ApiError(501, "NotImplemented", f"the sandbox does not have {what}")
