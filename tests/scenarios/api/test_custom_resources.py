"""CustomResourceDefinitions, and the resources of the kinds that they define."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.engine import wait_until
from tests.scenarios.api.cluster import PATIENCE, STRATEGIC, Api, Json, Space, condition_of, owners

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass
class Gadgets:
    """A kind of the suite's own (cluster-wide, so under a group that nobody else has)."""

    api: Api
    space: Space
    group: str

    @property
    def definition(self) -> str:
        return f"{DEFINITIONS}/gadgets.{self.group}"

    def path(self, name: str = "", subresource: str = "") -> str:
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"/apis/{self.group}/v1/namespaces/{self.space.name}/gadgets{tail}"

    def body(self, name: str, **fields: Any) -> Json:
        return {"apiVersion": f"{self.group}/v1", "kind": "Gadget", "metadata": {"name": name}, **fields}

    def create(self, name: str, **fields: Any) -> Json:
        found: Json = self.api.post(self.path(), self.body(name, **fields)).ok()
        return found


def definition(group: str) -> Json:
    size = {"type": "integer", "minimum": 1, "default": 5}
    properties = {
        "size": size,
        "color": {"type": "string", "enum": ["red", "blue"]},
        "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "doors": {
            "type": "array",
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "replicas": {"type": "integer"},
        "serial": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "serial stays"}]},
        "least-size": {"type": "number"},
    }
    rules = [
        {"rule": "!has(self.least__dash__size) || self.size > self.least__dash__size * 1.5 - 0.5", "message": "too small"},
        {
            "rule": "!has(self.parts) || self.parts.all(one, one.name.size() < 9)",
            "messageExpression": "string(self.parts.size()) + ' parts with long names'",
            "fieldPath": ".parts",
            "reason": "FieldValueForbidden",
        },
    ]
    schema = {
        "type": "object",
        "x-kubernetes-validations": [{"rule": "!self.metadata.name.contains('bad')"}],
        "properties": {
            "spec": {"type": "object", "properties": properties, "x-kubernetes-validations": rules},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
    }
    names = {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "shortNames": ["gad"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.fixture(scope="module")
def gadgets(shared: Space) -> Iterator[Gadgets]:
    group = f"t{uuid.uuid4().hex[:8]}.kfold.dev"
    found = Gadgets(shared.api, shared, group)
    found.api.post(DEFINITIONS, definition(group)).ok()
    try:
        wait_until(
            lambda: condition_of(found.api.get(found.definition).ok(), "Established").get("status") == "True",
            "the definition",
            seconds=PATIENCE,
        )
        wait_until(lambda: found.api.get(found.path()).code == 200, "the new kind", seconds=PATIENCE)
        yield found
    finally:
        found.api.delete(found.definition)
        wait_until(lambda: found.api.get(found.definition).code == 404, "the definition's end", seconds=PATIENCE)


def test_a_defined_kind_is_served(gadgets: Gadgets) -> None:
    """An established definition's kind is discovered, with its short names, and kept like any other."""
    listed = gadgets.api.get(f"/apis/{gadgets.group}/v1").ok()["resources"]
    entry = next(item for item in listed if item["name"] == "gadgets")
    assert (entry["kind"], entry["singularName"], entry["shortNames"]) == ("Gadget", "gadget", ["gad"])
    made = gadgets.create("served", spec={"color": "red"})
    assert made["metadata"]["generation"] == 1
    assert gadgets.api.get(gadgets.path("served")).ok() == made


def test_items_of_custom_lists_carry_their_kind(gadgets: Gadgets) -> None:
    """Items in a list of custom resources have kind and apiVersion."""
    gadgets.create("listed")
    found = gadgets.api.get(gadgets.path()).ok()
    assert found["kind"] == "GadgetList"
    assert {item["kind"] for item in found["items"]} == {"Gadget"}


def test_unknown_fields_are_pruned(gadgets: Gadgets) -> None:
    """Fields that the schema does not have are dropped; below x-kubernetes-preserve-unknown-fields they are kept."""
    made = gadgets.create("pruned", spec={"colour": "red", "parts": [{"name": "a", "x": 1}], "free": {"x": {"y": 1}}})
    assert made["spec"] == {"size": 5, "parts": [{"name": "a"}], "free": {"x": {"y": 1}}}


def test_unknown_fields_are_refused_strictly(gadgets: Gadgets) -> None:
    """fieldValidation=Strict refuses them: 400."""
    body = gadgets.body("strict", spec={"colour": "red"})
    refused = gadgets.api.post(gadgets.path(), body, fieldValidation="Strict").refused(400, "BadRequest")
    assert 'unknown field "spec.colour"' in refused.message


def test_defaults_of_a_schema(gadgets: Gadgets) -> None:
    """Defaults of the schema are filled in where their parent is there."""
    assert gadgets.create("default", spec={})["spec"] == {"size": 5}
    assert "spec" not in gadgets.create("no-spec")


@pytest.mark.parametrize(
    "spec, field",
    [
        ({"size": 0}, "spec.size"),
        ({"size": "big"}, "spec.size"),
        ({"color": "green"}, "spec.color"),
        ({"parts": {}}, "spec.parts"),
        ({"tags": ["a", "b", "a"]}, "spec.tags[2]"),
        ({"doors": [{"name": "a"}, {"name": "a"}]}, "spec.doors[1]"),
    ],
)
def test_a_schema_is_held(gadgets: Gadgets, spec: Json, field: str) -> None:
    """What does not fit the schema is 422 with the field's path."""
    refused = gadgets.api.post(gadgets.path(), gadgets.body("wrong", spec=spec)).refused(422, "Invalid")
    assert refused.fields[0] == field


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": "x"}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"color": "green"}, 'spec.color: Unsupported value: "green": supported values: "red", "blue"'),
        ({"tags": ["a", "a"]}, 'spec.tags[1]: Duplicate value: "a"'),
    ],
)
def test_the_words_of_a_schema(gadgets: Gadgets, spec: Json, said: str) -> None:
    """Limits, types, choices and sets are refused in the server's words."""
    assert said in gadgets.api.post(gadgets.path(), gadgets.body("wrong", spec=spec)).refused(422, "Invalid").message


def test_status_of_a_custom_resource(gadgets: Gadgets) -> None:
    """With the status subresource, status is written by its own path and counts no generation."""
    made = gadgets.create("status", spec={"size": 1}, status={"x": 1})
    assert "status" not in made
    patch = {"spec": {"size": 2}, "status": {"x": 1}}
    written = gadgets.api.patch(gadgets.path("status", "status"), patch).ok()
    assert (written["spec"]["size"], written["status"], written["metadata"]["generation"]) == (1, {"x": 1}, 1)
    written = gadgets.api.patch(gadgets.path("status"), patch).ok()
    assert (written["spec"]["size"], written["metadata"]["generation"]) == (2, 2)


def test_scale_of_a_custom_resource(gadgets: Gadgets) -> None:
    """The scale subresource reads and writes the paths that the definition names."""
    gadgets.create("scaled", spec={"replicas": 1})
    path = gadgets.path("scaled", "scale")
    assert gadgets.api.get(path).ok()["spec"]["replicas"] == 1
    assert gadgets.api.patch(path, {"spec": {"replicas": 3}}).ok()["spec"]["replicas"] == 3
    assert gadgets.api.get(gadgets.path("scaled")).ok()["spec"]["replicas"] == 3


def test_custom_resources_need_a_version_to_be_replaced(gadgets: Gadgets) -> None:
    """PUT without metadata.resourceVersion is 422: custom resources allow no unconditional update."""
    gadgets.create("replaced")
    refused = gadgets.api.put(gadgets.path("replaced"), gadgets.body("replaced")).refused(422, "Invalid")
    assert refused.fields == ["metadata.resourceVersion"]


def test_custom_resources_have_no_strategic_patch(gadgets: Gadgets) -> None:
    """A strategic merge patch is 415: nothing is known of their lists."""
    gadgets.create("patched")
    gadgets.api.patch(gadgets.path("patched"), {}, STRATEGIC).refused(415, "UnsupportedMediaType")
    assert gadgets.api.patch(gadgets.path("patched"), {"spec": {"size": 2}}).ok()["spec"]["size"] == 2


def test_custom_resources_are_applied(gadgets: Gadgets) -> None:
    """Server-side apply works; lists without list type are atomic."""
    path = gadgets.path("applied")
    parts = [{"name": "a"}, {"name": "b"}]
    found = gadgets.api.apply(path, gadgets.body("applied", spec={"parts": parts}), "one").ok()
    assert owners(found)["one"] == {"f:spec": {"f:parts": {}}}
    other = gadgets.body("applied", spec={"parts": parts[:1]})
    gadgets.api.apply(path, other, "two").refused(409, "Conflict")
    assert gadgets.api.apply(path, other, "two", force="true").ok()["spec"]["parts"] == parts[:1]


def test_kubectl_prints_their_columns(gadgets: Gadgets) -> None:
    """additionalPrinterColumns are what kubectl get shows, by any of the kind's names."""
    gadgets.create("printed", spec={"color": "blue"})
    lines = gadgets.space.kubectl("get", f"gad.{gadgets.group}", "printed").succeeded().output.splitlines()
    assert [line.split() for line in lines] == [["NAME", "COLOR"], ["printed", "blue"]]


def test_versions_of_a_kind(shared: Space) -> None:
    """With conversion None an object is served in every served version: its apiVersion is the one that is asked in.

    Each version has its own schema; the preferred one is the highest; a version that is not served is 404.
    """
    group = f"t{uuid.uuid4().hex[:8]}.kfold.dev"
    one = Gadgets(shared.api, shared, group)
    body = definition(group)
    stable = body["spec"]["versions"][0]
    old = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    beta = {"name": "v1beta1", "served": True, "storage": False, "schema": {"openAPIV3Schema": old}}
    body["spec"]["versions"] = [beta, stable, {**beta, "name": "v1alpha1", "served": False}]
    shared.api.post(DEFINITIONS, body).ok()
    try:
        wait_until(lambda: one.api.get(one.path()).code == 200, "the new kind", seconds=PATIENCE)
        versions = [entry["version"] for entry in one.api.get(f"/apis/{group}").ok()["versions"]]
        assert versions == ["v1", "v1beta1"]
        made = one.create("both", spec={"color": "red"})
        path, older = one.path("both"), one.path("both").replace("/v1/", "/v1beta1/")
        found = one.api.get(older).ok()
        assert (found["apiVersion"], found["metadata"]["uid"]) == (f"{group}/v1beta1", made["metadata"]["uid"])
        assert found["spec"]["size"] == 5
        listed = one.api.get(one.path().replace("/v1/", "/v1beta1/")).ok()
        assert [item["apiVersion"] for item in listed["items"]] == [f"{group}/v1beta1"]
        changed = one.api.patch(older, {"spec": {"size": 7}}).ok()
        assert changed["metadata"]["generation"] == 2
        assert one.api.get(path).ok()["spec"]["size"] == 7
        assert one.api.get(older + "/status").code == 404
        assert one.api.get(one.path().replace("/v1/", "/v1alpha1/")).code == 404
        assert one.api.get(one.definition).ok()["status"]["storedVersions"] == ["v1"]
    finally:
        one.api.delete(one.definition)
        wait_until(lambda: one.api.get(one.definition).code == 404, "the definition's end", seconds=PATIENCE)


@pytest.mark.parametrize(
    "schema",
    [{"type": "string"}, {"properties": {}}, {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}],
)
def test_a_definition_has_a_schema(gadgets: Gadgets, schema: Json) -> None:
    """A schema that is none of an object, or has a pattern that is none, is 422."""
    wrong = definition(gadgets.group)
    wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    refused = gadgets.api.post(DEFINITIONS, wrong, dryRun="All").refused(422, "Invalid")
    assert any(field.startswith("spec.v") for field in refused.fields)


def test_a_definition_has_the_name_of_its_kind(gadgets: Gadgets) -> None:
    """A definition whose name is not PLURAL.GROUP is 422."""
    wrong = definition(gadgets.group)
    wrong["metadata"]["name"] = f"things.{gadgets.group}"
    refused = gadgets.api.post(DEFINITIONS, wrong).refused(422, "Invalid")
    assert "metadata.name" in refused.fields


def test_a_definition_takes_its_resources_along(shared: Space) -> None:
    """Deleting a definition deletes its resources, and the kind is 404 from then on."""
    group = f"t{uuid.uuid4().hex[:8]}.kfold.dev"
    one = Gadgets(shared.api, shared, group)
    one.api.post(DEFINITIONS, definition(group)).ok()
    wait_until(lambda: one.api.get(one.path()).code == 200, "the new kind", seconds=PATIENCE)
    wait_until(lambda: one.api.post(one.path(), one.body("gone")).code == 201, "a resource", seconds=PATIENCE)
    one.api.delete(one.definition).ok()
    wait_until(lambda: one.api.get(one.definition).code == 404, "the definition's end", seconds=PATIENCE)
    wait_until(lambda: one.api.get(one.path("gone")).code == 404, "the kind's end", seconds=PATIENCE)


def test_what_a_definition_keeps(gadgets: Gadgets) -> None:
    """Scope and kind of an established definition are fixed, and every field of its schema has a type: else 422."""
    for spec, field in (({"scope": "Cluster"}, "spec.scope"), ({"names": {"kind": "Widget"}}, "spec.names.kind")):
        assert field in gadgets.api.patch(gadgets.definition, {"spec": spec}).refused(422, "Invalid").fields
    body = definition(gadgets.group.replace("t", "u", 1))
    body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"] = {"minimum": 1}
    refused = gadgets.api.post(DEFINITIONS, body, dryRun="All").refused(422, "Invalid")
    assert any(name.endswith(".type") for name in refused.fields), refused.fields


def test_a_deprecated_version_warns(shared: Space) -> None:
    """Who writes in a deprecated version is warned; a terminating definition takes no new objects: 405."""
    group = f"t{uuid.uuid4().hex[:8]}.kfold.dev"
    body = definition(group)
    body["spec"]["versions"][0].update(deprecated=True, deprecationWarning="gadgets are of the past")
    found = Gadgets(shared.api, shared, group)
    found.api.post(DEFINITIONS, body).ok()
    try:
        wait_until(lambda: found.api.get(found.path()).code == 200, "the new kind", seconds=PATIENCE)
        held = found.body("held")
        held["metadata"]["finalizers"] = ["kfold.dev/hold"]
        wait_until(
            lambda: (answer := found.api.post(found.path(), held)).code == 201 and "of the past" in answer.warnings,
            "a warning",
            seconds=PATIENCE,
        )
        found.api.delete(found.definition).ok()
        wait_until(
            lambda: condition_of(found.api.get(found.definition).ok(), "Terminating").get("status") == "True",
            "the condition",
            seconds=PATIENCE,
        )
        found.api.post(found.path(), found.body("late")).refused(405, "MethodNotAllowed")
    finally:
        found.api.patch(found.path("held"), {"metadata": {"finalizers": None}})
        found.api.delete(found.definition)
        wait_until(lambda: found.api.get(found.definition).code == 404, "the definition's end", seconds=PATIENCE)


def test_rules_of_a_definition(gadgets: Gadgets) -> None:
    """x-kubernetes-validations: what breaks a rule is 422 with the rule's message, path and reason.

    A rule about oldSelf holds for updates; the value at a broken rule is shown unless it is an object or a list.
    """
    gadgets.create("ruled", spec={"size": 5, "serial": "one", "least-size": 3})
    refused = gadgets.api.patch(gadgets.path("ruled"), {"spec": {"least-size": 5}}).refused(422, "Invalid")
    assert refused.fields == ["spec"] and "too small" in refused.message
    refused = gadgets.api.patch(gadgets.path("ruled"), {"spec": {"serial": "two"}}).refused(422, "Invalid")
    assert 'spec.serial: Invalid value: "' in refused.message and refused.message.endswith(": serial stays")
    gadgets.api.patch(gadgets.path("ruled"), {"spec": {"serial": None}}).ok()
    long = gadgets.body("long", spec={"parts": [{"name": "a-long-name"}]})
    refused = gadgets.api.post(gadgets.path(), long).refused(422, "Invalid")
    assert refused.body["details"]["causes"] == [
        {"reason": "FieldValueForbidden", "message": "Forbidden: 1 parts with long names", "field": "spec.parts"}
    ]
    refused = gadgets.api.post(gadgets.path(), gadgets.body("bad-one", spec={})).refused(422, "Invalid")
    assert "failed rule: !self.metadata.name.contains('bad')" in refused.message
    wrong = gadgets.api.post(gadgets.path(), gadgets.body("wrong", spec={"size": "x"})).refused(422, "Invalid")
    assert "some validation rules were not checked because the object was invalid" in wrong.message


@pytest.mark.parametrize(
    ("rule", "said"), [("self.size >", "Syntax error"), ("self.colour == 'red'", "undefined field 'colour'")]
)
def test_rules_that_cannot_be_compiled(shared: Space, rule: str, said: str) -> None:
    """A definition with such a rule is 422; the path is that of the whole definition where all versions have one schema."""
    body = definition(f"rules-{uuid.uuid4().hex[:8]}.kfold.dev")
    spec = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = [{"rule": rule}]
    refused = shared.api.post(DEFINITIONS, body).refused(422, "Invalid")
    path = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"
    assert refused.fields == [path]
    assert "compilation failed" in refused.message and said in refused.message
