"""Whose an object is: what others make, take and delete while ours is there. In this process, on the fake cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kfold.stores.cluster_interface import ObjectRef
from kfold.verbs.presence import look
from tests.cleanup.deployments import Object, by_hand, config_map, contents, custom, definition, deploy, owned_by
from tests.hooks.checkout import PARENT, Checkout

Make = Callable[..., Checkout]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Make]:
    made = []

    def make(name: str = "one") -> Checkout:
        made.append(Checkout(tmp_path / name, tmp_path / "me"))
        return made[-1]

    yield make
    for one in made:
        one.world.ledger.close()


def before_applying(one: Checkout, name: str, act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody acts once, right before an object of this name is applied."""
    applied, acts = one.cluster.apply, [act]

    def apply(manifest: Any, **how: Any) -> Any:
        if manifest["metadata"]["name"] == name and not how.get("dry_run") and acts:
            acts.pop()()
        return applied(manifest, **how)

    monkeypatch.setattr(one.cluster, "apply", apply)


@pytest.mark.parametrize("theirs", [{"a": "theirs", "b": "theirs"}, {"b": "theirs"}], ids=["another value", "another key"])
def test_what_somebody_makes_while_we_deploy_is_theirs(
    checkout: Make, monkeypatch: pytest.MonkeyPatch, theirs: dict[str, str]
) -> None:
    """Others before it and after it are applied by then; it is taken over as what was there before a deployment is."""
    one = checkout()
    made: list[tuple[ObjectRef, Any]] = []

    def act() -> None:
        ref = by_hand(one, config_map("it", **theirs))
        made.append((ref, contents(one, ref)))

    before_applying(one, "it", act, monkeypatch)
    others = [config_map(name, a="ours") for name in ("one", "two")]
    assert deploy(one, others[0], config_map("it", a="ours"), others[1]) == "", one.said
    ((ref, before),) = made
    taken = contents(one, ref)
    assert taken and taken["data"] == {**theirs, "a": "ours"} and "labels" not in taken["metadata"]
    assert any("it was there before" in line for line in one.said), one.said
    assert one.delete() == ""
    assert contents(one, ref) == before
    assert [key for key in one.cluster.snapshot() if key.startswith("|ConfigMap|")] == ["|ConfigMap|default|it"]


def test_what_helm_makes_while_we_deploy_is_refused(checkout: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = checkout()
    theirs = config_map("it", b="theirs")
    theirs["metadata"]["annotations"] = {"meta.helm.sh/release-name": "other"}
    before_applying(one, "it", lambda: by_hand(one, theirs), monkeypatch)
    assert "belongs to Helm release other" in deploy(one, config_map("it", a="ours"))
    ref = ObjectRef("v1", "ConfigMap", "default", "it")
    taken = contents(one, ref)
    assert taken and taken["data"] == {"b": "theirs"} and one.cluster.get(PARENT) is None
    assert one.delete() == "" and contents(one, ref) == taken


def test_an_object_of_ours_whose_creation_got_no_answer_is_ours(checkout: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The try after it is refused, since there is one by then."""
    one = checkout()
    applied = one.cluster.apply

    def twice(manifest: Any, **how: Any) -> Any:
        applied(manifest, **how)
        return applied(manifest, **how)

    monkeypatch.setattr(one.cluster, "apply", twice)
    assert deploy(one, config_map("it", a="ours")) == "", one.said
    monkeypatch.undo()
    assert one.delete() == "" and contents(one, ObjectRef("v1", "ConfigMap", "default", "it")) is None


PLANTS = ObjectRef("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "plants.kfold.test")


def test_what_is_owned_goes_with_its_owner_if_that_one_goes(checkout: Make) -> None:
    """Objects of a kind that we defined: one that what we made owns is no reason to stay, one that somebody's owns is."""
    one = checkout()
    assert deploy(one, definition("Plant", "v1"), config_map("ours", a="1")) == ""
    ours, theirs = ObjectRef("v1", "ConfigMap", "default", "ours"), by_hand(one, config_map("theirs", a="1"))
    between = by_hand(one, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "between", **owned_by(one, ours)}})
    by_hand(one, custom("Plant", "goes", **owned_by(one, between)))
    staying = by_hand(one, custom("Plant", "stays", **owned_by(one, theirs)))
    said = one.delete()
    assert 'stays: it defines plant.kfold.test "stays", which kfold did not make' in said, said
    one = one.again()
    assert [state.name for state in one.cluster.list_kind("kfold.test/v1", "Plant")] == ["stays"]
    one.cluster.delete(staying, uid=str((one.cluster.get(staying) or {})["metadata"]["uid"]))
    assert one.delete() == "" and one.cluster.get(PLANTS) is None


