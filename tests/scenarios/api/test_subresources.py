"""Subresources: scale, status, eviction."""

from __future__ import annotations

from tests.scenarios.api.cluster import MERGE, STRATEGIC, Space
from tests.scenarios.api.objects import deployment, idle_pod, service


def test_scale_is_a_view(space: Space) -> None:
    """GET scale is an autoscaling/v1 Scale: replicas, the selector as text, and the object's own identity."""
    made = space.create(deployment("web"))
    scale = space.api.get(space.path("Deployment", "web", "scale")).ok()
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"].get("replicas", 0) == 0  # Go leaves a zero out
    assert scale["status"]["selector"] == "app=web"
    assert scale["metadata"]["uid"] == made["metadata"]["uid"]


def test_scale_is_written(space: Space) -> None:
    """PUT and PATCH of scale change spec.replicas and nothing else; generation counts up."""
    before = space.create(deployment("web"))
    path = space.path("Deployment", "web", "scale")
    scale = space.api.get(path).ok()
    scale["spec"]["replicas"] = 1
    assert space.api.put(path, scale).ok()["spec"]["replicas"] == 1
    assert space.api.patch(path, {"spec": {"replicas": 2}}).ok()["spec"]["replicas"] == 2
    after = space.get("Deployment", "web")
    assert after["metadata"]["generation"] == 3
    assert {**after["spec"], "replicas": 0} == before["spec"]


def test_scale_is_locked_and_validated(space: Space) -> None:
    """A stale resourceVersion in a Scale is 409, a negative number 422, a wrong type 400."""
    space.create(deployment("web"))
    path = space.path("Deployment", "web", "scale")
    stale = space.api.get(path).ok()
    space.patch("Deployment", "web", {"metadata": {"labels": {"x": "y"}}})
    stale["spec"] = {"replicas": 4}
    space.api.put(path, stale).refused(409, "Conflict")
    space.api.patch(path, {"spec": {"replicas": -1}}).refused(422, "Invalid")
    space.api.patch(path, {"spec": {"replicas": "many"}}).refused(400, "BadRequest")
    assert space.get("Deployment", "web")["spec"]["replicas"] == 0


def test_status_is_written_alone(space: Space) -> None:
    """PUT of status takes status alone and ignores the spec in the body; PUT of the object ignores status."""
    made = space.create(service("web"))
    body = {**made, "spec": {**made["spec"], "sessionAffinity": "ClientIP"}}
    body["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}}
    refused = space.api.put(space.path("Service", "web", "status"), body)
    # since 1.33 only a LoadBalancer may have an ingress
    if refused.code == 422:
        body["status"] = {
            "conditions": [
                {
                    "type": "kfold.dev/x",
                    "status": "True",
                    "reason": "x",
                    "message": "",
                    "lastTransitionTime": "2001-01-01T00:00:00Z",
                }
            ]
        }
        refused = space.api.put(space.path("Service", "web", "status"), body)
    written = refused.ok()
    assert written["spec"] == made["spec"]
    assert written["status"] != made["status"]
    written["status"] = {}
    assert space.api.put(space.path("Service", "web"), written).ok()["status"] != {}


def test_status_does_not_count_as_generation(space: Space) -> None:
    """A change of status raises the resourceVersion and not the generation."""
    made = space.create(deployment("web") | {"spec": {**deployment("web")["spec"], "paused": True}})
    patch = {"status": {"conditions": [{"type": "kfold.dev/x", "status": "True"}]}}
    written = space.api.patch(space.path("Deployment", "web", "status"), patch, STRATEGIC).ok()
    assert written["metadata"]["generation"] == made["metadata"]["generation"]
    assert int(written["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_kinds_without_a_subresource(space: Space) -> None:
    """A ConfigMap has no status and a Pod no scale: 404."""
    assert space.api.get(space.path("ConfigMap", "x", "status")).code == 404
    space.create(idle_pod())
    assert space.api.patch(space.path("Pod", "idle", "scale"), {"spec": {"replicas": 1}}, MERGE).code == 404


def test_eviction_deletes(space: Space) -> None:
    """POST of an Eviction deletes the Pod (no disruption budget forbids it): 201."""
    space.create(idle_pod())
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "idle"}}
    answer = space.api.post(space.path("Pod", "idle", "eviction"), body)
    assert answer.code == 201
    space.gone("Pod", "idle")


def test_a_dry_eviction(space: Space) -> None:
    """An Eviction with dryRun leaves the Pod."""
    space.create(idle_pod())
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "idle"},
        "deleteOptions": {"dryRun": ["All"]},
    }
    assert space.api.post(space.path("Pod", "idle", "eviction"), body).code == 201
    assert space.find("Pod", "idle")
