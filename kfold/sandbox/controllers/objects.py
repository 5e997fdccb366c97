"""What controllers ask of objects: who owns them, whether Pods are ready, and Pods made from templates."""

from __future__ import annotations

import json
import math
import time
from datetime import datetime
from typing import Any

from kfold.sandbox.api.admission import admit
from kfold.sandbox.api.documents import copied
from kfold.sandbox.api.errors import ApiError
from kfold.sandbox.api.resources import PODS, Resource
from kfold.sandbox.api.selectors import selector_matches
from kfold.sandbox.api.store import Store
from kfold.sandbox.kubelet.recorder import Recorder

Json = dict[str, Any]

SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes (k8s.io/apimachinery, util/rand)."""


def owner_reference(owner: Json, *, block: bool = True) -> Json:
    """The reference that makes `owner` the controller of a dependent."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": block,
    }


def controller_of(obj: Json) -> Json | None:
    """The owner reference of the object's controller, if it has one."""
    references = obj["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def is_controlled_by(obj: Json, owner: Json) -> bool:
    reference = controller_of(obj)
    return reference is not None and bool(reference["uid"] == owner["metadata"]["uid"])


def claim(store: Store, owner: Json, resource: Resource, selector: Json | None) -> list[Json]:
    """The owner's objects of that kind, after adopting orphans that its selector matches and letting go of strangers.

    Copies. Rules of k8s.io/kubernetes/pkg/controller, ControllerRefManager. An owner that is being deleted adopts nothing.
    """
    uid, deleting = owner["metadata"]["uid"], bool(owner["metadata"].get("deletionTimestamp"))
    mine = []
    for obj in store.peek_all(resource, owner["metadata"]["namespace"]):
        reference = controller_of(obj)
        matches = selector_matches(selector, obj["metadata"].get("labels"))
        if reference is not None and reference["uid"] == uid:
            if matches or deleting:
                mine.append(copied(obj))
            else:
                _release(store, resource, obj, uid)
        elif reference is None and matches and not deleting and not obj["metadata"].get("deletionTimestamp"):
            adopted = copied(obj)
            adopted["metadata"].setdefault("ownerReferences", []).append(owner_reference(owner))
            mine.append(store.update(resource, adopted))
    return mine


def _release(store: Store, resource: Resource, obj: Json, uid: str) -> None:
    released = copied(obj)
    references = [entry for entry in released["metadata"]["ownerReferences"] if entry["uid"] != uid]
    released["metadata"]["ownerReferences"] = references
    store.update(resource, released)


def owner_key(obj: Json, kind: str) -> tuple[str, str] | None:
    """(namespace, name) of the object's controller if that is of `kind`."""
    reference = controller_of(obj)
    if reference is None or reference["kind"] != kind:
        return None
    return obj["metadata"]["namespace"], reference["name"]


def matching_owners(store: Store, resource: Resource, pod: Json) -> list[tuple[str, str]]:
    """Objects that could adopt a Pod without a controller."""
    found = store.peek_all(resource, pod["metadata"]["namespace"])
    labels = pod["metadata"].get("labels")
    return [place(obj) for obj in found if selector_matches(obj["spec"].get("selector"), labels)]


def place(obj: Json) -> tuple[str, str]:
    """(namespace, name); the namespace of a cluster-wide object is empty."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def pod_from_template(template: Json, owner: Json, *, name: str = "", labels: Json | None = None) -> Json:
    """A Pod for `owner`: its name, or one generated from the owner's."""
    metadata = copied(template.get("metadata") or {})
    kept = {key: metadata[key] for key in ("labels", "annotations", "finalizers") if metadata.get(key)}
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **kept,
            "namespace": owner["metadata"]["namespace"],
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": copied(template["spec"]),
    }
    if labels:
        pod["metadata"]["labels"] = {**(kept.get("labels") or {}), **labels}
    pod["metadata"] |= {"name": name} if name else {"generateName": f"{owner['metadata']['name']}-"}
    return pod


def create_pod(store: Store, recorder: Recorder, component: str, owner: Json, pod: Json) -> Json:
    """The Pod as it is stored. Raises ApiError where it cannot be, told in an Event of its owner."""
    try:
        admit(store, PODS, owner["metadata"]["namespace"], pod)
        return store.create(PODS, pod)
    except ApiError as error:
        recorder.warning(component, owner, "FailedCreate", f"Error creating: {error}")
        raise


def is_active(pod: Json) -> bool:
    """Neither ended nor told to end."""
    return not pod["metadata"].get("deletionTimestamp") and phase(pod) not in ("Succeeded", "Failed")


def phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def condition(obj: Json, kind: str) -> Json:
    """The condition of that type, or an empty mapping."""
    found: list[Json] = (obj.get("status") or {}).get("conditions") or []
    return next((entry for entry in found if entry["type"] == kind), {})


def is_ready(pod: Json) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def seconds_until_available(pod: Json, least: int) -> float | None:
    """0 when the Pod has been ready for `least` seconds, else how many are missing; None while it is not ready."""
    ready = condition(pod, "Ready")
    if ready.get("status") != "True" or pod["metadata"].get("deletionTimestamp"):
        return None
    return max(0.0, seconds(ready["lastTransitionTime"]) + least - time.time()) if least else 0.0


def seconds(moment: str) -> float:
    """Seconds since the epoch of an RFC 3339 time in UTC."""
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def set_condition(conditions: list[Json], new: Json) -> list[Json]:
    """`conditions` with one of them replaced. Keys that say times are kept where the status is what it was."""
    old = next((entry for entry in conditions if entry["type"] == new["type"]), None)
    if old is None:
        return [*conditions, new]
    if old["status"] == new["status"]:
        new = {**new, "lastTransitionTime": old.get("lastTransitionTime", new.get("lastTransitionTime"))}
        if old.get("reason") == new.get("reason") and old.get("message") == new.get("message"):
            new = {**new, **{key: old[key] for key in ("lastUpdateTime",) if key in old}}
    return [new if entry["type"] == new["type"] else entry for entry in conditions]


def template_hash(template: Json, collisions: int = 0) -> str:
    """The pod-template-hash: FNV-1a of the template, in an alphabet that is safe in names.

    The real one hashes Go's memory dump of the struct; nobody can compute it from outside, so only its form counts.
    """
    text = json.dumps(template, sort_keys=True, separators=(",", ":")) + (str(collisions) if collisions else "")
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(SAFE_ALPHABET[int(digit) % len(SAFE_ALPHABET)] for digit in str(value))


def scaled_value(value: object, total: int, *, up: bool) -> int:
    """A number or a percentage ("25%") of `total`, rounded up or down (util/intstr)."""
    if isinstance(value, str) and value.endswith("%"):
        part = int(value[:-1]) * total / 100
        return math.ceil(part) if up else math.floor(part)
    return int(str(value))
