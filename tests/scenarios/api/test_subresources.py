"""Subresources and reviews: scale, status, eviction, ephemeral containers, resize, tokens, who am I."""

from __future__ import annotations

from typing import Any

from tests.scenarios.api.cluster import CORE, MERGE, STRATEGIC, Space
from tests.scenarios.api.objects import SERVE, container, deployment, idle_pod, pod, service


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


def test_an_ephemeral_container(space: Space) -> None:
    """It joins a running Pod by its own path alone, runs once, sees the target's processes, and cannot be changed."""
    space.create(pod("web", container(space.image)))
    space.ready("web")
    new = {"name": "look", "image": space.image, "imagePullPolicy": "IfNotPresent", "targetContainerName": "app"}
    new["command"] = ["sh", "-c", "ps; echo seen"]  # type: ignore[assignment]
    body = {"spec": {"ephemeralContainers": [new]}}
    space.api.patch(space.path("Pod", "web"), body, STRATEGIC).refused(422, "Invalid")
    path = space.path("Pod", "web", "ephemeralcontainers")
    assert space.api.patch(path, body, STRATEGIC).ok()["metadata"]["generation"] == 2

    def ended(obj: Any) -> bool:
        found = obj["status"].get("ephemeralContainerStatuses") or [{}]
        return found[0].get("state", {}).get("terminated", {}).get("exitCode") == 0

    space.wait("Pod", "web", ended, "to have been looked at")
    said = space.api.get(space.path("Pod", "web", "log"), container="look").ok()
    assert "seen" in said and "trap" in said, SERVE
    body["spec"]["ephemeralContainers"][0]["image"] = "other:1"
    refused = space.api.patch(path, body, STRATEGIC).refused(422, "Invalid")
    assert 'existing ephemeral containers "look" may not be changed' in refused.message


