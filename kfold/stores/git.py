"""What git says about a folder. One question a repository and kind, however many artifacts live in it."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from kfold.config.model import GitVariant
from kfold.plan.tags import GitRef

DEADLINE = 30.0
"""Seconds that git may take for one answer."""

_QUESTIONS: dict[GitVariant, tuple[str, ...]] = {
    "Tags": ("describe", "--tags", "--always"),
    "CommitSha": ("rev-list", "-1", "HEAD"),
    "AbbrevCommitSha": ("rev-list", "-1", "HEAD", "--abbrev-commit"),
    "TreeSha": ("rev-parse", "--verify"),
    "AbbrevTreeSha": ("rev-parse", "--verify", "--short"),
    "Branches": ("branch", "--show-current"),
}

# What a hook of git exports would answer for another repository than the one asked about (`git rev-parse
# --local-env-vars`). GIT_CONFIG_* stays: CI passes safe.directory that way.
_OF_A_HOOK = frozenset(
    f"GIT_{name}"
    for name in (
        *("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES", "COMMON_DIR", "PREFIX"),
        *("NAMESPACE", "GRAFT_FILE", "SHALLOW_FILE", "IMPLICIT_WORK_TREE", "NO_REPLACE_OBJECTS", "REPLACE_REF_BASE"),
        *("INTERNAL_SUPER_PREFIX", "QUARANTINE_PATH", "CEILING_DIRECTORIES"),
    )
)


@dataclass(frozen=True)
class _Answer:
    text: str = ""
    reason: str = ""


class Git:
    """Asks git, and remembers the answers as long as it lives (one run). May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[tuple[Path, tuple[str, ...]], _Answer] = {}

    def ref(self, folder: Path, variant: GitVariant, ignore_changes: bool = False) -> GitRef:
        """The name of the commit (or tree) that `folder` is at; never an error, but a reason for no answer.

        The status, which reads the whole work tree, is asked only unless `ignore_changes`.
        """
        folder = folder.resolve()
        root = repository(folder)
        if root is None:
            return GitRef(reason=f"{str(folder)!r} is not in a git repository")
        prefix = folder.relative_to(root).as_posix()
        prefix = "" if prefix == "." else f"{prefix}/"
        answer = self._named(root, variant, prefix)
        if not answer.text:
            return GitRef(reason=answer.reason or f"git names no {variant} for {str(folder)!r}")
        if ignore_changes:
            return GitRef(answer.text)
        status = self._ask(root, ("status", "--porcelain", "-z"))
        if status.reason:
            return GitRef(reason=status.reason)
        return GitRef(answer.text, dirty=_touches(status.text, prefix))

    def _named(self, root: Path, variant: GitVariant, prefix: str) -> _Answer:
        question = _QUESTIONS[variant]
        if variant in ("TreeSha", "AbbrevTreeSha"):
            return self._ask(root, (*question, f"HEAD:{prefix}"))
        answer = self._ask(root, question)
        if variant == "Branches" and not answer.text:
            # A detached HEAD has no branch.
            return self._ask(root, _QUESTIONS["AbbrevCommitSha"])
        return answer

    def _ask(self, root: Path, question: tuple[str, ...]) -> _Answer:
        with self._lock:
            known = self._answers.get((root, question))
            if known is None:
                known = self._answers[root, question] = _run(root, question)
            return known


def repository(folder: Path) -> Path | None:
    """The top of the work tree that `folder` is in (a linked work tree and a submodule have a `.git` file)."""
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)


def _run(root: Path, question: tuple[str, ...]) -> _Answer:
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    # Without the optional lock `status` does not rewrite the index: asking changes nothing.
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        result = subprocess.run(
            ["git", *question],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
    except FileNotFoundError:
        return _Answer(reason="git is not installed")
    except OSError as error:
        return _Answer(reason=f"git cannot be started: {error.strerror}")
    except subprocess.TimeoutExpired:
        return _Answer(reason=f"`git {question[0]}` did not answer within {DEADLINE:.0f} s")
    if result.returncode:
        lines = os.fsdecode(result.stderr).strip().splitlines()
        return _Answer(reason=_why(lines, question, result.returncode))
    text = os.fsdecode(result.stdout)
    return _Answer(text if "-z" in question else text.strip())


def _why(lines: list[str], question: tuple[str, ...], code: int) -> str:
    said = lines[0].removeprefix("fatal: ") if lines else f"`git {question[0]}` failed with exit code {code}"
    if any(sign in said for sign in ("valid object name", "unknown revision", "ambiguous argument", "single revision")):
        return f"there is no commit yet, or none with this folder (git: {said})"
    return said


def _touches(status: str, prefix: str) -> bool:
    """Whether `status --porcelain -z` names anything below `prefix` ("" or with a slash at its end)."""
    fields = iter(status.split("\0"))
    for entry in fields:
        if not entry:
            continue
        paths = [entry[3:]]
        if entry[0] in "RC" or entry[1] in "RC":
            paths.append(next(fields, ""))
        # A wholly untracked directory is named once, with a slash: it may lie above the folder.
        if any(path.startswith(prefix) or (path.endswith("/") and prefix.startswith(path)) for path in paths):
            return True
    return False