def test_what_is_owned_from_outside_a_namespace_of_ours_holds_it(checkout: Make) -> None:
    one = checkout()
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"}}
    assert deploy(one, made, config_map("ours", a="1")) == ""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "theirs"}}
    theirs = by_hand(one, role)
    secret = {"name": "secret", "namespace": "made", **owned_by(one, theirs)}
    ref = by_hand(one, {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "data": {"a": "MQ=="}})
    before = contents(one, ref)
    assert 'namespace "made" stays: it holds secret "secret", which somebody else made' in one.delete()
    one = one.again()
    assert contents(one, ref) == before
    one.cluster.delete(theirs, uid=str((one.cluster.get(theirs) or {})["metadata"]["uid"]))  # and the Secret with it
    assert one.delete() == "" and one.cluster.get(ObjectRef("v1", "Namespace", "", "made")) is None


def test_what_somebody_makes_while_we_delete_keeps_its_definition(checkout: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = checkout()
    assert deploy(one, definition("Plant", "v1"), config_map("ours", a="1")) == ""
    deleted, theirs = one.cluster.delete, []

    def delete(ref: ObjectRef, **how: Any) -> Any:
        if ref.name == "ours":
            theirs.append(by_hand(one, custom("Plant", "theirs")))
        return deleted(ref, **how)

    monkeypatch.setattr(one.cluster, "delete", delete)
    assert 'stays: it defines plant.kfold.test "theirs", which kfold did not make' in one.delete()
    assert one.cluster.get(PLANTS) and one.cluster.get(theirs[0])


def test_a_definition_of_what_is_kept_stays(checkout: Make) -> None:
    """Deleting it would delete what the user keeps."""
    one = checkout()
    kept = custom("Plant", "kept", annotations={"kfold.dev/keep": "true"})
    assert deploy(one, definition("Plant", "v1"), kept, custom("Plant", "goes")) == ""
    assert one.delete() == ""
    assert any('stays: it defines plant.kfold.test "kept", which stays' in line for line in one.said), one.said
    assert [state.name for state in one.cluster.list_kind("kfold.test/v1", "Plant")] == ["kept"]


def test_what_was_deployed_in_a_version_that_is_not_served_any_more(checkout: Make) -> None:
    """The objects are there, in another version: kept, held and given back as ever."""
    one = checkout()
    crd = by_hand(one, definition("Plant", "v2", "v1"))
    held = custom("Plant", "held", finalizers=["kfold.test/hold"])
    there = by_hand(one, custom("Plant", "there"))
    before = contents(one, there)
    changed = {**custom("Plant", "there"), "spec": {"a": "ours"}}
    assert deploy(one, custom("Plant", "kept", annotations={"kfold.dev/keep": "true"}), held, changed) == ""
    versions = [{"name": name, "served": name == "v2", "storage": name == "v2"} for name in ("v2", "v1")]
    one.cluster.edit(crd, {"spec": {"versions": versions}})
    objects = [record for record in one.world.ledger.records("cluster", "object") if record.effect.made]
    assert [presence.found for presence in look(one.world, objects)] == ["there", "there"]

    said = one.delete(timeout=0.2)
    assert '"held" still there at the deadline: held by finalizer kfold.test/hold' in said, said
    assert any('"kept" stays: it is kept' in line for line in one.said), one.said
    there = replace(there, api_version="kfold.test/v2")
    assert before and contents(one, there) == {**before, "apiVersion": "kfold.test/v2"}
    one = one.again()
    assert [state.name for state in one.cluster.list_kind("kfold.test/v2", "Plant")] == ["held", "kept", "there"]
    one.cluster.remove_finalizers(replace(there, name="held"))
    assert one.delete() == ""
    assert [state.name for state in one.cluster.list_kind("kfold.test/v2", "Plant")] == ["kept", "there"]


def secret(name: str, value: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"a": value}}


