"""Server-side apply (KEP-555): who owns which field, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine import wait_until
from tests.scenarios.api.cluster import APPLY, MERGE, Json, Space, owners
from tests.scenarios.api.objects import config_map, deployment, idle_pod, service


class Applied:
    """One object of a namespace, applied by several managers."""

    def __init__(self, space: Space, kind: str, name: str) -> None:
        self.space, self.path = space, space.path(kind, name)

    def apply(self, config: Json, manager: str = "one", **query: Any) -> Json:
        found: Json = self.space.api.apply(self.path, config, manager, **query).ok()
        return found

    def refused(self, config: Json, manager: str = "one", **query: Any) -> Any:
        return self.space.api.apply(self.path, config, manager, **query)

    def read(self) -> Json:
        found: Json = self.space.api.get(self.path).ok()
        return found


@pytest.fixture
def conf(space: Space) -> Applied:
    return Applied(space, "ConfigMap", "conf")


@pytest.fixture
def web(space: Space) -> Applied:
    return Applied(space, "Deployment", "web")


def inner(found: Json) -> list[Json]:
    containers: list[Json] = found["spec"]["template"]["spec"]["containers"]
    return containers


def app(*containers: Json) -> Json:
    """A configuration of a Deployment that says nothing but its containers and what they need."""
    config = deployment("web", *(containers or ({"name": "a", "image": "a:1"},)))
    del config["spec"]["replicas"]
    return config


def test_apply_creates(conf: Applied) -> None:
    """Applying what is not there creates it (201); managedFields hold what was applied, by its manager, as Apply."""
    answer = conf.refused(config_map(a="1"))
    assert answer.code == 201
    (entry,) = answer.body["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"], entry["fieldsType"]) == (
        "one", "Apply", "v1", "FieldsV1",
    )  # fmt: skip
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


def test_defaults_are_nobodys(web: Applied) -> None:
    """Fields that the server fills in belong to no manager of an apply."""
    found = web.apply(app())
    assert found["spec"]["replicas"] == 1
    assert set(owners(found)["one"]["f:spec"]) == {"f:selector", "f:template"}


def test_the_same_apply_again_changes_nothing(web: Applied) -> None:
    """Applying the same again writes nothing: resourceVersion and managedFields stay."""
    first = web.apply(app())

    def untouched_by_an_apply() -> bool:
        before = web.read()["metadata"]["resourceVersion"]
        web.apply(app())
        return bool(web.read()["metadata"]["resourceVersion"] == before)

    # the Deployment's controllers write too, but they come to rest; an apply that writes would never leave it as it was
    wait_until(untouched_by_an_apply, "an apply that changed nothing left the resourceVersion as it was")
    assert owners(first) == owners(web.read())


def test_a_conflict_names_manager_and_field(conf: Applied) -> None:
    """Changing a field that another manager applied: 409 Conflict, one cause a field that names its manager."""
    conf.apply(config_map(a="1", b="1"))
    refused = conf.refused(config_map(a="2", b="1"), "two").refused(409, "Conflict")
    (cause,) = refused.body["details"]["causes"]
    assert cause == {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    assert refused.message.startswith('Apply failed with 1 conflict: conflict with "one"')
    assert conf.read()["data"] == {"a": "1", "b": "1"}


def test_force_takes_a_field(conf: Applied) -> None:
    """force=true takes the field: it changes, and is its last owner's no more."""
    conf.apply(config_map(a="1", b="1"))
    found = conf.apply(config_map(a="2"), "two", force="true")
    assert found["data"] == {"a": "2", "b": "1"}
    assert owners(found) == {"one": {"f:data": {"f:b": {}}}, "two": {"f:data": {"f:a": {}}}}
    refused = conf.refused(config_map(a="1", b="1")).refused(409, "Conflict")
    assert 'conflict with "two"' in refused.message


def test_equal_values_are_shared(conf: Applied) -> None:
    """Two managers that apply the same value own it together; it goes when neither says it any more."""
    conf.apply(config_map(a="1", b="1"))
    conf.apply(config_map(a="1"), "two")
    assert conf.apply(config_map(b="1"))["data"] == {"a": "1", "b": "1"}
    assert conf.apply(config_map(), "two")["data"] == {"b": "1"}


def test_what_is_no_longer_said_is_removed(conf: Applied) -> None:
    """A field that its only owner leaves out of the next apply is removed; others stay."""
    conf.apply(config_map("conf", {"x": "1", "y": "2"}, a="1", b="1"))
    conf.space.patch("ConfigMap", "conf", {"data": {"c": "1"}}, fieldManager="hand")
    found = conf.apply(config_map("conf", {"x": "1"}, a="1"))
    assert found["data"] == {"a": "1", "c": "1"}
    assert found["metadata"]["labels"] == {"x": "1"}


