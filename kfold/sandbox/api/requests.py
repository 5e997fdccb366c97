"""A request's path and query as data: which resource, which object, which options. Bad ones raise ApiError."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kfold.sandbox.api import errors
from kfold.sandbox.api.causes import Cause, forbidden, invalid, required, too_long, unsupported
from kfold.sandbox.api.resources import ABSENT_KINDS, Catalog, Resource

VALIDATIONS = ("Ignore", "Strict", "Warn")


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


def write_options(query: Mapping[str, str], user_agent: str, kind: str, *, applies: bool = False) -> WriteOptions:
    """`kind`: CreateOptions, UpdateOptions or PatchOptions. Raises ApiError 422 for values that are none."""
    manager = query.get("fieldManager", "")
    causes: list[Cause] = []
    if applies and not manager:
        causes.append(required("fieldManager", "is required for apply patch"))
    if "force" in query and kind == "PatchOptions" and not applies:
        causes.append(forbidden("force", "may not be specified for non-apply patch"))
    if len(manager) > 128:
        causes.append(too_long("fieldManager", 128))
    for place, letter in enumerate(manager):
        if not letter.isprintable():
            why = f"invalid character U+{ord(letter):04X} (at position {place})"
            causes.append(invalid("fieldManager", manager, why))
    rehearse, bad = dry_run(query.get("dryRun", ""))
    validation = query.get("fieldValidation") or "Warn"
    if validation not in VALIDATIONS:
        bad.append(unsupported("fieldValidation", validation, ("", *VALIDATIONS)))
    if causes + bad:
        raise errors.bad_options(kind, causes + bad)
    # without a name, the user agent up to its first slash is the manager, as on the real server
    manager = manager or user_agent.split("/")[0][:128] or "unknown"
    return WriteOptions(rehearse, manager, validation, flag(query, "force"))


def dry_run(*asked: str) -> tuple[bool, list[Cause]]:
    """Whether dryRun=All is asked for, and causes for any other value."""
    values = [value for value in asked if value]
    return bool(values), [] if set(values) <= {"All"} else [unsupported("dryRun", values, ["All"])]
