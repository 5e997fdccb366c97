"""The contract of ClusterStore, kept by the fake cluster and by the real store alike."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kfold.errors import Interrupted
from kfold.stores.cluster import (
    ClusterError,
    ClusterStore,
    FieldConflict,
    ObjectRef,
    ObjectReplaced,
    UnknownKind,
)
from tests.stores.cluster.conftest import Subject


def config_map(subject: Subject, name: str = "settings", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": subject.namespace, "labels": {"app": "contract"},
                         "annotations": {"dev.kfold/intent": "one"}},
            "data": data or {"a": "1"}}


def deployment(subject: Subject, name: str = "web", replicas: int = 0, **environment: str) -> dict[str, Any]:
    container = {"name": "web", "image": "none.invalid/web:1", "ports": [{"containerPort": 80}],
                 "env": [{"name": key, "value": value} for key, value in environment.items()]}
    return {"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": subject.namespace},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}}}


def wait_for(what: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "the cluster did not get there in time"
        time.sleep(0.05)


def test_identity_is_stable_and_the_same_for_every_client(subject: Subject) -> None:
    first, second = subject.store.identity(), subject.again.identity()
    system = subject.store.get(ObjectRef("v1", "Namespace", "", "kube-system"))
    assert system is not None and first.uid == second.uid == system["metadata"]["uid"] != ""


def test_an_applied_object_is_there_as_it_was_said(subject: Subject) -> None:
    applied = subject.store.apply(config_map(subject, a="1", b="2"))
    assert applied.ref == ObjectRef("v1", "ConfigMap", subject.namespace, "settings")
    found = subject.again.get(applied.ref)
    assert found is not None and found["data"] == {"a": "1", "b": "2"}
    assert (found["apiVersion"], found["kind"], found["metadata"]["uid"]) == ("v1", "ConfigMap", applied.uid)
    assert applied.annotations["dev.kfold/intent"] == "one" and applied.labels["app"] == "contract"
    assert applied.manager_hash and applied.deletion_timestamp is None and applied.finalizers == ()


def test_the_same_apply_again_changes_nothing(subject: Subject) -> None:
    for manifest in (config_map(subject), deployment(subject, A="1")):
        first = subject.store.apply(manifest)
        second = subject.again.apply(manifest, uid=first.uid)
        assert (first.uid, first.manager_hash) == (second.uid, second.manager_hash)
        if first.kind == "ConfigMap":  # a Deployment's controller writes its status in between
            assert first.resource_version == second.resource_version


def test_a_field_that_left_the_manifest_is_removed(subject: Subject) -> None:
    subject.store.apply(deployment(subject, A="1", B="2"))
    subject.store.apply(deployment(subject, B="2"))
    found = subject.store.get(ObjectRef("apps/v1", "Deployment", subject.namespace, "web"))
    assert found is not None
    assert found["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "B", "value": "2"}]


def test_list_shows_what_apply_said(subject: Subject) -> None:
    applied = {subject.store.apply(config_map(subject, name)).name: subject.store.apply(config_map(subject, name))
               for name in ("one", "two", "three")}
    listed = [state for state in subject.again.list_kind("v1", "ConfigMap", subject.namespace)
              if state.name in applied]
    assert {state.name for state in listed} == set(applied)
    for state in listed:
        assert (state.uid, state.manager_hash, state.resource_version, state.ref) == (
            applied[state.name].uid, applied[state.name].manager_hash, applied[state.name].resource_version,
            applied[state.name].ref)
        assert state.raw["kind"] == "ConfigMap" and state.raw["apiVersion"] == "v1"
    everywhere = {(state.namespace, state.name) for state in subject.store.list_kind("v1", "ConfigMap")}
    assert {(subject.namespace, name) for name in applied} <= everywhere


def test_every_kind_that_is_served_can_be_listed(subject: Subject) -> None:
    subject.store.apply(config_map(subject))
    served = subject.store.served_kinds()
    assert len(set(served)) == len(served) > 30
    found = {state.ref for api_version, kind in served for state in subject.store.list_kind(api_version, kind)}
    assert ObjectRef("v1", "ConfigMap", subject.namespace, "settings") in found
    assert ObjectRef("v1", "Namespace", "", subject.namespace) in found


def test_list_by_label(subject: Subject) -> None:
    subject.store.apply(config_map(subject, "mine"))
    other = config_map(subject, "other")
    other["metadata"]["labels"] = {"app": "else"}
    subject.store.apply(other)
    found = subject.store.list_kind("v1", "ConfigMap", subject.namespace, label_selector="app in (contract),app!=else")
    assert [state.name for state in found] == ["mine"]


def test_the_hash_tells_when_a_field_of_ours_was_touched(subject: Subject) -> None:
    applied = subject.store.apply(config_map(subject, a="1", b="2"))

    def now() -> str | None:
        return next(state.manager_hash for state in subject.store.list_kind("v1", "ConfigMap", subject.namespace)
                    if state.name == "settings")

    subject.edit(applied.ref, {"data": {"theirs": "x"}})
    assert now() == applied.manager_hash, "a foreign field is not ours"
    subject.edit(applied.ref, {"data": {"b": "2"}})
    assert now() == applied.manager_hash, "the same value is no change"
    subject.edit(applied.ref, {"data": {"a": "changed"}})
    assert now() not in (None, applied.manager_hash)


def test_a_removed_field_of_ours_changes_the_hash(subject: Subject) -> None:
    applied = subject.store.apply(config_map(subject, a="1", b="2"))
    subject.edit(applied.ref, {"data": {"a": None}})
    listed = subject.store.list_kind("v1", "ConfigMap", subject.namespace)
    assert next(state.manager_hash for state in listed if state.name == "settings") != applied.manager_hash


def test_a_conflict_names_the_manager_and_the_field_and_force_takes_it(subject: Subject) -> None:
    applied = subject.store.apply(config_map(subject, a="1"))
    subject.edit(applied.ref, {"data": {"a": "theirs"}})
    with pytest.raises(FieldConflict) as caught:
        subject.store.apply(config_map(subject, a="ours"))
    assert [(owned.manager, owned.field) for owned in caught.value.conflicts] == [("kubectl-edit", ".data.a")]
    assert caught.value.code == 409 and "kubectl-edit" in str(caught.value)
    assert subject.store.get(applied.ref)["data"] == {"a": "theirs"}  # type: ignore[index]
    forced = subject.store.apply(config_map(subject, a="ours"), force=True)
    assert subject.store.get(applied.ref)["data"] == {"a": "ours"}  # type: ignore[index]
    assert forced.manager_hash == applied.manager_hash


def test_a_dry_run_changes_nothing(subject: Subject) -> None:
    would = subject.store.apply(config_map(subject, "dry"), dry_run=True)
    assert would.name == "dry"
    assert subject.store.get(would.ref) is None
    applied = subject.store.apply(config_map(subject, a="1"))
    subject.store.apply(config_map(subject, a="2"), dry_run=True)
    assert subject.store.get(applied.ref)["data"] == {"a": "1"}  # type: ignore[index]


def test_apply_to_a_known_object_refuses_another_one_of_its_name(subject: Subject) -> None:
    first = subject.store.apply(config_map(subject))
    assert subject.store.delete(first.ref, uid=first.uid) == "requested"
    wait_for(lambda: subject.store.get(first.ref) is None)
    with pytest.raises(ObjectReplaced):
        subject.store.apply(config_map(subject), uid=first.uid)
    assert subject.store.get(first.ref) is None, "an apply with the UID of a deleted object must not create one"
    second = subject.again.apply(config_map(subject, a="theirs"))
    assert second.uid != first.uid
    with pytest.raises(ObjectReplaced):
        subject.store.apply(config_map(subject, a="ours"), uid=first.uid)
    assert subject.store.get(first.ref)["data"] == {"a": "theirs"}  # type: ignore[index]


def test_delete_of_an_object_as_it_was(subject: Subject) -> None:
    seen = subject.store.apply(config_map(subject))
    subject.again.apply(config_map(subject, a="theirs"))
    with pytest.raises(ClusterError) as caught:
        subject.store.delete(seen.ref, uid=seen.uid, resource_version=seen.resource_version)
    assert caught.value.code == 409 and subject.store.get(seen.ref)["data"] == {"a": "theirs"}  # type: ignore[index]
    now = subject.store.get(seen.ref)["metadata"]["resourceVersion"]  # type: ignore[index]
    assert subject.store.delete(seen.ref, uid=seen.uid, resource_version=now) == "requested"


def test_delete_takes_this_object_and_no_other(subject: Subject) -> None:
    first = subject.store.apply(config_map(subject))
    assert subject.store.delete(first.ref, uid="00000000-0000-0000-0000-000000000000") == "replaced"
    assert subject.store.get(first.ref) is not None
    assert subject.store.delete(first.ref, uid=first.uid) == "requested"
    wait_for(lambda: subject.store.get(first.ref) is None)
    assert subject.store.delete(first.ref, uid=first.uid) == "gone"
    second = subject.again.apply(config_map(subject))
    assert subject.store.delete(first.ref, uid=first.uid) == "replaced"
    assert subject.store.get(first.ref)["metadata"]["uid"] == second.uid  # type: ignore[index]


def test_a_finalizer_holds_a_deleted_object(subject: Subject) -> None:
    manifest = config_map(subject, "held")
    manifest["metadata"]["finalizers"] = ["dev.kfold/test"]
    held = subject.store.apply(manifest)
    assert subject.store.delete(held.ref, uid=held.uid) == "requested"
    state = next(state for state in subject.store.list_kind("v1", "ConfigMap", subject.namespace)
                 if state.name == "held")
    assert state.deletion_timestamp and state.finalizers == ("dev.kfold/test",)
    assert subject.store.delete(held.ref, uid=held.uid) == "requested", "asking twice is no error"
    released = copy.deepcopy(manifest)
    del released["metadata"]["finalizers"]
    try:
        subject.store.apply(released, uid=held.uid)
    except ObjectReplaced:
        pass  # it went in the same moment
    if hasattr(subject.store, "remove_finalizers") and subject.store.get(held.ref) is not None:
        subject.store.remove_finalizers(held.ref)
    wait_for(lambda: subject.store.get(held.ref) is None)


def test_what_is_not_there_is_none_and_what_is_not_served_is_an_error(subject: Subject) -> None:
    assert subject.store.get(ObjectRef("v1", "ConfigMap", subject.namespace, "none")) is None
    assert subject.store.list_kind("apps/v1", "Deployment", subject.namespace) == []
    for ask in (
        lambda: subject.store.get(ObjectRef("example.test/v1", "Nothing", subject.namespace, "none")),
        lambda: subject.store.list_kind("example.test/v1", "Nothing", subject.namespace),
        lambda: subject.store.is_namespaced("example.test/v1", "Nothing"),
        lambda: subject.store.apply({"apiVersion": "example.test/v1", "kind": "Nothing",
                                     "metadata": {"name": "x", "namespace": subject.namespace}}),
    ):
        with pytest.raises(UnknownKind, match=r"Nothing of example\.test/v1"):
            ask()
    assert subject.store.is_namespaced("apps/v1", "Deployment")
    assert not subject.store.is_namespaced("v1", "Namespace")


def test_a_missing_namespace_is_named(subject: Subject) -> None:
    manifest = config_map(subject)
    manifest["metadata"]["namespace"] = "there-is-no-such-namespace"
    with pytest.raises(ClusterError, match="there-is-no-such-namespace") as caught:
        subject.store.apply(manifest)
    assert caught.value.code == 404 and not isinstance(caught.value, UnknownKind)


def test_a_namespaced_manifest_without_a_namespace_is_refused(subject: Subject) -> None:
    manifest = config_map(subject)
    del manifest["metadata"]["namespace"]
    with pytest.raises(ClusterError, match="says no namespace"):
        subject.store.apply(manifest)


@pytest.mark.parametrize("manifest", [{}, {"kind": "ConfigMap"}, {"apiVersion": "v1", "kind": "ConfigMap"},
                                      {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ""}}])
def test_what_is_no_object_is_refused(subject: Subject, manifest: dict[str, Any]) -> None:
    with pytest.raises(ClusterError, match="no Kubernetes object"):
        subject.store.apply(manifest)


def test_many_threads_at_once(subject: Subject) -> None:
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            state = subject.store.apply(config_map(subject, f"n-{number}"))
            assert subject.store.get(state.ref) is not None
            assert subject.store.delete(state.ref, uid=state.uid) == "requested"
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    left = [state.name for state in subject.store.list_kind("v1", "ConfigMap", subject.namespace)]
    assert not [name for name in left if name.startswith("n-")]


def test_logs_of_no_pod_are_an_error(subject: Subject) -> None:
    with pytest.raises(ClusterError) as caught:
        list(subject.store.logs(subject.namespace, "none", "web"))
    assert caught.value.code == 404


def test_pods_and_events_of_an_empty_namespace(subject: Subject) -> None:
    assert subject.store.pods(subject.namespace) == []
    assert subject.store.events(subject.namespace, "00000000-0000-0000-0000-000000000000") == []


def test_a_kind_is_found_by_its_group(subject: Subject) -> None:
    assert subject.store.version_of("apps", "Deployment") == "apps/v1"
    assert subject.store.version_of("", "ConfigMap") == "v1"
    for group, kind in (("example.test", "Nothing"), ("", "Nothing"), ("apps", "Nothing")):
        with pytest.raises(UnknownKind, match="Nothing"):
            subject.store.version_of(group, kind)


def test_an_object_is_the_same_in_the_version_that_is_left(subject: Subject) -> None:
    """A definition that serves a version no more: the kind is unknown in that one, and told in the other."""
    group = f"{subject.namespace}.test"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

    def versions(*served: str) -> list[dict[str, Any]]:
        return [{"name": name, "served": name in served, "storage": name == "v2", "schema": {"openAPIV3Schema": schema}}
                for name in ("v2", "v1")]

    names = {"kind": "Thing", "plural": "things"}
    crd = subject.store.apply({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": versions("v1", "v2")}})

    def serves(version: str, store: ClusterStore = subject.store) -> bool:
        try:
            store.list_kind(f"{group}/{version}", "Thing")
        except UnknownKind:
            return False
        return True

    try:
        wait_for(lambda: serves("v1"))
        thing = subject.store.apply({"apiVersion": f"{group}/v1", "kind": "Thing", "spec": {"a": "1"},
                                     "metadata": {"name": "one", "namespace": subject.namespace}})
        subject.edit(crd.ref, {"spec": {"versions": versions("v2")}})
        wait_for(lambda: not serves("v1"))
        with pytest.raises(UnknownKind):
            subject.store.get(thing.ref)
        assert subject.store.version_of(group, "Thing") == f"{group}/v2"
        (left,) = subject.store.list_kind(f"{group}/v2", "Thing", subject.namespace)
        assert (left.name, left.uid, left.api_version) == ("one", thing.uid, f"{group}/v2")
        assert subject.store.delete(thing.ref, uid=thing.uid) == "requested"
        wait_for(lambda: subject.store.list_kind(f"{group}/v2", "Thing", subject.namespace) == [])
    finally:
        subject.store.delete(crd.ref, uid=crd.uid)


def test_an_apply_to_a_version_that_is_past_changes_nothing(subject: Subject) -> None:
    first = subject.store.apply(config_map(subject, a="1"))
    subject.edit(first.ref, {"data": {"theirs": "x"}})
    late = config_map(subject, a="2")
    late["metadata"]["resourceVersion"] = first.resource_version
    with pytest.raises(ClusterError) as caught:
        subject.store.apply(late)
    assert caught.value.code == 409 and not isinstance(caught.value, FieldConflict | ObjectReplaced)
    found = subject.store.get(first.ref)
    assert found is not None and found["data"] == {"a": "1", "theirs": "x"}
    late["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
    assert subject.store.apply(late).raw["data"]["a"] == "2"


def test_a_patch_is_all_or_nothing_and_its_fields_are_the_managers(subject: Subject) -> None:
    """What puts a field back under the name of who had it: an apply of ours no longer owns it."""
    applied = subject.store.apply(config_map(subject, a="ours", b="ours"))
    wrong = [{"op": "test", "path": "/data/a", "value": "else"}, {"op": "replace", "path": "/data/a", "value": "old"}]
    with pytest.raises(ClusterError) as caught:
        subject.store.patch(applied.ref, wrong, manager="before")
    assert caught.value.code == 422
    assert subject.store.get(applied.ref)["data"] == {"a": "ours", "b": "ours"}  # type: ignore[index]
    right = [{"op": "test", "path": "/metadata/uid", "value": applied.uid},
             {"op": "test", "path": "/data/a", "value": "ours"}, {"op": "replace", "path": "/data/a", "value": "old"}]
    patched = subject.store.patch(applied.ref, right, manager="before")
    assert patched.manager_hash != applied.manager_hash
    owners = {entry["manager"]: entry for entry in patched.raw["metadata"]["managedFields"]}
    assert owners["before"]["operation"] == "Update" and owners["before"]["fieldsV1"] == {"f:data": {"f:a": {}}}
    empty = {"apiVersion": "v1", "kind": "ConfigMap",
             "metadata": {"name": applied.name, "namespace": subject.namespace}}
    subject.store.apply(empty, uid=applied.uid)
    assert subject.store.get(applied.ref)["data"] == {"a": "old"}  # type: ignore[index]
    with pytest.raises(ClusterError) as caught:
        subject.store.patch(ObjectRef("v1", "ConfigMap", subject.namespace, "none"), right, manager="before")
    assert caught.value.code == 404


def test_a_command_in_a_container_that_is_not_there(subject: Subject) -> None:
    with pytest.raises(ClusterError) as caught:
        subject.store.execute(subject.namespace, "none", "app", ["true"], on_line=print, stop=threading.Event())
    assert caught.value.code == 404 and "none" in caught.value.message


def test_a_command_in_a_container(real: Subject, base_image: str) -> None:
    container = {"name": "app", "image": base_image, "imagePullPolicy": "Never",
                 "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1 & wait $!; done"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "runs", "namespace": real.namespace},
           "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    real.store.apply(pod)
    ref = ObjectRef("v1", "Pod", real.namespace, "runs")

    def started() -> bool:
        statuses = ((real.store.get(ref) or {}).get("status") or {}).get("containerStatuses") or [{}]
        return "running" in (statuses[0].get("state") or {})

    wait_for(started, 60)
    stop = threading.Event()
    lines: list[str] = []

    def run(*command: str) -> int:
        lines.clear()
        return real.store.execute(real.namespace, "runs", "app", command, on_line=lines.append, stop=stop)

    assert run("sh", "-c", "echo a b; echo c >&2; printf 'd \\377'; exit 0") == 0
    assert sorted(lines) == ["a b", "c", "d \ufffd"]
    assert run("sh", "-c", "exit 9") == 9 and lines == []
    assert run("sh", "-c", "head -c 150000 /dev/zero | tr '\\0' x") == 0 and len("".join(lines)) == 150_000
    with pytest.raises(ClusterError, match="no-such-program"):
        code = run("no-such-program")
        raise ClusterError(f"no-such-program ended with {code}")  # some runtimes answer with an exit code: 126, 127
    with pytest.raises(Interrupted):
        real.store.execute(real.namespace, "runs", "app", ["sh", "-c", "echo ready; sleep 60"],
                           on_line=lambda _line: stop.set(), stop=stop)
    found = real.store.get(ref)
    assert found is not None
    real.store.delete(ref, uid=found["metadata"]["uid"])
    wait_for(lambda: real.store.get(ref) is None)  # its image goes next


def test_a_field_can_be_handed_over_as_it_is(subject: Subject) -> None:
    """managedFields may be patched: a field that is somebody else's then outlives an apply that no longer says it."""
    applied = subject.store.apply(config_map(subject, a="1", b="2"))
    entries = applied.raw["metadata"]["managedFields"]
    (index,) = (number for number, entry in enumerate(entries) if entry["manager"] == "kfold")
    where = f"/metadata/managedFields/{index}/fieldsV1"
    left = copy.deepcopy(entries[index]["fieldsV1"])
    del left["f:data"]["f:a"]
    theirs = {**entries[index], "manager": "before", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}}
    operations = [{"op": "test", "path": where, "value": entries[index]["fieldsV1"]},
                  {"op": "replace", "path": where, "value": left},
                  {"op": "add", "path": "/metadata/managedFields/-", "value": theirs}]
    subject.store.patch(applied.ref, operations, manager="before")
    empty = {"apiVersion": "v1", "kind": "ConfigMap",
             "metadata": {"name": applied.name, "namespace": subject.namespace}}
    assert subject.store.apply(empty, uid=applied.uid).manager_hash is None
    found = subject.store.get(applied.ref)
    assert found is not None and found["data"] == {"a": "1"}
    assert [entry["manager"] for entry in found["metadata"]["managedFields"]] == ["before"]
    nobodys = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
    bare = subject.store.patch(applied.ref, nobodys, manager="before").raw
    assert not bare["metadata"].get("managedFields") and bare["data"] == {"a": "1"}


