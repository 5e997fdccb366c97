"""Runs the examples: `doit example:getting-started` is `doit dev` in that folder. Copy an example's own dodo.py."""

import signal
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent / "examples"

DOIT_CONFIG = {"default_tasks": ["example:getting-started"], "verbosity": 2}


def dev(folder):
    """Run `doit dev` in an example's folder. Ctrl+C reaches it from the terminal; this waits for its cleanup."""
    # What is ignored when a child starts stays ignored in it, so it starts before that.
    child = subprocess.Popen([sys.executable, "-m", "doit", "dev"], cwd=folder)
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return child.wait() == 0
    finally:
        signal.signal(signal.SIGINT, previous)


def task_example():
    """doit dev in an example"""
    for folder in sorted(path.parent for path in EXAMPLES.glob("*/kfold.yaml")):
        yield {
            "name": folder.name,
            "doc": f"doit dev in examples/{folder.name}",
            "actions": [(dev, [folder])],
            "uptodate": [False],
        }
