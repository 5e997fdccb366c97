"""The scheduler: binds Pods to the one Node, or says why they cannot run on it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from kfold.sandbox.api import quantity
from kfold.sandbox.api.documents import copied
from kfold.sandbox.api.resources import NODES, PERSISTENTVOLUMECLAIMS, PODS, Resource
from kfold.sandbox.api.store import Store
from kfold.sandbox.controllers import objects
from kfold.sandbox.controllers.claims import claims_of
from kfold.sandbox.controllers.runner import Controller, Key
from kfold.sandbox.kubelet.configuration import host_address
from kfold.sandbox.kubelet.recorder import Recorder
from kfold.sandbox.kubelet.runtime import now

Json = dict[str, Any]

AGAIN = 5.0
"""Seconds before a Pod that does not fit is tried again, beside every change of Node or Pods."""


class Scheduler(Controller):
    """Looks at node selectors, required node affinity, taints, requests, host ports and claims.

    Not at Pod affinity and spreading.
    """

    def __init__(self, store: Store, recorder: Recorder, node: str) -> None:
        super().__init__(store, recorder)
        self._node = node

    def keys(self, kind: str, resource: Resource, obj: Json, old: Json | None) -> Iterable[Key]:
        if resource.key == PODS.key and kind != "DELETED" and not obj["spec"].get("nodeName"):
            return [objects.place(obj)]
        if resource.key == PERSISTENTVOLUMECLAIMS.key:
            namespace, name = objects.place(obj)
            waiting = (pod for pod in self._store.peek_all(PODS, namespace) if not pod["spec"].get("nodeName"))
            return [objects.place(pod) for pod in waiting if name in claims_of(pod)]
        return []

    def sync(self, key: Key) -> float | None:
        pod = self._store.peek(PODS, *key)
        if pod is None or pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp"):
            return None
        if pod["spec"].get("schedulerName", "default-scheduler") != "default-scheduler":
            return None
        pod = copied(pod)
        if gates := pod["spec"].get("schedulingGates"):
            names = " ".join(gate["name"] for gate in gates)
            self._condition(pod, "SchedulingGated", f"Scheduling is blocked due to non-empty scheduling gates [{names}]")
            return None
        node = self._store.peek(NODES, None, self._node)
        why = self._unfit(pod, node) if node else "no nodes available to schedule pods"
        if why:
            self._condition(pod, "Unschedulable", why)
            self._recorder.warning("default-scheduler", pod, "FailedScheduling", why)
            return AGAIN
        # Condition first: the kubelet starts at once when it sees the binding, and keeps this condition.
        pod = self._condition(pod, "", "")
        pod["spec"]["nodeName"] = self._node
        self._store.update(PODS, pod, subresource="binding")
        said = f"Successfully assigned {key[0]}/{key[1]} to {self._node}"
        self._recorder.normal("default-scheduler", pod, "Scheduled", said)
        return None

    def _condition(self, pod: Json, reason: str, message: str) -> Json:
        entry: Json = {"type": "PodScheduled", "status": "False" if reason else "True", "lastProbeTime": None}
        if reason:
            entry |= {"reason": reason, "message": message}
        entry |= {"lastTransitionTime": now(), "observedGeneration": pod["metadata"].get("generation", 1)}
        status = pod.setdefault("status", {})
        status["conditions"] = objects.set_condition(status.get("conditions") or [], entry)
        return self._store.update_status(PODS, pod)

    def _unfit(self, pod: Json, node: Json) -> str:
        """Why the Pod cannot run on the Node, in the scheduler's words; empty if it can."""
        reasons = suits(pod, node)
        allocatable = node["status"]["allocatable"]
        others = [
            other
            for other in self._store.peek_all(PODS)
            if other["spec"].get("nodeName") and objects.phase(other) not in ("Succeeded", "Failed")
        ]
        for name in ("cpu", "memory"):
            asked = _requests(pod, name)
            if asked and asked + sum((_requests(other, name) for other in others), Decimal()) > quantity.parse(
                allocatable[name]
            ):
                reasons.append(f"1 Insufficient {name}")
        ports = _host_ports(pod)
        if ports and any(ports & _host_ports(other) for other in others):
            reasons.append("1 node(s) didn't have free ports for the requested pod ports")
        reasons += self._claims(pod)
        if not reasons:
            return ""
        preempt = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        return f"0/1 nodes are available: {', '.join(reasons)}. {preempt}"

    def _claims(self, pod: Json) -> list[str]:
        """What is wrong with the claims that the Pod uses (scheduler's plugin volumebinding)."""
        reasons = []
        for name in sorted(claims_of(pod)):
            claim = self._store.peek(PERSISTENTVOLUMECLAIMS, pod["metadata"]["namespace"], name)
            if claim is None:
                reasons.append(f'persistentvolumeclaim "{name}" not found')
            elif claim["metadata"].get("deletionTimestamp"):
                reasons.append(f'persistentvolumeclaim "{name}" is being deleted')
            elif not claim["spec"].get("volumeName"):
                reasons.append("pod has unbound immediate PersistentVolumeClaims")
        return reasons


def _host_ports(pod: Json) -> set[tuple[str, int, str]]:
    """(address, port, protocol) of the ports of the node that the Pod takes."""
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    ports = [port for container in containers for port in container.get("ports") or []]
    taken = (port for port in ports if port.get("hostPort"))
    return {(host_address(port), port["hostPort"], port.get("protocol", "TCP")) for port in taken}


def suits(pod: Json, node: Json) -> list[str]:
    """What keeps the Pod off the Node whatever runs there already: cordon, taints, selectors. Empty: nothing."""
    reasons = []
    if node["spec"].get("unschedulable"):
        reasons.append("1 node(s) were unschedulable")
    reasons += [
        f"1 node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
        for taint in node["spec"].get("taints") or []
        if taint["effect"] != "PreferNoSchedule" and not tolerations(pod, taint)
    ]
    if not _selected(pod, node):
        reasons.append("1 node(s) didn't match Pod's node affinity/selector")
    return reasons


def _requests(pod: Json, name: str) -> Decimal:
    """What the Pod asks for: the sum of its containers, or its biggest init container."""
    apps = sum((quantity.amount(entry, "requests", name) or Decimal() for entry in pod["spec"]["containers"]), Decimal())
    inits = [quantity.amount(entry, "requests", name) or Decimal() for entry in pod["spec"].get("initContainers") or []]
    return max([apps, *inits])


def tolerations(pod: Json, taint: Json) -> list[Json]:
    """Those of the Pod that tolerate the taint."""
    return [entry for entry in pod["spec"].get("tolerations") or [] if _tolerates(entry, taint)]


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return bool(toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", ""))


def _selected(pod: Json, node: Json) -> bool:
    labels = node["metadata"].get("labels") or {}
    if not (pod["spec"].get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not affinity:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        all(_holds(entry, labels) for entry in term.get("matchExpressions") or [])
        and all(_holds(entry, fields) for entry in term.get("matchFields") or [])
        for term in affinity["nodeSelectorTerms"]
        if term.get("matchExpressions") or term.get("matchFields")
    )


def _holds(expression: Json, labels: Json) -> bool:
    value, operator, values = labels.get(expression["key"]), expression["operator"], expression.get("values") or []
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if value is None or not str(value).lstrip("-").isdigit():
        return False
    return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])
