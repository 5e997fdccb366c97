"""A side effect that no cluster knows of: a row in a SQLite file. `register.py add NAME`, and `remove NAME`, its undo.

An undo may run twice, and after a crash for a hook that did nothing yet: so both say how it is to be, not what to change.
"""

import os
import sqlite3
import sys
from pathlib import Path

FILE = Path("deployments.db")

verb, name = sys.argv[1:]
if verb == "add":
    with sqlite3.connect(FILE) as rows:
        rows.execute("create table if not exists deployments (name text primary key, namespaces text)")
        rows.execute("insert or replace into deployments values (?, ?)", (name, os.environ.get("SKAFFOLD_NAMESPACES", "")))
    print(f"{FILE}: {name} is in it")
elif FILE.exists():
    with sqlite3.connect(FILE) as rows:
        rows.execute("create table if not exists deployments (name text primary key, namespaces text)")
        rows.execute("delete from deployments where name = ?", (name,))
        empty = not rows.execute("select count(*) from deployments").fetchone()[0]
    rows.close()
    if empty:
        FILE.unlink()
    print(f"{FILE}: {name} is not in it any more (its hook was {os.environ['KFOLD_HOOK']})")
