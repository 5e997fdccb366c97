"""Files of Debian packages of any release, without installing anything: apt with lists, sources and a cache of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Unavailable(Exception):
    """The packages cannot be had here: the text says why."""


def unpacked(release: str, packages: list[str], target: Path) -> Path:
    """The folder `target` with all files of these packages of `release` (bookworm, trixie, sid).

    An unpacked folder is used again (it is moved to its place when it is whole). Raises Unavailable.
    """
    if target.is_dir():
        return target
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise Unavailable("this is no Debian: there is no apt-get")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        work = Path(name)
        for folder in ("lists/partial", "cache/archives/partial", "packages"):
            (work / folder).mkdir(parents=True)
        indexes = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Label: Debian"]
        mirrors = _run(["apt-get", *indexes]).split()
        if not mirrors:
            raise Unavailable("apt knows no Debian mirror")
        (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirrors[0]} {release} main\n")
        options = {
            "Dir::Etc::SourceList": work / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": work / "lists",
            "Dir::Cache": work / "cache",
            "APT::Sandbox::User": "root",
        }
        apt = ["apt-get", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
        _run([*apt, "update"])
        _run([*apt, "download", *packages], folder=work / "packages")
        for package in sorted((work / "packages").glob("*.deb")):
            _run(["dpkg", "-x", str(package), str(work / "files")])
        try:
            (work / "files").rename(target)
        except OSError:
            # somebody else was quicker
            if not target.is_dir():
                raise
    return target


def _run(command: list[str], folder: Path | None = None) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise Unavailable(f"{command[0]} {command[-1]} failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return done.stdout