def test_what_was_created_otherwise_stays(conf: Applied) -> None:
    """A field of a POST, left out of an apply, stays: it is owned by an Update."""
    conf.space.api.post(conf.space.path("ConfigMap"), config_map(a="1", b="1"), fieldManager="one").ok()
    found = conf.apply(config_map(a="1"))
    assert found["data"] == {"a": "1", "b": "1"}
    assert set(owners(found)) == set(owners(found, "Update")) == {"one"}


def test_an_update_takes_ownership(conf: Applied) -> None:
    """A PATCH or PUT that changes an applied field takes it from its owner, who then has a conflict."""
    conf.apply(config_map(a="1", b="1"))
    found = conf.space.patch("ConfigMap", "conf", {"data": {"a": "2"}}, fieldManager="hand")
    assert owners(found)["one"] == {"f:data": {"f:b": {}}}
    assert owners(found, "Update")["hand"]["f:data"] == {"f:a": {}}
    refused = conf.refused(config_map(a="1", b="1")).refused(409, "Conflict")
    assert 'conflict with "hand" using v1' in refused.message


def test_an_update_of_the_same_value_takes_nothing(conf: Applied) -> None:
    """An update that writes the value that is there already, or another field, leaves our fields ours."""
    before = owners(conf.apply(config_map(a="1")))
    found = conf.space.patch("ConfigMap", "conf", {"data": {"a": "1", "z": "1"}}, fieldManager="hand")
    assert owners(found) == before


def test_the_empty_apply_gives_everything_up(conf: Applied) -> None:
    """Applying nothing but the name drops exactly our fields; what others own stays."""
    conf.apply(config_map("conf", {"ours": "1"}, a="1"))
    conf.space.patch("ConfigMap", "conf", {"metadata": {"labels": {"theirs": "1"}}, "data": {"b": "1"}}, fieldManager="hand")
    found = conf.apply(config_map())
    assert found["data"] == {"b": "1"}
    assert found["metadata"]["labels"] == {"theirs": "1"}
    assert "one" not in owners(found)


def test_lists_are_owned_item_by_item(web: Applied) -> None:
    """Containers and env are maps by name: each manager owns its items, and takes away its own only."""
    variables = [{"name": "X", "value": "1"}, {"name": "Y", "value": "1"}]
    web.apply(app({"name": "a", "image": "a:1", "env": variables}, {"name": "b", "image": "b:1"}))
    web.apply(app({"name": "a", "image": "a:1", "env": [{"name": "Z", "value": "2"}]}), "two")
    found = web.apply(app({"name": "a", "image": "a:1", "env": variables[:1]}))
    (left,) = inner(found)
    assert [item["name"] for item in left["env"]] == ["X", "Z"]
    assert "f:env" in owners(found)["two"]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"a"}']


def test_list_keys_with_two_fields(space: Space) -> None:
    """A Service's ports are keyed by port and protocol: the same number twice, by two managers, are two items."""
    ports = Applied(space, "Service", "web")
    ports.apply(service("web", ports=[{"name": "t", "port": 53, "protocol": "TCP"}]))
    found = ports.apply(service("web", ports=[{"name": "u", "port": 53, "protocol": "UDP"}]), "two")
    assert {(item["name"], item["protocol"]) for item in found["spec"]["ports"]} == {("t", "TCP"), ("u", "UDP")}
    assert 'k:{"port":53,"protocol":"UDP"}' in owners(found)["two"]["f:spec"]["f:ports"]


def test_the_default_of_a_list_key(space: Space) -> None:
    """A port without protocol is keyed with the default, TCP."""
    found = Applied(space, "Service", "web").apply(service("web"))
    assert 'k:{"port":80,"protocol":"TCP"}' in owners(found)["one"]["f:spec"]["f:ports"]


def test_sets_are_shared(conf: Applied) -> None:
    """Finalizers are a set: each manager owns its members."""
    mine, theirs = config_map(), config_map()
    mine["metadata"]["finalizers"], theirs["metadata"]["finalizers"] = ["kfold.dev/one"], ["kfold.dev/two"]
    conf.apply(mine)
    both = conf.apply(theirs, "two")
    assert set(both["metadata"]["finalizers"]) == {"kfold.dev/one", "kfold.dev/two"}
    assert conf.apply(config_map())["metadata"]["finalizers"] == ["kfold.dev/two"]
    assert "finalizers" not in conf.apply(config_map(), "two")["metadata"]