def test_a_resize_in_place(space: Space) -> None:
    """pods/resize changes the resources of a running container, and nothing else; it is not restarted."""
    sizes = {"requests": {"cpu": "20m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}}
    space.create(pod("web", container(space.image, resources=sizes)))
    space.ready("web")
    path = space.path("Pod", "web", "resize")
    wanted = {"requests": {"cpu": "30m", "memory": "16Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    changed = {"name": "app", "image": "other:1", "resources": wanted}
    made = space.api.patch(path, {"spec": {"containers": [changed]}}, STRATEGIC).ok()
    assert made["spec"]["containers"][0]["resources"] == wanted
    assert made["spec"]["containers"][0]["image"] == space.image
    found = space.wait("Pod", "web", lambda obj: _sizes(obj).get("limits") == wanted["limits"], "to be resized")
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0
    body = {"spec": {"containers": [{"name": "app", "resources": {"limits": {"cpu": "30m", "memory": "16Mi"}}}]}}
    refused = space.api.patch(path, body, STRATEGIC).refused(422, "Invalid")
    assert "Pod QOS Class may not change as a result of resizing" in refused.message


def _sizes(obj: Any) -> Any:
    return obj["status"]["containerStatuses"][0].get("resources") or {}


def test_a_pod_is_bound_once(space: Space) -> None:
    """A Binding gives a Pod its node; another one is 409."""
    space.create(idle_pod("web"))
    path = space.path("Pod", "web", "binding")
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"}}
    body["target"] = {"apiVersion": "v1", "kind": "Node", "name": "kfold-nowhere"}  # type: ignore[assignment]
    assert space.api.post(path, body).code == 201
    assert space.get("Pod", "web")["spec"]["nodeName"] == "kfold-nowhere"
    refused = space.api.post(path, body).refused(409, "Conflict")
    assert 'pod web is already assigned to node "kfold-nowhere"' in refused.message
    space.api.delete(space.path("Pod", "web"), gracePeriodSeconds=0).ok()


def test_a_token_of_a_service_account(space: Space) -> None:
    """POST serviceaccounts/NAME/token: a token that says whose it is, and is that account's word; 600 s at least."""
    path = f"{CORE}/namespaces/{space.name}/serviceaccounts/default/token"
    made = space.api.post(path, {"spec": {"expirationSeconds": 700}})
    assert made.code == 201 and made.body["spec"]["expirationSeconds"] == 700
    token = made.body["status"]["token"]
    assert token.count(".") == 2
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    asked = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    who = space.api.send("POST", asked, review, headers={"Authorization": f"Bearer {token}"}).ok()["status"]["userInfo"]
    assert who["username"] == f"system:serviceaccount:{space.name}:default"
    assert "system:serviceaccounts" in who["groups"]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}  # type: ignore[dict-item]
    told = space.api.post("/apis/authentication.k8s.io/v1/tokenreviews", review).ok()["status"]
    assert told["authenticated"] and told["user"]["username"] == who["username"]
    refused = space.api.post(path, {"spec": {"expirationSeconds": 5}}).refused(422, "Invalid")
    assert refused.fields == ["spec.expirationSeconds"]


def test_what_one_may_do(shared: Space) -> None:
    """Access reviews are answered and not kept: the asker of this suite may list Pods; who asks nothing gets 422."""
    prefix = "/apis/authorization.k8s.io/v1"
    spec = {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": shared.name}}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    told = shared.api.post(f"{prefix}/selfsubjectaccessreviews", body).ok()
    assert told["status"]["allowed"] is True and told["spec"] == spec
    shared.api.get(f"{prefix}/selfsubjectaccessreviews").refused(405, "MethodNotAllowed")
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    refused = shared.api.post(f"{prefix}/subjectaccessreviews", body).refused(422, "Invalid")
    assert refused.fields == ["spec.user"]
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": shared.name}}
    assert shared.api.post(f"{prefix}/selfsubjectrulesreviews", body).ok()["status"]["resourceRules"]


def test_an_autoscaler_in_two_versions(space: Space) -> None:
    """autoscaling/v1 and v2 show one object: CPU is a field of v1, what v1 has no field for an annotation there."""
    path = f"/apis/autoscaling/{{}}/namespaces/{space.name}/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": target}
    body = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}, "spec": spec}
    made = space.api.post(path.format("v1"), body).ok()
    assert (made["apiVersion"], made["spec"]["minReplicas"]) == ("autoscaling/v1", 1)
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    found = space.api.get(path.format("v2") + "/web").ok()
    assert (found["apiVersion"], found["spec"]["metrics"]) == ("autoscaling/v2", [cpu])
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    memory = {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "9Mi"}}}
    space.api.patch(path.format("v2") + "/web", {"spec": {"metrics": [cpu, memory]}}).ok()
    seen = space.api.get(path.format("v1") + "/web").ok()
    assert seen["spec"]["targetCPUUtilizationPercentage"] == 50
    assert "memory" in seen["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"]
    space.api.patch(path.format("v1") + "/web", {"spec": {"maxReplicas": 5}}).ok()
    again = space.api.get(path.format("v2") + "/web").ok()
    assert (again["spec"]["maxReplicas"], again["spec"]["metrics"]) == (5, [cpu, memory])


def test_events_in_two_groups(space: Space) -> None:
    """v1 and events.k8s.io/v1 show one Event, each under its own names."""
    about = {"apiVersion": "v1", "kind": "Pod", "name": "web", "namespace": space.name}
    body = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1"}, "involvedObject": about}
    space.create({**body, "reason": "Seen", "message": "here", "type": "Normal", "count": 2})
    path = f"/apis/events.k8s.io/v1/namespaces/{space.name}/events"
    found = space.api.get(path, fieldSelector="regarding.name=web").ok()["items"]
    assert [(one["note"], one["regarding"], one["deprecatedCount"]) for one in found] == [("here", about, 2)]
    elsewhere = {**body, "metadata": {"name": "web.2"}, "involvedObject": {**about, "namespace": "kube-system"}}
    assert space.api.post(space.path("Event"), elsewhere).refused(422, "Invalid").fields == ["involvedObject.namespace"]
