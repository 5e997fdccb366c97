"""A request's path and query as data: which resource, which object, which options. Bad ones raise ApiError."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kfold.sandbox.api import errors
from kfold.sandbox.api.resources import ABSENT_KINDS, Catalog, Resource

VALIDATIONS = ("Strict", "Warn", "Ignore")


@dataclass(frozen=True)
class Target:
    """What a path names. `name` "" is the whole collection; `namespace` None: all namespaces, or a kind without."""

    resource: Resource
    namespace: str | None
    name: str
    subresource: str


def target(catalog: Catalog, group: str, version: str, tail: str) -> Target:
    """The target of "/api/VERSION/TAIL" or "/apis/GROUP/VERSION/TAIL". Raises ApiError 404, 501 for a known absence."""
    parts = tail.strip("/").split("/")
    if parts[0] == "watch" or "" in parts:
        # /watch/ is the old form of a watch; clients of the last ten years use ?watch=1
        raise errors.path_not_found()
    namespace: str | None = None
    if parts[0] == "namespaces" and len(parts) > 2 and (group, parts[2]) != ("", "status") and parts[2] != "finalize":
        namespace, parts = parts[1], parts[2:]
    resource = catalog.find(group, parts[0], version)
    if resource is None and parts[0] in ABSENT_KINDS.get(f"{group}/{version}".strip("/"), ()):
        raise errors.not_implemented(f"{parts[0]} of {group or 'core'}/{version}")
    if not catalog.serves(group, version):
        raise errors.PageNotFound
    if resource is None or (len(parts) > 3 and parts[2] != "proxy"):
        raise errors.path_not_found()
    if namespace is not None and not resource.namespaced:
        raise errors.path_not_found()
    name = parts[1] if len(parts) > 1 else ""
    if resource.namespaced and namespace is None and name:
        raise errors.path_not_found()
    return Target(resource, namespace, name, parts[2] if len(parts) > 2 else "")


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean of the query: Go's strconv.ParseBool, and no value means false."""
    return query.get(name, "").lower() in ("1", "t", "true")


def number(query: Mapping[str, str], name: str) -> int | None:
    """A number of the query, None if it is not there. Raises ApiError 400."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


@dataclass(frozen=True)
class WriteOptions:
    """The query of a create, update or patch. `validation`: Strict, Warn or Ignore."""

    dry_run: bool
    manager: str
    validation: str
    force: bool


def write_options(query: Mapping[str, str], user_agent: str, *, applies: bool = False, patch: bool = False) -> WriteOptions:
    """Raises ApiError 422 for values that are none, or `force` where nothing is applied."""
    kind = "PatchOptions" if patch else "CreateOptions"
    manager = query.get("fieldManager", "")
    if applies and not manager:
        raise errors.bad_option(kind, "fieldManager", "Required value: is required for apply patch")
    if len(manager) > 128:
        raise errors.bad_option(kind, "fieldManager", "Too long: may not be more than 128 bytes")
    if query.get("force") and patch and not applies:
        raise errors.bad_option(kind, "force", "Forbidden: may not be specified for non-apply patch")
    validation = query.get("fieldValidation") or "Warn"
    if validation not in VALIDATIONS:
        listed = ", ".join(f'"{value}"' for value in ("", "Ignore", "Warn", "Strict"))
        raise errors.bad_option(kind, "fieldValidation", f'Unsupported value: "{validation}": supported values: {listed}')
    # without a name, the user agent up to its first slash is the manager, as on the real server
    manager = manager or user_agent.split("/")[0][:128] or "unknown"
    return WriteOptions(dry_run(query, kind), manager, validation, flag(query, "force"))


def dry_run(query: Mapping[str, str], kind: str = "DeleteOptions") -> bool:
    """Whether ?dryRun=All. Raises ApiError 422 for any other value."""
    text = query.get("dryRun", "")
    if text not in ("", "All"):
        raise errors.bad_option(kind, "dryRun", f'Unsupported value: "{text}": supported values: "All"')
    return text == "All"