def test_atomic_lists_are_owned_whole(web: Applied) -> None:
    """A container's args are one value: a manager with other args has a conflict about all of them."""
    web.apply(app({"name": "a", "image": "a:1", "args": ["1", "2"]}))
    refused = web.refused(app({"name": "a", "image": "a:1", "args": ["1"]}), "two").refused(409, "Conflict")
    assert refused.fields == ['.spec.template.spec.containers[name="a"].args']
    found = web.apply(app({"name": "a", "image": "a:1", "args": ["1"]}), "two", force="true")
    assert inner(found)[0]["args"] == ["1"]


def test_items_keep_the_order_of_the_configuration(web: Applied) -> None:
    """Items come in the applied order."""
    first = [{"name": name, "image": "x:1"} for name in "abc"]
    web.apply(app(*first))
    assert [item["name"] for item in inner(web.apply(app(*reversed(first))))] == ["c", "b", "a"]


def test_an_apply_to_an_object_made_anew(conf: Applied) -> None:
    """An apply with metadata.uid is refused with 409 where the object was created anew, or is gone."""
    config = config_map(a="1")
    config["metadata"]["uid"] = conf.apply(config_map(a="1"))["metadata"]["uid"]
    assert conf.apply(config)["metadata"]["uid"] == config["metadata"]["uid"]
    conf.space.delete("ConfigMap", "conf").ok()
    conf.refused(config).refused(409, "Conflict")
    conf.space.create(config_map())
    conf.refused(config).refused(409, "Conflict")


def test_managed_fields_cannot_be_applied(conf: Applied) -> None:
    """metadata.managedFields in an apply is 400."""
    config = config_map()
    config["metadata"]["managedFields"] = [{"manager": "x"}]
    refused = conf.refused(config).refused(400, "BadRequest")
    assert "metadata.managedFields must be nil" in refused.message


def test_unknown_fields_cannot_be_applied(web: Applied) -> None:
    """A field that the kind does not have cannot be applied: it is not declared in the schema."""
    config = app()
    config["spec"]["rplicas"] = 1
    answer = web.refused(config)
    assert answer.code == 500
    assert ".spec.rplicas: field not declared in schema" in answer.message


def test_the_status_is_applied_by_its_own_path(space: Space) -> None:
    """Applying to /status owns status alone, in an entry of its own, keyed by the subresource."""
    space.create(idle_pod("gate"))
    config = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gate"},
        "status": {"conditions": [{"type": "kfold.dev/gate", "status": "True"}]},
    }
    found = Applied(space, "Pod", "gate/status").apply(config)
    assert any(item["type"] == "kfold.dev/gate" for item in found["status"]["conditions"])
    assert 'k:{"type":"kfold.dev/gate"}' in owners(found)["one/status"]["f:status"]["f:conditions"]


def test_a_dry_run_of_an_apply(conf: Applied) -> None:
    """dryRun=All applies nothing, and tells conflicts all the same."""
    assert conf.apply(config_map(a="1"), dryRun="All")["data"] == {"a": "1"}
    assert conf.space.find("ConfigMap", "conf") is None
    made = conf.apply(config_map(a="1"))
    conf.refused(config_map(a="2"), "two", dryRun="All").refused(409, "Conflict")
    assert conf.read() == made


def test_yaml_can_be_applied(conf: Applied) -> None:
    """The body of an apply is YAML."""
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: conf\ndata:\n  a: '1'\n  when: 2001-01-01\n"
    path = conf.path
    answer = conf.space.api.send("PATCH", path, text, kind=APPLY, fieldManager="one")
    assert answer.ok()["data"] == {"a": "1", "when": "2001-01-01"}


def test_scale_moves_the_replicas_to_another_owner(web: Applied) -> None:
    """Scaling through /scale takes spec.replicas from its owner, as an Update of the subresource scale."""
    config = app() | {"spec": {**app()["spec"], "replicas": 0}}
    config["spec"]["template"]["spec"]["nodeSelector"] = {"kfold.dev/nowhere": "true"}
    web.apply(config)
    web.space.api.patch(web.path + "/scale", {"spec": {"replicas": 2}}, MERGE, fieldManager="hand").ok()
    found = web.read()
    assert found["spec"]["replicas"] == 2
    assert "f:replicas" not in owners(found)["one"]["f:spec"]
    assert owners(found, "Update")["hand/scale"] == {"f:spec": {"f:replicas": {}}}
    assert 'conflict with "hand" with subresource "scale"' in web.refused(config).refused(409, "Conflict").message
