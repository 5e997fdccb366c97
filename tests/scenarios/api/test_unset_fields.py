"""Fields that are sent and say nothing: clients in Go send what they do not set, and templates leave texts empty."""

from __future__ import annotations

from typing import Any

from tests.scenarios.api.cluster import Space
from tests.scenarios.api.objects import deployment, idle_pod, job, service, workload

TRIED = {"dryRun": "All"}


def test_a_service_of_a_client_in_go(shared: Space) -> None:
    """A target port of 0 is that of the Service; empty texts and a node port of 0 are none."""
    port = {"port": 80, "targetPort": 0, "protocol": "", "nodePort": 0}
    made = shared.create(service("unset", type="", sessionAffinity="", ports=[port]), **TRIED)["spec"]
    assert (made["type"], made["sessionAffinity"]) == ("ClusterIP", "None")
    assert made["ports"] == [{"port": 80, "targetPort": 80, "protocol": "TCP"}]


def test_texts_of_pods_and_workloads_that_are_empty(shared: Space) -> None:
    """They get the defaults, and so do the numbers of probes that are 0."""
    made = idle_pod("unset", restartPolicy="", dnsPolicy="", schedulerName="", serviceAccountName="")
    numbers = ("successThreshold", "periodSeconds", "timeoutSeconds")
    probe: dict[str, Any] = {"exec": {"command": ["true"]}, **dict.fromkeys(numbers, 0)}
    made["spec"]["containers"][0] |= {"imagePullPolicy": "", "livenessProbe": probe}
    spec = shared.create(made, **TRIED)["spec"]
    assert (spec["restartPolicy"], spec["dnsPolicy"]) == ("Always", "ClusterFirst")
    assert (spec["schedulerName"], spec["serviceAccountName"]) == ("default-scheduler", "default")
    assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    probe = spec["containers"][0]["livenessProbe"]
    assert [probe[key] for key in numbers] == [1, 10, 1]
    assert shared.create(deployment("unset", strategy={"type": ""}), **TRIED)["spec"]["strategy"]["type"] == "RollingUpdate"
    sets = workload("StatefulSet", "unset", replicas=0, serviceName="", podManagementPolicy="", updateStrategy={"type": ""})
    spec = shared.create(sets, **TRIED)["spec"]
    assert (spec["podManagementPolicy"], spec["updateStrategy"]["type"]) == ("OrderedReady", "RollingUpdate")


def test_one_node_port_for_both_protocols(shared: Space) -> None:
    """Ports of one number get one node port, and may be given it again (DNS, or HTTP/3 beside HTTP)."""
    ports = [{"name": name, "port": 53, "protocol": name.upper()} for name in ("udp", "tcp")]
    made = shared.create(service("both", type="NodePort", ports=ports))
    numbers = {port["nodePort"] for port in made["spec"]["ports"]}
    assert len(numbers) == 1
    shared.delete("Service", "both").ok()
    again = shared.create(service("both", type="NodePort", ports=made["spec"]["ports"]))
    assert again["spec"]["ports"] == made["spec"]["ports"]
    shared.delete("Service", "both").ok()


def test_an_address_from_outside_has_a_traffic_policy(shared: Space) -> None:
    """externalIPs make a ClusterIP Service accessible from outside: externalTrafficPolicy is Cluster, or what is said."""
    spec: dict[str, Any] = {"externalIPs": ["192.0.2.7"], "ports": [{"port": 80}]}
    assert shared.create(service("outside", **spec), **TRIED)["spec"]["externalTrafficPolicy"] == "Cluster"
    local = shared.create(service("outside", externalTrafficPolicy="Local", **spec), **TRIED)
    assert local["spec"]["externalTrafficPolicy"] == "Local"


def test_a_service_account_of_the_bindings_own_namespace(shared: Space) -> None:
    """A RoleBinding's subject needs no namespace; a ClusterRoleBinding's does."""
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    group, subjects = "rbac.authorization.k8s.io/v1", [{"kind": "ServiceAccount", "name": "default"}]
    binding = {"apiVersion": group, "metadata": {"name": "unset"}, "roleRef": reference, "subjects": subjects}
    shared.api.post(
        f"/apis/{group}/namespaces/{shared.name}/rolebindings", {**binding, "kind": "RoleBinding"}, **TRIED
    ).ok()
    body = {**binding, "kind": "ClusterRoleBinding"}
    refused = shared.api.post(f"/apis/{group}/clusterrolebindings", body, **TRIED).refused(422, "Invalid")
    assert "subjects[0].namespace: Required value" in refused.message


def test_a_condition_of_a_pod_failure_policy(shared: Space) -> None:
    """A condition without a status is one that is True."""
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    made = shared.create(job("unset", suspend=True, podFailurePolicy={"rules": [rule]}), **TRIED)
    (kept,) = made["spec"]["podFailurePolicy"]["rules"]
    assert kept["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
