"""Whose machine this is: what ran on one can be taken back on that one only, and only on that user's own word.

A command that is kept where others may write (the cluster) must not run here because somebody put it there. So it is signed
with a key that never leaves this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kfold.errors import KfoldError
from kfold.stores.settings import own_file

KEY_FILE = "host.key"
_KEY_BYTES = 32


@dataclass(frozen=True)
class Host:
    """`id` tells users of machines apart (it is made of the key, and says nothing of it); `name` is for people."""

    id: str
    name: str
    key: bytes = field(repr=False)

    def sign(self, text: str) -> str:
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()

    def signed(self, text: str, signature: str) -> bool:
        """Whether this user signed that text on this machine."""
        return hmac.compare_digest(self.sign(text).encode(), signature.encode())


def this_host(environment: Mapping[str, str]) -> Host:
    """This user on this machine. The key lies beside kfold's settings, for the user alone; it is made when first asked for.

    Raises KfoldError where it cannot be read or made.
    """
    file = own_file(environment).with_name(KEY_FILE)
    try:
        key = _read(file) or _make(file)
    except OSError as error:
        raise KfoldError(f"the key {file}, with which hooks are signed, cannot be read or made: {error.strerror}") from error
    return Host(hashlib.sha256(b"kfold " + key).hexdigest()[:16], os.uname().nodename, key)


def _read(file: Path) -> bytes:
    try:
        key = file.read_bytes()
    except FileNotFoundError:
        return b""
    if len(key) != _KEY_BYTES:
        raise KfoldError(f"{file} is no key of kfold's", hint="Remove it; what it signed is then taken back by hand.")
    return key


def _make(file: Path) -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{KEY_FILE}-{os.getpid()}-{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as made:
            made.write(secrets.token_bytes(_KEY_BYTES))
        try:
            os.link(temporary, file)  # whole, and never over that of another run
        except FileExistsError:
            pass
    finally:
        temporary.unlink()
    return _read(file)
