"""Refused requests: the code and the reason that clients decide by."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.api.cluster import APPLY, CORE, JSON_PATCH, MERGE, STRATEGIC, Api, Space
from tests.scenarios.api.objects import config_map, container, deployment, pod


def test_a_missing_object_is_404(shared: Space) -> None:
    """GET of what is not there: 404 NotFound with name and plural in details."""
    refused = shared.api.get(shared.path("Deployment", "nothing")).refused(404, "NotFound")
    assert refused.body["details"] == {"name": "nothing", "group": "apps", "kind": "deployments"}
    assert refused.message == 'deployments.apps "nothing" not found'


def test_a_missing_namespace_is_404(shared: Space) -> None:
    """Creating in a namespace that is not there: 404 that names the namespace. Listing in it: an empty list."""
    refused = shared.api.post(f"{CORE}/namespaces/kfold-nowhere/configmaps", config_map()).refused(404, "NotFound")
    assert refused.message == 'namespaces "kfold-nowhere" not found'
    assert shared.api.get(f"{CORE}/namespaces/kfold-nowhere/configmaps").ok()["items"] == []


def test_an_unknown_kind_is_404(shared: Space) -> None:
    """A path of no resource is 404, for a known and for an unknown group."""
    for path in ("/api/v1/gadgets", "/apis/apps/v1/gadgets", "/apis/no.such.group/v1/gadgets", "/api/v9/pods"):
        answer = shared.api.get(path)
        assert answer.code == 404, path


def test_the_same_name_twice_is_409(shared: Space) -> None:
    """POST of a name that exists: 409 AlreadyExists."""
    shared.create(config_map("first"))
    refused = shared.api.post(shared.path("ConfigMap"), config_map("first")).refused(409, "AlreadyExists")
    assert refused.message == 'configmaps "first" already exists'


def test_a_stale_resource_version_is_409(shared: Space) -> None:
    """PUT with a resourceVersion that is no longer the current one: 409 Conflict; without one it replaces."""
    stale = shared.create(config_map("locked", a="1"))
    current = shared.patch("ConfigMap", "locked", {"data": {"a": "2"}})
    path = shared.path("ConfigMap", "locked")
    refused = shared.api.put(path, stale | {"data": {"a": "3"}}).refused(409, "Conflict")
    assert "the object has been modified" in refused.message
    assert shared.get("ConfigMap", "locked") == current
    assert shared.api.put(path, config_map("locked", a="4")).ok()["data"] == {"a": "4"}


def test_a_patch_can_carry_the_lock(shared: Space) -> None:
    """A patch that sets metadata.resourceVersion is applied to that version alone: otherwise 409."""
    stale = shared.create(config_map("patched"))["metadata"]["resourceVersion"]
    shared.patch("ConfigMap", "patched", {"data": {"a": "1"}})
    patch = {"metadata": {"resourceVersion": stale}, "data": {"a": "2"}}
    shared.api.patch(shared.path("ConfigMap", "patched"), patch).refused(409, "Conflict")


def test_writes_to_what_is_not_there_are_404(shared: Space) -> None:
    """PUT, PATCH and DELETE of a ConfigMap that is not there: 404, nothing is created."""
    path = shared.path("ConfigMap", "absent")
    shared.api.put(path, config_map("absent")).refused(404, "NotFound")
    shared.api.patch(path, {"data": {}}).refused(404, "NotFound")
    shared.api.delete(path).refused(404, "NotFound")
    assert shared.find("ConfigMap", "absent") is None


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Secret"},
        {"apiVersion": "v2"},
        {"metadata": {"name": "body", "namespace": "default"}},
    ],
    ids=["another kind", "another version", "another namespace"],
)
def test_a_body_that_does_not_belong_to_its_path(shared: Space, change: dict[str, Any]) -> None:
    """A body of another kind, version or namespace than its path is 400."""
    shared.api.post(shared.path("ConfigMap"), config_map("body") | change).refused(400, "BadRequest")


def test_a_body_without_a_kind(shared: Space) -> None:
    """kind and apiVersion that a body leaves out are those of its path."""
    body = config_map("kindless")
    del body["kind"], body["apiVersion"]
    assert shared.api.post(shared.path("ConfigMap"), body).ok()["kind"] == "ConfigMap"


def test_a_body_of_another_name(shared: Space) -> None:
    """PUT with another name in the body than in the path is 400."""
    shared.create(config_map("path"))
    shared.api.put(shared.path("ConfigMap", "path"), config_map("body")).refused(400, "BadRequest")


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"", b"\xff\xfe"], ids=["cut", "list", "text", "empty", "bytes"])
def test_a_body_that_is_none(shared: Space, body: bytes) -> None:
    """A body that is no JSON object is 400."""
    shared.api.post(shared.path("ConfigMap"), body).refused(400, "BadRequest")


def test_a_media_type_that_is_not_served(shared: Space) -> None:
    """A body of an unknown media type is 415, a patch of one too."""
    shared.api.send("POST", shared.path("ConfigMap"), b"a=b", kind="application/x-www-form-urlencoded").refused(
        415, "UnsupportedMediaType"
    )
    shared.create(config_map("media"))
    shared.api.patch(shared.path("ConfigMap", "media"), {}, "application/json").refused(415, "UnsupportedMediaType")


def test_a_body_that_is_too_large(shared: Space) -> None:
    """A body of more than 3 MiB is 413."""
    answer = shared.api.post(shared.path("ConfigMap"), config_map("large", a="x" * (4 * 1024 * 1024)))
    assert (answer.code, answer.reason) == (413, "RequestEntityTooLarge")


def test_a_wrong_token_is_401(api: Api) -> None:
    """A bearer token that nobody knows is 401 Unauthorized, also for paths that are not there."""
    import urllib3

    configuration = api.client.configuration
    with urllib3.PoolManager(ca_certs=configuration.ssl_ca_cert) as pool:
        for path in ("/api/v1/pods", "/api/v1/gadgets"):
            answer = pool.request("GET", api.host + path, headers={"Authorization": "Bearer wrong"}, retries=False)
            assert answer.status == 401
            assert answer.json()["reason"] == "Unauthorized"


@pytest.mark.parametrize(
    "query",
    [
        *({"labelSelector": text} for text in ("a in b", "=b", "a=-b", "a=b=c", "(", "a in", "a>b", "-x-", "a b")),
        {"fieldSelector": "data.a=1"},
        {"limit": "many"},
        {"continue": "here"},
        {"resourceVersion": "now"},
    ],
    ids=lambda query: "&".join(f"{key}={value}" for key, value in query.items()),
)
def test_a_list_query_that_is_none(shared: Space, query: dict[str, str]) -> None:
    """Selectors, limits, continue tokens and versions that cannot be read are 400."""
    answer = shared.api.get(shared.path("ConfigMap"), **query)
    assert answer.code in (400, 422) if "resourceVersion" in query else answer.code == 400, answer.body


def test_options_that_are_none(shared: Space) -> None:
    """Unknown values of dryRun, fieldValidation and propagationPolicy, and an apply without manager, are 422."""
    shared.api.post(shared.path("ConfigMap"), config_map("options"), dryRun="Some").refused(422, "Invalid")
    shared.api.post(shared.path("ConfigMap"), config_map("options"), fieldValidation="Maybe").refused(422, "Invalid")
    shared.create(config_map("options"))
    path = shared.path("ConfigMap", "options")
    shared.api.delete(path, propagationPolicy="Never").refused(422, "Invalid")
    shared.api.patch(path, config_map("options"), APPLY).refused(422, "Invalid")
    shared.api.patch(path, {}, force="true").refused(422, "Invalid")


def test_a_method_that_a_path_does_not_have(shared: Space) -> None:
    """POST to an object and PUT to a collection are 405."""
    shared.create(config_map("method"))
    for method, path in (("POST", shared.path("ConfigMap", "method")), ("PUT", shared.path("ConfigMap"))):
        answer = shared.api.send(method, path, config_map("method"))
        assert (answer.code, answer.reason) == (405, "MethodNotAllowed")


def test_json_patches_that_fail(shared: Space) -> None:
    """A JSON patch that is none is 400; one whose test or path fails is 422, and nothing of it is done."""
    made = shared.create(config_map("json", a="1"))
    path = shared.path("ConfigMap", "json")
    shared.api.patch(path, {"op": "add"}, JSON_PATCH).refused(400, "BadRequest")
    add = {"op": "add", "path": "/data/b", "value": "2"}
    for failing in ({"op": "test", "path": "/data/a", "value": "9"}, {"op": "remove", "path": "/data/nothing"}):
        shared.api.patch(path, [add, failing], JSON_PATCH).refused(422, "Invalid")
    assert shared.get("ConfigMap", "json") == made


def test_a_patch_cannot_break_an_object(shared: Space) -> None:
    """What results from a patch is validated as a PUT of it is."""
    shared.create(deployment("broken"))
    path = shared.path("Deployment", "broken")
    shared.api.patch(path, {"spec": {"replicas": -1}}).refused(422, "Invalid")
    for how in (MERGE, STRATEGIC):
        refused = shared.api.patch(path, {"spec": {"replicas": "three"}}, how).refused(422, "Invalid")
        assert refused.fields == ["patch"]
    shared.api.patch(path, {"spec": {"rplicas": 3}}, fieldValidation="Strict").refused(422, "Invalid")


def test_a_json_patch_of_wrong_type_is_refused(shared: Space) -> None:
    """A JSON patch that leaves a value of a wrong type is refused as well."""
    shared.create(config_map("typed", a="1"))
    patch = [{"op": "replace", "path": "/data/a", "value": 1}]
    assert shared.api.patch(shared.path("ConfigMap", "typed"), patch, JSON_PATCH).code in (400, 422)
    assert shared.get("ConfigMap", "typed")["data"] == {"a": "1"}


@pytest.mark.parametrize(
    "body", [[1], {"kind": "Pod", "apiVersion": "v1"}, {"deleteOptions": 3}], ids=["list", "kind", "options"]
)
def test_an_eviction_that_is_none(shared: Space, body: Any) -> None:
    """A body that is no Eviction is 400, and evicts nothing."""
    if shared.find("Pod", "stays") is None:
        shared.create(pod("stays", container(shared.image)))
    shared.api.post(shared.path("Pod", "stays", "eviction"), body).refused(400, "BadRequest")
    assert "deletionTimestamp" not in shared.get("Pod", "stays")["metadata"]
