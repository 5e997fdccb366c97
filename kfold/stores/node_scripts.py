"""What is run in a node: constant scripts for its shell, their arguments apart, and how `ctr`'s answers are read.

A `docker exec` takes 0.07 s whatever it does, so each script answers one whole question. `ctr` and `sh` are in kind's and
k3d's node images alike. The snapshotter is the one that the node's containerd is configured for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from kfold.stores.node_interface import Blob, Contents, Entry, User

MARK = "KFOLD_LOAD"
"""The environment variable that a load carries in a node."""

MACHINES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}
"""`uname -m` -> the architecture's name in images (Go's)."""

_HEAD = r"""
ctr() { command ctr --connect-timeout 5s --namespace k8s.io "$@"; }
snapshotter=$(sed -n "s/^ *snapshotter *= *[\"']\([^\"']*\)[\"'].*/\1/p" \
    /etc/containerd/config.toml /var/lib/rancher/k3s/agent/etc/containerd/config.toml 2>/dev/null | head -n 1)
: "${snapshotter:=overlayfs}"
"""

LOOK = (
    _HEAD
    + r"""
echo "@machine $(uname -m)"
echo @images
ctr images ls || exit
echo @snapshots
ctr snapshots --snapshotter "$snapshotter" ls || exit
for digest; do
    echo "@manifest $digest"
    ctr content get "$digest"
    echo
done
"""
)
"""Arguments: manifests to print."""

HOLDINGS = (
    LOOK
    + r"""
echo @content
ctr content ls || exit
echo @files
for root in /var/lib/containerd /var/lib/rancher/k3s/agent/containerd; do
    ls -ln "$root/io.containerd.content.v1.content/blobs/sha256" 2>/dev/null
done
exit 0
"""
)
"""What LOOK answers, and the layers. `ctr content ls` rounds sizes (`800MB`); the files tell them."""

IMPORT = (
    _HEAD
    + r"""
ctr images import --snapshotter "$snapshotter" - >/dev/null || exit
# The CRI names the image by its ID too, a moment later, and then marks the name: until then the list is not whole.
left=100
while images=$(ctr images ls) && [ $left -gt 0 ]; do
    unmarked=
    for name; do
        printf '%s\n' "$images" | grep -F "$name " | grep -q io.cri-containerd.image=managed || unmarked=yes
    done
    if [ -z "$unmarked" ]; then break; fi
    if [ $left = 100 ] && ! ctr plugins ls | grep -Eq '[[:space:]]cri[[:space:]].*[[:space:]]ok'; then break; fi
    left=$((left - 1))
    sleep 0.02
done
echo @images
printf '%s\n' "$images"
"""
)
"""Standard input: the archive. Arguments: the names that are to be there in the end."""

REMOVE = (
    _HEAD
    + r"""
ctr images rm --sync "$@" >/dev/null 2>/tmp/kfold-remove-$$ || true
cat /tmp/kfold-remove-$$ >&2
rm -f /tmp/kfold-remove-$$
echo @images
ctr images ls
"""
)
"""Arguments: names."""

KEEP = (
    _HEAD
    + r"""
ctr content label "$1" "containerd.io/gc.root=$2" >/dev/null
"""
)
"""Arguments: a digest, and a word, or nothing to let it go."""

SIZE = (
    _HEAD
    + r"""
ctr content get "$1" | wc -c
"""
)
"""Arguments: a digest."""

USERS = (
    _HEAD
    + r"""
echo @containers
ctr containers ls || exit
echo @tasks
ctr tasks ls
"""
)

END_LOAD = r"""
running() { grep -l "KFOLD_LOAD=$1" /proc/[0-9]*/environ 2>/dev/null; }
left=600
while [ -n "$(running "$1")" ]; do
    left=$((left - 1))
    if [ $left -le 0 ]; then exit 1; fi
    if [ $left -lt 20 ]; then
        for file in $(running "$1"); do
            process=${file#/proc/}
            kill -KILL "${process%/environ}" 2>/dev/null
        done
    fi
    sleep 0.1
done
"""
"""Arguments: the mark. What nobody feeds any more ends by itself, and only then ctr lets go of what it took; what hangs for
a minute is killed (containerd lets go of that after a day)."""


def sections(text: str) -> dict[str, list[str]]:
    """The parts of an answer: `@name`, then its lines."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("@"):
            lines = found.setdefault(line, [])
        else:
            lines.append(line)
    return found


def entries(lines: list[str]) -> dict[str, Entry]:
    """`ctr images ls`: REF TYPE DIGEST SIZE PLATFORMS LABELS."""
    rows = (line.split() for line in lines[1:])
    return {row[0]: Entry(row[2], row[1]) for row in rows if len(row) > 2}


def contents(text: str) -> Contents:
    """The answer to LOOK or HOLDINGS."""
    found = sections(text)
    machine = next((name.split()[1] for name in found if name.startswith("@machine ")), "")
    snapshots = (line.split() for line in found.get("@snapshots", [])[1:])
    names = entries(found.get("@images", []))
    configs = {entry.digest: name for name, entry in names.items() if name.startswith("sha256:")}
    for title, lines in found.items():
        if title.startswith("@manifest "):
            configs[title.split()[1]] = _config("\n".join(lines))
    return Contents(
        names=names,
        snapshots=frozenset(row[0] for row in snapshots if row and row[-1] == "Committed"),
        platform=f"linux/{MACHINES.get(machine, machine)}",
        configs=configs,
        blobs=_blobs(found) if "@content" in found else None,
    )


def _config(manifest: str) -> str:
    try:
        return str(json.loads(manifest)["config"]["digest"])
    except (ValueError, KeyError, TypeError):
        return ""  # an index, or nothing that is there


def _blobs(found: Mapping[str, list[str]]) -> dict[str, Blob]:
    """Uncompressed digest of a layer -> the blob that the node has of it."""
    sizes = {f"sha256:{row[-1]}": int(row[4]) for row in (line.split() for line in found.get("@files", ())) if len(row) > 8}
    layers: dict[str, Blob] = {}
    for line in found.get("@content", [])[1:]:
        digest, _, labels = line.partition("\t")
        for label in labels.rpartition("\t")[2].split(","):
            name, _, uncompressed = label.partition("=")
            if name == "containerd.io/uncompressed" and digest in sizes:
                layers[uncompressed] = Blob(digest, sizes[digest], digest != uncompressed)
    return layers


def users(text: str) -> list[User]:
    """The answer to USERS: CONTAINER IMAGE RUNTIME, and TASK PID STATUS."""
    found = sections(text)
    running: Mapping[str, str] = {
        row[0]: row[-1] for row in (line.split() for line in found.get("@tasks", [])[1:]) if len(row) == 3
    }
    rows = (line.split() for line in found.get("@containers", [])[1:])
    return [User(row[0], row[1], running.get(row[0]) in ("RUNNING", "PAUSED", "CREATED")) for row in rows if len(row) == 3]