def test_an_apply_that_may_only_create_changes_nothing_that_is_there(subject: Subject) -> None:
    first = subject.store.apply(config_map(subject, a="1"), new=True)
    assert first.manager_hash and first.resource_version
    for data in ({"a": "1"}, {"b": "2"}):
        started = time.monotonic()
        with pytest.raises(ClusterError) as refused:
            subject.again.apply(config_map(subject, **data), new=True)
        assert refused.value.code == 409 and time.monotonic() - started < 2, "it stays there, however often one asks"
    again = subject.store.get(first.ref)
    assert again is not None and again["metadata"]["resourceVersion"] == first.resource_version
    subject.store.delete(first.ref, uid=first.uid)
    wait_for(lambda: subject.store.get(first.ref) is None)
    assert subject.store.apply(config_map(subject, a="1"), new=True).uid != first.uid


def test_of_two_that_create_one_object_the_second_is_refused(subject: Subject) -> None:
    first = subject.store.create(config_map(subject))
    assert first.manager_hash is None and first.resource_version
    with pytest.raises(ClusterError) as refused:
        subject.again.create(config_map(subject, a="2"))
    assert refused.value.code == 409
    # an apply goes on from there, and what it takes away goes
    manifest = config_map(subject, b="2")
    manifest["metadata"]["resourceVersion"] = first.resource_version
    applied = subject.store.apply({**manifest, "data": {"b": "2"}}, force=True)
    assert applied.uid == first.uid and applied.manager_hash
    started = time.monotonic()
    with pytest.raises(ClusterError) as refused:
        subject.again.apply(manifest, force=True)
    assert refused.value.code == 409 and time.monotonic() - started < 2, "what was then does not come back"
