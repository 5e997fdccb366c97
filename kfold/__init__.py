"""kfold: the developer loop for Kubernetes as a doit task graph, every step compiled with its reverse.

A project's `dodo.py`:

    import kfold

    DOIT_CONFIG, task_kfold = kfold.project()
"""

from __future__ import annotations

from typing import Any

from kfold.version import VERSION as __version__

__all__ = ["__version__", "project"]


def project() -> Any:
    """doit's settings and the task creator of the project in the current folder: see `kfold.tasks.project`."""
    from kfold.tasks import project as make

    return make()
