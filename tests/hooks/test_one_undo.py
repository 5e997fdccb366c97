"""One hook, one undo: checkouts, copies of folders and machines that know of the same hook, on the fake cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kfold.config.model import ContainerHook, Hook
from kfold.errors import KfoldError
from kfold.ledger import Effect
from kfold.plan import applyset as names
from kfold.stores.cluster_interface import ClusterError
from kfold.stores.fake_cluster import FakeCluster
from kfold.stores.host import this_host
from kfold.verbs import applyset, hook_claim, hook_copy
from kfold.verbs.build_hooks import undo_build_hooks
from kfold.verbs.hook_effects import HOST, Occasion
from kfold.verbs.hook_undo import Undoing
from kfold.verbs.hooks import run_hooks
from kfold.verbs.recall import recall
from kfold.verbs.report import CleanupReport
from tests.engine import wait_until
from tests.hooks.checkout import PARENT, Checkout, hook

Make = Callable[..., Checkout]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Make]:
    made = []

    def make(name: str, user: str = "me", **options: Any) -> Checkout:
        made.append(Checkout(tmp_path / name, tmp_path / user, **options))
        return made[-1]

    yield make
    for one in made:
        one.world.ledger.close()


def parent_of(one: Checkout) -> dict[str, str] | None:
    found = one.cluster.get(PARENT)
    return dict(found.get("data") or {}) if found else None


@pytest.mark.parametrize("first", ["one", "copy"])
def test_in_a_copied_folder(checkout: Make, first: str) -> None:
    one = checkout("one")
    one.runs(hook("a"), hook("b"))
    one.world.ledger.close()
    shutil.copytree(one.folder, one.folder.with_name("copy"))
    for name in (first, "copy" if first == "one" else "one"):
        assert checkout(name).delete() == ""
    assert checkout("one").undone() == ["b done", "a done"] and checkout("copy").undone() == []
    assert parent_of(checkout("one")) is None
    assert not (one.folder / ".kfold").exists() and not (one.folder.with_name("copy") / ".kfold").exists()


def test_a_clock_that_was_set_back_does_not_turn_the_order(checkout: Make) -> None:
    """Also of hooks that are known by their copies alone."""
    one = checkout("one")
    for name, back in (("a", 0), ("b", 7200), ("c", 3600)):
        one.world.ledger._clock = lambda back=back: time.time() - back
        one.runs(hook(name))
    one.world.ledger.close()
    shutil.rmtree(one.folder / ".kfold")
    shutil.rmtree(one.user / "ledgers")
    again = checkout("one")
    assert again.delete() == "" and again.undone() == ["c done", "b done", "a done"]


def test_in_a_moved_folder_with_a_new_clone_in_its_place(checkout: Make) -> None:
    """The moved one is the old one, and what it made is taken back there; whether the clone was used before or not."""
    for used in (False, True):
        one = checkout("one")
        one.runs(hook("a"))
        one.world.ledger.close()
        moved = one.folder.rename(one.folder.with_name("moved"))
        if used:
            again = checkout("moved")
            again.runs(hook("b"))
            again.world.ledger.close()
        clone = checkout("one")
        clone.runs(hook("c"))
        clone.world.ledger.close()
        assert checkout("moved").delete() == "" and checkout("one").delete() == ""
        assert "a done" in checkout("moved").undone() and "c done" in checkout("one").undone()
        undone = [*checkout("moved").undone(), *checkout("one").undone()]
        assert sorted(undone) == ["a done", *(["b done"] if used else []), "c done"], undone
        assert parent_of(clone) is None
        shutil.rmtree(moved), shutil.rmtree(one.folder)


def test_two_deletes_at_the_same_moment(checkout: Make, tmp_path: Path) -> None:
    """Whoever claims a hook first runs its undo; the other one says that it is under way, and finds it done later."""
    one, two = checkout("one"), checkout("two")
    os.mkfifo(tmp_path / "go")
    one.runs(hook("a", f"cat {tmp_path / 'go'}; echo a >> undone"))
    one.world.ledger.close()
    assert two.world.ledger.records() == []
    problems: list[str] = []
    first = threading.Thread(target=lambda: problems.append(checkout("one").delete()))
    first.start()
    wait_until(lambda: any(key.startswith(applyset.CLAIM) for key in parent_of(two) or {}), "a claim")
    said = two.delete()
    assert f"a run in {one.folder} on" in said and "right now" in said, said
    (tmp_path / "go").write_text("")
    first.join(30)
    assert problems == [""] and checkout("two").delete() == ""
    assert one.undone() == ["a"] and parent_of(one) is None


def test_of_two_claims_one_wins(checkout: Make) -> None:
    """Both looked before either wrote. A claim of a run that was killed is none."""
    one, two = checkout("one"), checkout("two")
    one.runs(hook("a"))
    (record,) = one.hooks()
    seen = [hook_copy.find(each.world, each.cluster, record) for each in (one, two)]
    assert seen[0] and seen[1] and seen[0].claim(record)
    with pytest.raises(KfoldError, match="takes it back right now"):
        seen[1].claim(record)
    one.world.ledger.close()  # without having done it
    later = hook_copy.find(two.world, two.cluster, record)
    assert later and later.claim(record), "nobody holds that project's lock"


def test_a_later_run_in_the_project_of_a_killed_one_holds_no_claim(checkout: Make) -> None:
    """Its lock is held, but not by the run that made the claim."""
    one, two = checkout("one"), checkout("two")
    one.runs(hook("a"))
    (record,) = one.hooks()
    claimed = hook_copy.find(one.world, one.cluster, record)
    assert claimed and claimed.claim(record)
    later, second = one.again(), hook_copy.find(two.world, two.cluster, record)
    later.world.ledger.claim()
    assert second and second.claim(record)
    later.world.ledger.close()


def test_the_claim_of_a_run_on_another_machine(checkout: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever it holds up is told whose it is, when it lapses, and what ends it now."""
    one = checkout("one")
    for stale in (hook_claim.STALE, 0.0):
        other = checkout("two", "somebody-else")
        one.runs(hook("a"))
        (record,) = one.hooks()
        theirs = hook_copy.find(other.world, other.cluster, record)
        assert theirs and theirs.claim(record)
        other.world.ledger.close()
        with monkeypatch.context() as patch:
            patch.setattr(hook_claim, "STALE", stale)
            if stale:
                with pytest.raises(KfoldError) as refused:
                    one.runs(hook("a"))
                said = one.delete()
                until = r"since \d\d:\d\d:\d\d.* lapses at \d\d:\d\d:\d\d; `doit delete --forget-hooks`"
                for text in (refused.value.message, said):
                    assert f"a run in {other.folder} on" in text and re.search(until, text), text
                assert one.undone() == []
            assert one.again().delete(forget_hooks=bool(stale)) == ""
        assert one.undone() == ["a done"] and parent_of(one) is None
        (one.folder / "undone").unlink()
        one = one.again()


