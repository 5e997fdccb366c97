"""A rolling update, step by step with Pods that become ready in any order, keeps its promises and comes to its end."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kfold.sandbox.controllers import objects, rollout

Json = dict[str, Any]


def replicaset(name: str, replicas: int, available: int) -> Json:
    metadata = {"name": name, "creationTimestamp": f"2024-01-01T00:00:0{name[-1]}Z"}
    return {"metadata": metadata, "spec": {"replicas": replicas}, "status": {"availableReplicas": available}}


limit = st.one_of(st.integers(0, 5), st.integers(0, 100).map(lambda number: f"{number}%"))


@given(st.integers(0, 8), limit, limit, st.data())
def test_a_rolling_update_keeps_its_limits_and_ends(replicas: int, most: Any, unavailable: Any, data: st.DataObject) -> None:
    rolling = {"maxSurge": most, "maxUnavailable": unavailable}
    deployment = {"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}
    surge, missing = rollout.limits(deployment)
    assert surge + missing > 0 or replicas == 0
    old, new = replicaset("old-1", replicas, replicas), replicaset("new-2", 0, 0)
    for _ in range(4 * replicas + 4):
        size = rollout.new_size(deployment, new, [old])
        assert size >= new["spec"]["replicas"]
        new["spec"]["replicas"] = size
        for entry, smaller in rollout.shrink_old(deployment, new, [old]):
            assert 0 <= smaller < entry["spec"]["replicas"]
            entry["spec"]["replicas"] = smaller
            entry["status"]["availableReplicas"] = min(entry["status"]["availableReplicas"], smaller)
        total = old["spec"]["replicas"] + new["spec"]["replicas"]
        available = old["status"]["availableReplicas"] + new["status"]["availableReplicas"]
        assert total <= replicas + surge
        assert available >= replicas - missing
        if old["spec"]["replicas"] == 0 and new["status"]["availableReplicas"] == replicas:
            break
        waiting = new["spec"]["replicas"] - new["status"]["availableReplicas"]
        new["status"]["availableReplicas"] += data.draw(st.integers(min(1, waiting), waiting))
    assert (old["spec"]["replicas"], new["spec"]["replicas"]) == (0, replicas)


@given(st.integers(1, 8), st.data())
def test_pods_that_do_not_work_go_first(replicas: int, data: st.DataObject) -> None:
    sick = data.draw(st.integers(1, replicas))
    deployment = {"spec": {"replicas": replicas, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}}
    broken, new = replicaset("broken-1", replicas, replicas - sick), replicaset("new-2", 1, 0)
    shrunk = {entry["metadata"]["name"]: size for entry, size in rollout.shrink_old(deployment, new, [broken])}
    # nothing that works is given up, and there is no room: one surge Pod is not available yet
    assert shrunk.get("broken-1", replicas) >= replicas - sick


def test_the_template_hash_is_safe_in_names_and_differs() -> None:
    template = {"spec": {"containers": [{"name": "app", "image": "web:1"}]}}
    other = {"spec": {"containers": [{"name": "app", "image": "web:2"}]}}
    first = objects.template_hash(template)
    assert first == objects.template_hash(dict(template)) and set(first) <= set(objects.SAFE_ALPHABET)
    assert len({first, objects.template_hash(other), objects.template_hash(template, 1)}) == 3
