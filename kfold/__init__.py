"""kfold: the developer loop for Kubernetes as a doit task graph, every step compiled with its reverse.

A project's `dodo.py`:

    import kfold

    DOIT_CONFIG, task_kfold = kfold.project()
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["project"]


def project() -> Any:
    """doit's settings and the task creator of the project in the current folder: see `kfold.tasks.project`."""
    from kfold.tasks import project as make

    return make()