def test_a_key_that_was_copied_to_another_machine(checkout: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its runs hold no lock here, and their claims hold all the same."""
    one, two = checkout("one"), checkout("two")
    one.runs(hook("a"))
    (record,) = one.hooks()
    with monkeypatch.context() as patch:
        patch.setattr(os, "uname", lambda: SimpleNamespace(nodename="another"))
        theirs = hook_copy.find(two.world, two.cluster, record)
        assert theirs and theirs.claim(record)
        two.world.ledger.close()
    assert f"a run in {two.folder} on another takes it back right now, since" in one.delete()


@pytest.mark.parametrize("how", ["taken back", "and another parent is there", "the parent alone was deleted"])
def test_a_hook_in_a_container_that_outlives_the_set(checkout: Make, how: str) -> None:
    """Another machine takes it back, and has no way to leave word: the parent that went with all of the set says so. Where
    that alone went, nobody took anything back."""
    one, two = checkout("one"), checkout("two", "somebody-else")
    status = {"phase": "Running", "containerStatuses": [{"name": "app", "state": {"running": {}}}]}
    meta = {"name": "db", "namespace": "default"}
    one.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": status})
    one.cluster.set_answer("default", "db", "app", ["up"], [])
    one.cluster.set_answer("default", "db", "app", ["env", "KFOLD_HOOK=done", "down"], ["it goes down"])
    one.runs(ContainerHook(("up",), ("down",), "db"))
    (known,) = one.world.ledger.records("cluster", "set")
    it = one.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "labels": {
        names.PART_OF: known.effect.details["set"]}}})  # fmt: skip
    details = {**one.address, "set": known.effect.details["set"], "hash": "", "fields": it.manager_hash}
    effect = Effect("cluster", "object", known.effect.place, "v1|ConfigMap|default|db", "shop", details=details)
    one.world.ledger.done(one.world.ledger.intend(effect), it.uid)
    one.world.ledger.close()
    if how == "the parent alone was deleted":
        _delete_parent(one)
    else:
        parent = applyset.find(two.cluster, "shop", "default")
        assert parent
        two.world.ledger.claim()
        applyset.put(two.world, two.cluster, replace(parent, kinds=frozenset({("", "ConfigMap")})), two.address, {})
        assert two.delete() == "" and two.said.count("it goes down") == 1, two.said
        assert parent_of(one) is None and one.cluster.get(it.ref) is None
        if "another" in how:
            checkout("two", "somebody-else").runs(hook("b"))
    one = one.again()
    problems = one.delete()
    assert ('"sh -c echo b >> made" is not taken back: it ran on' in problems) if "another" in how else problems == ""
    assert problems.count("the post-deploy hook") == ("another" in how) and one.cluster.get(it.ref) is None
    assert one.said.count("it goes down") == (how == "the parent alone was deleted"), one.said
    assert not (one.folder / ".kfold").exists() or "another" in how
    one.world.ledger.close()


def test_what_became_of_a_found_hook(checkout: Make) -> None:
    """A run that was going on when another checkout learned of its hook came to its end since."""
    one, two = checkout("one"), checkout("two")
    one.runs(hook("a"))
    (record,) = one.hooks()
    copy = hook_copy.find(one.world, one.cluster, record)
    assert copy
    copy.keep(one.world.ledger.done(record, "", hook="intended"))
    copy.write()
    one.world.ledger.close()
    (one.folder).rename(away := one.folder.with_name("away"))
    assert "is not there on this machine any more" in two.delete()
    assert [found.state for found in checkout("two").hooks()] == ["intended"]
    away.rename(one.folder)
    one = checkout("one")
    copy = hook_copy.find(one.world, one.cluster, record)
    assert copy
    copy.keep(one.world.ledger.done(record, "ran", hook="done"))
    copy.write()
    one.world.ledger.close()
    assert checkout("two").delete() == "" and one.undone() == ["a done"]


def test_a_machine_that_is_gone_for_good(checkout: Make) -> None:
    one, two = checkout("one"), checkout("two", "somebody-else")
    one.runs(hook("a"))
    one.world.ledger.close()
    said = two.delete()
    assert "can run there only" in said and "`doit delete --forget-hooks`" in said, said
    assert parent_of(two) and checkout("two", "somebody-else").hooks()
    two = checkout("two", "somebody-else")
    assert two.delete(forget_hooks=True) == ""
    assert any("is forgotten, its undo `sh -c echo a $KFOLD_HOOK" in text for text in two.said), two.said
    assert one.undone() == [] and parent_of(two) is None and not (two.folder / ".kfold").exists()


def test_what_can_be_undone_here_is_not_forgotten(checkout: Make) -> None:
    one = checkout("one")
    one.runs(hook("a"))
    assert one.delete(forget_hooks=True) == "" and one.undone() == ["a done"]


def test_a_hook_does_not_begin_where_its_copy_cannot_be_written(checkout: Make) -> None:
    one = checkout("one")
    one.cluster.fail("create", ClusterError("no", code=403, reason="Forbidden"))
    with pytest.raises(KfoldError, match="no"):
        one.runs(hook("a"))
    assert one.hooks() == [] and not (one.folder / "made").exists()
    one.runs(hook("a"))
    one.cluster.fail("apply", ClusterError("no", code=500))
    with pytest.raises(KfoldError, match="no"):
        one.runs(hook("a"))
    assert [record.state for record in one.hooks()] == ["done"], "as it was before"
    assert one.delete() == "" and one.undone() == ["a done"]


def test_a_hook_whose_set_is_not_recorded(checkout: Make) -> None:
    """Its record leads to the parent by itself; what that keeps goes, and the parent with it."""
    one = checkout("one")
    one.runs(hook("a"))
    (known,) = one.world.ledger.records("cluster", "set")
    one.world.ledger.gone(known)
    one.world.ledger.close()
    assert one.again().delete() == "" and one.undone() == ["a done"] and parent_of(one) is None


def test_a_parent_that_somebody_deleted(checkout: Make) -> None:
    """The ledger's hooks stand in the one that is written next, and one that another checkout wrote takes none away."""
    one = checkout("one")
    one.runs(hook("a"))
    _delete_parent(one)
    one.runs(hook("b"))
    one.world.ledger.close()
    assert len(parent_of(one) or {}) == 2
    _delete_parent(one)
    two = checkout("two")
    two.runs(hook("c"))
    two.world.ledger.close()
    assert one.again().delete() == ""
    assert one.undone() == ["b done", "a done"] and two.undone() == ["c done"]
    assert two.again().delete() == "" and two.undone() == ["c done"] and parent_of(two) is None


def _delete_parent(one: Checkout) -> None:
    found = one.cluster.get(PARENT)
    assert found and one.cluster.delete(PARENT, uid=found["metadata"]["uid"]) == "requested"


@pytest.mark.parametrize("taken", [False, True])
def test_a_sandbox_that_is_gone(checkout: Make, taken: bool) -> None:
    """It can tell no more whether a found hook was taken back: that is the project's where it ran."""
    one, two = checkout("one", target="sandbox"), checkout("two", target="sandbox")
    for each in (one, two):
        each.address |= {"context": "kfold-sandbox", "kubeconfig": [str(one.folder / "kubeconfig")]}
    (one.folder / "kubeconfig").write_text("")
    one.runs(hook("a"))
    two.world.ledger.claim()
    (parent,) = [applyset.find(two.cluster, "shop", "default")]
    assert parent
    hook_copy.recall_hooks(two.world, two.cluster.identity().uid, parent, two.address)
    one.world.ledger.close()
    if taken:
        shutil.copy(one.folder / ".kfold" / "ledger.db", one.folder / "before")
        assert one.again().delete() == ""
    _delete_parent(one) if not taken else None
    (one.folder / "kubeconfig").unlink()
    assert two.delete() == ""
    assert one.undone() == (["a done"] if taken else []) and checkout("two").hooks() == []
    told = [text for text in two.said if "stays: it " in text]
    assert len(told) == 1 and ("not recorded any more" if taken else f"left to {one.folder}") in told[0], two.said
    if not taken:
        assert one.again().delete() == "" and one.undone() == ["a done"]


def test_a_context_whose_cluster_was_replaced(checkout: Make, tmp_path: Path) -> None:
    """The undo might act on the wrong cluster: it is named, and runs once, when the context leads back."""
    one = checkout("one")
    one.runs(hook("a"))
    one.world.ledger.close()
    for _ in range(2):
        elsewhere = one.again()
        elsewhere.cluster = FakeCluster(tmp_path / "another.json", context="here")
        said = elsewhere.delete()
        assert "leads to another cluster now" in said and '"sh -c echo a >> made"' in said, said
    assert one.undone() == []
    assert one.again().delete() == "" and one.undone() == ["a done"]
    assert one.again().delete() == "" and one.undone() == ["a done"]


def test_what_a_report_says_of_hooks(checkout: Make) -> None:
    one, report = checkout("one"), CleanupReport()
    one.runs(hook("a"), hook("b", "exit 3"))
    assert "failed with exit code 3" in one.delete(report=report)
    said = json.loads(report.as_json())
    assert [entry["name"] for entry in said["removed"]] == ["sh -c echo a >> made"]
    (failed,) = said["failed"]
    assert failed["kind"] == "hook" and failed["undo"] == ["sh", "-c", "exit 3"] and "exit code 3" in failed["why"]
    assert failed["store"] == HOST


def test_two_clusters_keep_their_own_hooks(checkout: Make, tmp_path: Path) -> None:
    """The ID of a set is the same in every cluster."""
    one = checkout("one")
    here, there = one.cluster, FakeCluster(tmp_path / "there.json", context="there")
    object.__setattr__(one.world, "open_cluster", lambda context, files: here if context == "here" else there)
    one.runs(hook("a"))
    one.cluster, one.address = there, {**one.address, "context": "there"}
    one.runs(hook("b"))
    assert len(parent_of(one) or {}) == 1
    assert one.delete() == "" and one.undone() == ["b done", "a done"]
    assert parent_of(one) is None and here.get(PARENT) is None and not (one.folder / ".kfold").exists()


def test_a_parent_that_stays_is_named(checkout: Make) -> None:
    """A hook that came after `delete` had looked."""
    one, two = checkout("one"), checkout("two", "somebody-else")
    one.runs(hook("a", "touch begun; read line < go"))
    os.mkfifo(one.folder / "go")
    said: list[str] = []
    deleting = threading.Thread(target=lambda: said.append(one.delete()))
    deleting.start()
    wait_until((one.folder / "begun").exists, "the undo")
    two.runs(hook("b"))
    (one.folder / "go").write_text("go\n")
    deleting.join(30)
    assert "stays: it keeps hooks that are not taken back" in said[0], said
    assert two.delete() == "" and two.undone() == ["b done"] and parent_of(two) is None


def test_a_deploy_during_which_another_checkout_takes_everything_back(checkout: Make) -> None:
    """The parent comes back with what runs now, not with hooks that are taken back."""
    one, two = checkout("one"), checkout("two")
    two.runs(hook("b"))
    two.world.ledger.close()
    one.world.ledger.claim()
    parent = applyset.find(one.cluster, "shop", "default")
    assert parent
    recall(one.world, one.cluster, parent, one.address)
    assert checkout("two").delete() == "" and two.undone() == ["b done"]
    one.runs(hook("a"), parent=parent)
    assert [json.loads(text)["details"]["command"][2] for text in (parent_of(one) or {}).values()] == ["echo a >> made"]
    assert one.again().delete() == ""
    assert two.undone() == ["b done"] and one.undone() == ["a done"] and parent_of(one) is None


def test_a_hook_does_not_run_again_while_it_is_taken_back(checkout: Make) -> None:
    """Afterwards it does, and is taken back once more."""
    one, two = checkout("one"), checkout("two")
    one.runs(again := hook("a", "touch begun; read line < go; echo a $KFOLD_HOOK >> undone"))
    one = one.again()
    os.mkfifo(one.folder / "go")
    said: list[str] = []
    deleting = threading.Thread(target=lambda: said.append(two.delete()))
    deleting.start()
    wait_until((one.folder / "begun").exists, "the undo")
    parent = applyset.find(one.cluster, "shop", "default")
    with pytest.raises(KfoldError, match="takes it back right now"):
        one.runs(again)
    (one.folder / "go").write_text("go\n")
    deleting.join(30)
    assert said == [""] and one.undone() == ["a done"] and parent_of(one) is None
    (record,) = one.hooks()
    assert record.state == "done"
    one = one.again()
    one.runs(again, parent=parent)
    (one.folder / "go").unlink(), (one.folder / "go").write_text("go\n")
    assert one.again().delete() == "" and one.undone() == ["a done", "a done"] and parent_of(one) is None


def test_what_ran_again_stays_recorded(checkout: Make) -> None:
    """A claim takes away the copy that it was of, and no later one; nor does word of it drop a later record."""
    one, two = checkout("one"), checkout("two")
    one.runs(hook("a"))
    two.world.ledger.claim()
    parent = applyset.find(two.cluster, "shop", "default")
    assert parent
    recall(two.world, two.cluster, parent, two.address)
    (found,) = two.hooks()
    copy = hook_copy.find(two.world, two.cluster, found)
    assert copy and copy.claim(found)
    found = two.world.ledger.undoing(found)
    (record,) = one.hooks()
    mine = hook_copy.find(one.world, one.cluster, record)
    assert mine
    mine.keep(one.world.ledger.intend(record.effect))
    mine.write()
    copy.drop(found)
    assert list(parent_of(one) or {}) == [record.effect.details["copy"]], "the claim is gone, the hook is not"
    assert hook_copy.leave_word(two.world, found)
    one = one.again()
    one.world.ledger.claim()
    assert [known.state for known in one.hooks()] == ["intended"]
    one.world.ledger.close()


def test_a_parent_that_somebody_deleted_is_no_word(checkout: Make) -> None:
    one, two = checkout("one"), checkout("two")
    one.runs(hook("a"))
    one = one.again()
    two.runs(hook("b"))
    parent = applyset.find(two.cluster, "shop", "default")
    assert parent
    recall(two.world, two.cluster, parent, two.address)
    assert len(two.hooks()) == 2
    _delete_parent(two)
    assert two.delete() == "" and two.undone() == ["b done"] and one.undone() == []
    assert one.again().delete() == "" and one.undone() == ["a done"]


def test_a_claim_that_somebody_edited_holds_nobody(checkout: Make) -> None:
    one, two = checkout("one"), checkout("two")
    for at in ({}, {"at": time.time() + 1e6}, {"at": "soon"}, None):
        one.runs(hook("a"))
        two.runs(hook("b"))
        parent = applyset.find(one.cluster, "shop", "default")
        assert parent
        said = {"host": this_host(one.world.environment).id} if at is None else {"host": "elsewhere", **at}
        claims = {f"{applyset.CLAIM}{key.removeprefix(applyset.HOOK)}": json.dumps(said) for key in parent.data}
        applyset.put(one.world, one.cluster, parent, one.address, dict(claims))
        assert one.again().delete() == ""
        two.world.ledger.close()
        one, two = checkout("one"), checkout("two")


def builds(one: Checkout, *hooks: Hook) -> None:
    """The hooks before a build; the process ends then."""
    one.world.ledger.claim()
    run_hooks(one.world, hooks, Occasion("pre-build", "shop", "web", "web:1", HOST, {}, {"artifact": "web"}))
    one.world.ledger.close()


def prune(one: Checkout, **options: Any) -> str:
    """What `doit prune --all` does with hooks; what went wrong, "" if nothing did. The process ends then."""
    one.world.ledger.claim()
    problems = undo_build_hooks(one.world, "pre-build", "", Undoing(**options))
    one.ends()
    return "\n".join(problems)


def moved_across_file_systems(folder: Path, name: str) -> None:
    """Its inode is another one then."""
    shutil.copytree(folder, folder.with_name(name))
    shutil.rmtree(folder)


def test_a_build_hook_in_a_moved_folder_with_a_new_clone_in_its_place(checkout: Make) -> None:
    """It is taken back in the folder in which it ran; the clone, whose ledger came back, names its undo and keeps the record
    until it hears of that."""
    builds(one := checkout("one"), hook("a"))
    one.folder.rename(one.folder.with_name("moved"))
    said = prune(checkout("one"))
    assert "it ran in another folder" in said and "`sh -c echo a $KFOLD_HOOK >> undone` by hand" in said, said
    builds(checkout("moved"), hook("b"))
    said = prune(checkout("one"))
    assert f"it ran in {one.folder.with_name('moved')}; `doit prune --all` there takes it back" in said, said
    assert checkout("one").undone() == [] and len(checkout("one").hooks()) == 1
    assert prune(checkout("moved")) == "" and checkout("moved").undone() == ["b done", "a done"]
    assert prune(checkout("one")) == "" and checkout("one").undone() == []
    assert not (one.folder / ".kfold").exists() and not (one.folder.with_name("moved") / ".kfold").exists()


def test_a_build_hook_in_a_folder_that_was_moved_across_file_systems(checkout: Make) -> None:
    """The first folder is gone, and nobody took it back there: it is taken back here."""
    builds(one := checkout("one"), hook("a"))
    moved_across_file_systems(one.folder, "moved")
    assert prune(checkout("moved")) == "" and checkout("moved").undone() == ["a done"]
    assert not (one.folder.with_name("moved") / ".kfold").exists()


def test_of_several_copies_of_a_folder_that_is_gone_one_is_the_heir(checkout: Make) -> None:
    """The one that is used first; the next one leaves the hook to it. One that is used when that is done cannot know."""
    builds(one := checkout("one"), hook("a"))
    for name in ("second", "third"):
        shutil.copytree(one.folder, one.folder.with_name(name))
    moved_across_file_systems(one.folder, "first")
    first = checkout("first")
    first.world.ledger.claim(), first.world.ledger.close()
    second = checkout("second")
    assert prune(second) == "" and second.undone() == []
    copied = f"this folder is a copy of {one.folder.with_name('first')}: what 1 hook did there is taken back there"
    assert len([text for text in second.said if copied in text]) == 1, second.said
    assert prune(checkout("first")) == "" and checkout("first").undone() == ["a done"]
    said = prune(checkout("third"))
    assert "the pre-build hook" in said and "`sh -c echo a $KFOLD_HOOK >> undone` by hand" in said, said
    assert checkout("third").hooks() and checkout("third").undone() == []
    assert prune(third := checkout("third"), forget_hooks=True) == "" and third.undone() == []
    assert any("is forgotten, its undo `sh -c echo a" in text for text in third.said), third.said
    assert not (one.folder.with_name("third") / ".kfold").exists()


def test_a_copy_leaves_its_hooks_to_a_folder_whose_record_comes_back(checkout: Make) -> None:
    """Somebody removed `.kfold/` there: the second copy has what it recorded."""
    builds(one := checkout("one"), hook("a"))
    shutil.copytree(one.folder, one.folder.with_name("copy"))
    shutil.rmtree(one.folder / ".kfold")
    assert prune(copy := checkout("copy")) == "" and copy.undone() == []
    assert any(f"this folder is a copy of {one.folder}: what 1 hook did" in text for text in copy.said), copy.said
    assert prune(checkout("one")) == "" and one.undone() == ["a done"]
