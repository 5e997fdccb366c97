"""A program that stands for `minikube`: it answers what was recorded and writes down its command lines."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAM = """\
#!{python}
import json, os, sys
folder = {folder!r}
words = sys.argv[1:]
line = " ".join(words)
with open(folder + "/calls", "a") as calls:
    calls.write(line + "\\n")
answers = json.load(open(folder + "/answers.json"))
images = folder + "/images"
if line not in answers and words[:1] == ["image"] and os.path.exists(images):
    held = open(images).read().split()
    whole = lambda name: name if name.startswith("docker.io/") else "docker.io/library/" + name
    if words[1] == "load":
        held.append(whole(words[3]))
    elif words[1] == "rm" and not os.path.exists(folder + "/in-use"):
        held.remove(whole(words[2]))
    open(images, "w").write("\\n".join(held))
    answers[line] = [0, "\\n".join(held) if words[1] == "ls" else "", ""]
code, out, err = answers.get(line) or (99, "", "the double knows no `minikube " + line + "`")
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


@dataclass(frozen=True)
class Double:
    """`folder` holds the program, its answers and the list of its calls."""

    folder: Path

    def answers(self, line: str, out: str = "", *, code: int = 0, err: str = "") -> Double:
        """What `minikube LINE` does from now on."""
        file = self.folder / "answers.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**known, line: [code, out, err]}))
        return self

    @property
    def images(self) -> list[str]:
        """What its nodes hold."""
        return (self.folder / "images").read_text().split()

    def holds(self, *images: str) -> Double:
        """From now on it has nodes: `image load`, `rm` and `ls` work on what they hold, which is this at first."""
        (self.folder / "images").write_text("\n".join(images))
        return self

    @property
    def calls(self) -> list[str]:
        """The command lines so far, without the program's name."""
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def path(self, path: str) -> str:
        """A PATH on which this is the `minikube`."""
        return f"{self.folder}{os.pathsep}{path}"


def minikube(folder: Path) -> Double:
    """A double that knows nothing yet."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "minikube"
    program.write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o755)
    return Double(folder).answers("")
