"""The names that a config may give: images (grammar of distribution/reference), configs (Kubernetes label values)."""

from __future__ import annotations

import re

_COMPONENT = re.compile(r"[a-z0-9]+((?:[._]|__|-+)[a-z0-9]+)*")
_HOST = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
)
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_IMAGE_ID = re.compile(r"[a-f0-9]{64}")
MAX_IMAGE_NAME = 255
"""Characters of an image name, host included (distribution/reference: NameTotalLengthMax)."""


def image_name_problem(name: str) -> tuple[str, str] | None:
    """What is wrong with `name` as the name of an artifact: (message, hint), or None.

    Source: distribution/reference grammar; no tag and no digest, as Skaffold's validation asks.
    """
    if not name:
        return "the image has no name", ""
    if len(name) > MAX_IMAGE_NAME:
        return f"the image name is longer than {MAX_IMAGE_NAME} characters", ""
    if "@" in name:
        return f"the image name `{name}` has a digest", "An artifact is built: write the name without `@…`."
    host, path = split_host(name)
    if ":" in path:
        return (
            f"the image name `{name}` has a tag",
            "An artifact gets its tag from `build.tagPolicy`: write the name without `:…`.",
        )
    if host and not _HOST.fullmatch(host):
        return f"`{name}` is not an image name", f"`{host}` is not a registry host."
    for part in path.split("/"):
        if not _COMPONENT.fullmatch(part):
            if _COMPONENT.fullmatch(part.lower()):
                return f"`{name}` is not an image name", f"Image names are lower case: `{name.lower()}`."
            return (
                f"`{name}` is not an image name",
                "Lower case letters and digits, separated by `.`, `_`, `__` or `-`.",
            )
    if _IMAGE_ID.fullmatch(name):
        return f"`{name}` is not an image name", "64 hexadecimal digits are an image ID."
    return None


def split_host(name: str) -> tuple[str, str]:
    """Registry host ("" where it is implied) and path.

    The first part is a host if it has `.`, `:` or a capital, or is `localhost` (distribution/reference, normalize).
    """
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first or first != first.lower()):
        return first, rest
    return "", name


def canonical_image_name(name: str) -> str:
    """The full form: `web` and `docker.io/library/web` are the same image to an engine."""
    host, path = split_host(name)
    host = host or "docker.io"
    if host in ("docker.io", "index.docker.io"):
        host = "docker.io"
        path = path if "/" in path else f"library/{path}"
    return f"{host}/{path}"


def is_label_value(name: str) -> bool:
    """Whether `name` can stand in a label of a Kubernetes object and of an image: at most 63 characters, not empty."""
    return _LABEL_VALUE.fullmatch(name) is not None


def is_dns_label(name: str) -> bool:
    """Whether `name` can name a namespace (RFC 1123 label)."""
    return _DNS_LABEL.fullmatch(name) is not None


def dns_label(text: str) -> str:
    """A DNS label out of any text, such as a folder's name; "app" where no letter or digit of it can stay."""
    label = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-")
    return label or "app"
