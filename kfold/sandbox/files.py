"""Where a sandbox keeps its state, and the secrets in it: certificate, token, kubeconfig."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from kfold.errors import KfoldError

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?\Z")
CERTIFICATE_DAYS = 3650


@dataclass(frozen=True)
class StateFiles:
    """The files of one sandbox, all in one folder (0700)."""

    folder: Path

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"

    @property
    def token(self) -> Path:
        return self.folder / "token"

    @property
    def process(self) -> Path:
        """JSON with the server's pid and port while one runs."""
        return self.folder / "server.pid"

    @property
    def lock(self) -> Path:
        """Held by the server as long as it lives: tells a running server from a file that a dead one left."""
        return self.folder / "lock"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def mark(self) -> Path:
        """What whoever made this sandbox wants to know it by; absent where nothing was said."""
        return self.folder / "mark"

    @property
    def objects(self) -> Path:
        return self.folder / "objects.db"


def home() -> Path:
    """The folder of all sandboxes: $KFOLD_SANDBOX_HOME, or the user's state folder."""
    return own_home() or Path(platformdirs.user_state_dir("kfold")) / "sandbox"


def state_files(name: str) -> StateFiles:
    """Raises KfoldError for a name that cannot be part of container and network names."""
    if not _NAME.match(name):
        hint = "up to 40 lowercase letters, digits and '-', beginning and ending with a letter or a digit"
        raise KfoldError(f"{name!r} is no name for a sandbox", hint=hint)
    return StateFiles(home() / name)


def engine_name(name: str, home: Path | None = None) -> str:
    """What a sandbox is called on the engine: its label's value, and a part of its networks' and images' names.

    One engine may serve sandboxes of several homes (`home`: $KFOLD_SANDBOX_HOME, if that is set), and "default" of one
    must not clean up after "default" of another.
    """
    if home is None:
        return name
    return f"{name}-{hashlib.sha256(os.fspath(home.absolute()).encode()).hexdigest()[:8]}"


def own_home() -> Path | None:
    """$KFOLD_SANDBOX_HOME, if it is set."""
    given = os.environ.get("KFOLD_SANDBOX_HOME")
    return Path(given) if given else None


def context_name(name: str) -> str:
    """The kubeconfig context of a sandbox."""
    return "kfold-sandbox" if name == "default" else f"kfold-sandbox-{name}"


def write_private(path: Path, text: str | bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    data = text.encode() if isinstance(text, str) else text
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def prepare(files: StateFiles) -> str:
    """Make the folder, the certificate and the token where they are not there yet; returns the token."""
    files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.folder.chmod(0o700)
    if not (files.certificate.exists() and files.key.exists()):
        certificate, key = make_certificate()
        write_private(files.key, key)
        write_private(files.certificate, certificate)
    if not files.token.exists():
        write_private(files.token, secrets.token_urlsafe(32))
    return files.token.read_text().strip()


def make_certificate() -> tuple[bytes, bytes]:
    """A self-signed certificate for loopback and its key, as PEM. EC P-256, made in a millisecond."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kfold-sandbox")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])
    # Python 3.13 and Go both refuse a CA without key usage and key identifiers
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
        .add_extension(addresses, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), secret


def write_kubeconfig(files: StateFiles, name: str, port: int, token: str) -> None:
    """A kubeconfig with one context. JSON, which is YAML: nothing has to be imported to write it."""
    context = context_name(name)
    authority = base64.b64encode(files.certificate.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": context,
                "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority},
            }
        ],
        "users": [{"name": context, "user": {"token": token}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context, "namespace": "default"}}],
        "current-context": context,
    }
    write_private(files.kubeconfig, json.dumps(config, indent=2) + "\n")