@pytest.mark.parametrize("make", [lambda value: config_map("it", a=value), lambda value: secret("it", value)])
def test_what_was_taken_over_and_made_anew_by_its_owner_is_given_back_as_the_new_one(
    checkout: Make, make: Callable[[str], Object]
) -> None:
    one = checkout()
    first = by_hand(one, make("b2xk"))
    assert deploy(one, make("b3Vycw==")) == ""
    one.cluster.delete(first, uid=str((one.cluster.get(first) or {})["metadata"]["uid"]))
    before = contents(one, by_hand(one, make("bmV3")))
    assert deploy(one, make("b3Vycw==")) == "" and contents(one, first) != before
    assert one.delete() == "" and contents(one, first) == before


def test_old_values_outlive_the_parent_that_kept_them(checkout: Make) -> None:
    """The ledger has them, those of Secrets the Secret beside the parent."""
    one = checkout()
    theirs = (config_map("it", a="old", b="old"), config_map("still", a="old"), secret("key", "b2xk"))
    refs = [by_hand(one, item) for item in theirs]
    before = [contents(one, ref) for ref in refs]
    still = config_map("still", a="ours")
    assert deploy(one, config_map("it", a="ours", b="ours"), still, secret("key", "b3Vycw==")) == ""
    one.cluster.delete(PARENT, uid=str((one.cluster.get(PARENT) or {})["metadata"]["uid"]))
    assert deploy(one, config_map("it", a="ours, too"), still, secret("key", "b3Vycw==")) == ""
    assert (contents(one, refs[0]) or {})["data"] == {"a": "ours, too", "b": "old"}
    assert checkout("another").delete() == "", "from the new parent"
    assert [contents(one, ref) for ref in refs] == before


def test_a_second_secret_does_not_push_out_the_first_ones_values(checkout: Make) -> None:
    one = checkout()
    refs = [by_hand(one, secret(name, "b2xk")) for name in ("first", "second")]
    before = [contents(one, ref) for ref in refs]
    assert deploy(one, secret("first", "b3Vycw==")) == ""
    assert deploy(one, secret("first", "b3Vycw=="), secret("second", "b3Vycw==")) == ""
    assert one.delete() == "" and [contents(one, ref) for ref in refs] == before


def test_what_was_taken_over_in_another_version_has_its_old_values_back(checkout: Make) -> None:
    one = checkout()
    by_hand(one, definition("Plant", "v1", "v2"))
    ref = by_hand(one, custom("Plant", "it"))
    before = contents(one, ref)
    for version in ("v1", "v2"):
        assert deploy(one, {**custom("Plant", "it", version), "spec": {"a": "ours", version: "ours"}}) == "", one.said
    assert (contents(one, ref) or {})["spec"] == {"a": "ours", "v2": "ours"}
    assert len(one.world.ledger.records("cluster", "object")) == 1
    assert checkout("another").delete() == "" and contents(one, ref) == before


def test_what_was_taken_over_and_deleted_by_its_owner_is_ours_when_we_make_it(checkout: Make) -> None:
    """To every checkout: the parent does not go on telling of the one that was there before."""
    one = checkout()
    ref = by_hand(one, config_map("it", a="old"))
    assert deploy(one, config_map("it", a="ours")) == ""
    one.cluster.delete(ref, uid=str((one.cluster.get(ref) or {})["metadata"]["uid"]))
    assert deploy(one, config_map("it", a="ours")) == ""
    assert "adopted" not in (one.cluster.get(PARENT) or {})["data"]
    assert checkout("another").delete() == "" and contents(one, ref) is None


def test_what_another_checkout_took_over_anew_is_given_back_by_the_first(checkout: Make) -> None:
    one, two = checkout(), checkout("two")
    first = by_hand(one, config_map("it", a="old"))
    assert deploy(one, config_map("it", a="ours")) == ""
    one.cluster.delete(first, uid=str((one.cluster.get(first) or {})["metadata"]["uid"]))
    before = contents(one, by_hand(one, config_map("it", a="new")))
    assert deploy(two, config_map("it", a="ours")) == ""
    assert one.delete() == "" and contents(one, first) == before
