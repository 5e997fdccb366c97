"""Platforms of images, `os/arch[/variant]`, in one spelling (containerd/platforms: Parse and Normalize)."""

from __future__ import annotations

import re
from collections.abc import Mapping

SYSTEMS = ("linux", "windows", "freebsd", "darwin")
ARCHITECTURES = (
    "amd64", "arm64", "arm", "386", "loong64", "mips", "mipsle", "mips64", "mips64le", "ppc64", "ppc64le", "riscv64",
    "s390x", "wasm",
)  # fmt: skip
_ALIASES: Mapping[str, str] = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "i386": "386",
    "i686": "386",
    "aarch64": "arm64",
    "armhf": "arm/v7",
    "armv7l": "arm/v7",
    "armel": "arm/v6",
    "armv6l": "arm/v6",
}
_PLAIN: Mapping[tuple[str, str], str] = {
    ("amd64", "v1"): "", ("arm64", "v8"): "", ("arm64", "8"): "",
    ("arm", ""): "v7", ("arm", "5"): "v5", ("arm", "6"): "v6", ("arm", "7"): "v7", ("arm", "8"): "v8",
}  # fmt: skip
"""(architecture, variant) -> how that variant is written here."""
_VARIANT = re.compile(r"[a-z0-9][a-z0-9._-]*")


class NoPlatform(ValueError):
    """The text names no platform. `hint`: what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def parse(text: str) -> str:
    """A platform in its one spelling; a system alone stays alone (`complete` gives it an architecture). Raises NoPlatform.

    >>> [parse(text) for text in ("linux/aarch64", "Linux/ARM", "arm64/v8", "linux/amd64/v1", "windows")]
    ['linux/arm64', 'linux/arm/v7', 'linux/arm64', 'linux/amd64', 'windows']
    """
    written = text.strip().lower()
    if written == "all":
        # in Skaffold's own builders of Go and Java: whatever the base image has. A Dockerfile is built for named ones
        raise NoPlatform("`all` names no platform", "Name each of them, such as linux/amd64 and linux/arm64.")
    if written in SYSTEMS:
        return written
    first, _, rest = written.partition("/")
    system, rest = (first, rest) if first in SYSTEMS else ("linux", written)
    architecture, _, variant = rest.partition("/")
    architecture, _, own = _ALIASES.get(architecture, architecture).partition("/")
    variant = _PLAIN.get((architecture, variant or own), variant or own)
    if architecture not in ARCHITECTURES or (variant and not _VARIANT.fullmatch(variant)) or rest.endswith("/"):
        from difflib import get_close_matches  # for mistakes only

        close = get_close_matches(architecture, [*ARCHITECTURES, *_ALIASES], n=1)
        guess = f"Did you mean `{system}/{close[0]}`?" if close and close[0] != architecture else ""
        raise NoPlatform(f"`{text}` is no platform", guess or "Write os/arch or os/arch/variant, such as linux/arm64.")
    return f"{system}/{architecture}{f'/{variant}' if variant else ''}"


def complete(platform: str, host: str) -> str:
    """A system alone means that of this machine's architecture. `host`: this machine's platform.

    >>> complete("linux", "linux/arm64"), complete("linux/amd64", "linux/arm64")
    ('linux/arm64', 'linux/amd64')
    """
    return platform if "/" in platform else f"{platform}/{host.partition('/')[2]}"
