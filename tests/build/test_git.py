"""What git says, asked of real repositories."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from kfold.stores.git import Git, repository


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, two artifacts and a tag; the user's own git settings are left out."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    folder = tmp_path / "work"
    for name in ("web", "web-api"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("1")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "v1")
    return folder


def test_all_variants(work: Path) -> None:
    commit = git(work, "rev-parse", "HEAD")
    tree = git(work, "rev-parse", "HEAD:web/")
    assert Git().ref(work / "web", "Tags").ref == "v1"
    assert Git().ref(work / "web", "CommitSha").ref == commit
    assert Git().ref(work / "web", "AbbrevCommitSha").ref == commit[:7]
    assert Git().ref(work / "web", "TreeSha").ref == tree
    assert Git().ref(work / "web", "AbbrevTreeSha").ref == tree[:7]
    assert Git().ref(work, "TreeSha").ref == git(work, "rev-parse", "HEAD:")
    assert Git().ref(work / "web", "Branches").ref == "main"
    git(work, "checkout", "-q", "--detach")
    assert Git().ref(work / "web", "Branches").ref == commit[:7]
    (work / "web" / "file").write_text("2")
    git(work, "commit", "-qam", "two")
    assert Git().ref(work, "Tags").ref.startswith("v1-1-g")


@pytest.mark.parametrize("change", ["edited", "new", "deleted", "staged", "renamed"])
def test_dirty_is_what_lies_below_the_folder(change: str, work: Path) -> None:
    assert not Git().ref(work / "web", "Tags").dirty
    file = work / "web" / "file"
    match change:
        case "edited":
            file.write_text("2")
        case "new":
            (work / "web" / 'n\u00e9w "file"').touch()
        case "deleted":
            file.unlink()
        case "staged":
            file.write_text("2")
            git(work, "add", ".")
        case "renamed":
            git(work, "mv", "web/file", "web-api/moved")
    assert Git().ref(work / "web", "Tags").dirty
    assert Git().ref(work, "Tags").dirty
    assert Git().ref(work / "web-api", "Tags").dirty is (change == "renamed")
    assert not Git().ref(work / "web", "Tags", ignore_changes=True).dirty


def test_a_wholly_new_directory_above_the_folder_counts(work: Path) -> None:
    (work / "new" / "deep").mkdir(parents=True)
    (work / "new" / "deep" / "file").touch()
    assert Git().ref(work / "new" / "deep", "Tags").dirty
    assert not Git().ref(work / "web", "Tags").dirty
    missing = Git().ref(work / "new" / "deep", "TreeSha")
    assert not missing.ref and missing.reason


def test_ignored_files_do_not_count(work: Path) -> None:
    (work / ".gitignore").write_text("*.log\n")
    git(work, "add", ".")
    git(work, "commit", "-qm", "ignore")
    (work / "web" / "a.log").touch()
    assert not Git().ref(work / "web", "Tags").dirty


def test_no_repository_and_no_commit(tmp_path: Path, work: Path) -> None:
    outside = Git().ref(tmp_path, "Tags")
    assert (outside.ref, outside.dirty) == ("", False)
    assert "not in a git repository" in outside.reason
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    for variant in ("Tags", "CommitSha", "AbbrevCommitSha", "TreeSha"):
        found = Git().ref(empty, variant)
        assert not found.ref and "no commit yet" in found.reason, variant


def test_linked_work_trees_and_submodules(work: Path, tmp_path: Path) -> None:
    git(work, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "other")
    assert Git().ref(tmp_path / "linked" / "web", "Branches").ref == "other"
    git(work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "linked"), "sub")
    assert repository(work / "sub" / "web") == work / "sub"
    assert not Git().ref(work / "sub" / "web", "CommitSha").dirty


def test_a_folder_reached_through_a_link(work: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(work / "web")
    assert Git().ref(tmp_path / "link", "Tags").ref == "v1"


def test_without_git(work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = Git().ref(work, "Tags")
    assert (found.ref, found.reason) == ("", "git is not installed")


def test_the_variables_of_a_hook_do_not_lead_astray(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    shutil.copytree(work, other)
    git(other, "tag", "-d", "v1")
    git(other, "tag", "other")
    for name, value in {"DIR": other / ".git", "WORK_TREE": other, "INDEX_FILE": other / ".git" / "index"}.items():
        monkeypatch.setenv(f"GIT_{name}", str(value))
    monkeypatch.setenv("GIT_PREFIX", "web/")
    assert Git().ref(work / "web", "Tags") == Git().ref(work, "Tags")
    assert Git().ref(work, "Tags").ref == "v1"


def test_asking_writes_nothing_and_happens_once(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another time than the index holds: `git status` would note the new one.
    os.utime(work / "web" / "file", (1_000_000_000, 1_000_000_000))
    os.utime(work / "web-api" / "file", (1_000_000_000, 1_000_000_000))
    before = (work / ".git" / "index").read_bytes()
    folder = tmp_path / "bin"
    folder.mkdir()
    real = shutil.which("git")
    (folder / "git").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/log\nexec {real} "$@"\n')
    (folder / "git").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    asked = Git()
    for _ in range(3):
        for name in ("web", "web-api"):
            assert asked.ref(work / name, "Tags").ref == "v1"
    assert (tmp_path / "log").read_text().splitlines() == ["describe --tags --always", "status --porcelain -z"]
    assert (work / ".git" / "index").read_bytes() == before
