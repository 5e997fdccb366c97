"""A SQLite file that hooks write into: the side effect that no store of kfold's can see."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

from tests.engine import Project
from tests.images.conftest import corner, shop
from tests.scenarios.application import api, application, applications, place

__all__ = ["api", "application", "applications", "corner", "place", "shop"]

ROW = """\
import os, sqlite3, sys, time

verb, name, *more = sys.argv[1:]
told = os.environ.get("KFOLD_HOOK", "")
with open("told.txt", "a") as file:
    file.write(" ".join(["undo" if verb == "remove" else "run", name, told]).strip() + "\\n")
rows = sqlite3.connect("rows.db", timeout=30)
with rows:
    if verb == "add":
        rows.execute("insert or ignore into rows values (?)", (name,))
    else:
        rows.execute("delete from rows where name = ?", (name,))
rows.close()
if "fail" in more:
    sys.exit(3)
if "hang" in more:
    print("hanging", os.getpid(), flush=True)
    time.sleep(600)
"""


class Rows:
    """The file `rows.db` of a project, with a row of somebody else's; hooks that add and remove rows of theirs."""

    def __init__(self, project: Project) -> None:
        self.folder = project.folder
        project.write("row.py", ROW)
        rows = sqlite3.connect(self.folder / "rows.db")
        with rows:
            rows.execute("create table rows (name text primary key)")
            rows.execute("insert into rows values ('mine')")
        rows.close()
        self.before = self.dump()

    def dump(self) -> str:
        """All that the file says."""
        rows = sqlite3.connect(self.folder / "rows.db")
        try:
            return "\n".join(rows.iterdump())
        finally:
            rows.close()

    def names(self) -> list[str]:
        rows = sqlite3.connect(self.folder / "rows.db")
        try:
            return sorted(name for (name,) in rows.execute("select name from rows"))
        finally:
            rows.close()

    def told(self) -> list[str]:
        """What hooks and undos ran since this was asked last: "run NAME", "undo NAME done"."""
        file = self.folder / "told.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    @staticmethod
    def hook(name: str, *more: str) -> dict[str, Any]:
        program = [sys.executable, "row.py"]
        return {"command": [*program, "add", name, *more], "undo": [*program, "remove", name]}


def lines(folder: Path, name: str) -> list[str]:
    """The lines of a file of the project, none where it is not there."""
    file = folder / name
    return file.read_text().splitlines() if file.exists() else []
