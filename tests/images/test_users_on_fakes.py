"""What in a cluster holds an image, in this process, on the fakes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kfold.errors import KfoldError
from kfold.ledger import Effect
from kfold.plan.facts import Facts, LocalRegistry, Target
from kfold.plan.steps import compile_plan
from kfold.stores.cluster_interface import ClusterError
from kfold.stores.fake_cluster import FakeCluster
from kfold.stores.fake_registry import FakeRegistry
from kfold.stores.registry_interface import OCI_MANIFEST, Manifest
from kfold.verbs import push
from kfold.verbs.deployment import delete_deployment
from kfold.verbs.versions import candidates
from kfold.verbs.world import Built, Run, Tagged
from tests.images.test_on_fakes import Shop, shop
from tests.plan.test_graphs import artifact, config, target

__all__ = ["shop"]


def deployment(name: str, image: str) -> dict[str, Any]:
    spec = {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def test_a_registry_that_nodes_know_by_another_name(shop: Shop) -> None:
    """Manifests get that name; by each of them, with digest or tag, a workload holds what was pushed."""
    registry, cluster = FakeRegistry("r.io"), FakeCluster(shop.world.folder / "cluster.json", context="kind-x")
    world = replace(shop.world, open_registry=lambda host, insecure: registry, open_cluster=lambda context, files: cluster)
    details = {"context": "kind-x", "kubeconfig": [], "target": "kind"}
    known = world.ledger.intend(
        Effect("cluster", "object", cluster.identity().uid, "apps/v1|Deployment|default|own", "shop", details=details)
    )
    world.ledger.done(known, "uid")
    registry.put("web", "kfold-key", Manifest(OCI_MANIFEST, b"{}"))
    digest = registry.digest("web", "kfold-key")
    built = Built("r.io/web", "key", digest, 0.0, {})
    references = []
    for inside in ("one:5000", "two:5000", "one:5000"):  # a cluster, another one, and the first again
        facts = Facts(replace(target("push"), registry=LocalRegistry("r.io", inside)))
        plan = compile_plan((config("shop", artifact("r.io/web")),), facts)
        run, step = Run(world, plan.facts, plan.configs), plan.step("push:web")
        run.outcomes |= {"build:web": built, "tag:web": Tagged("r.io/web", "", ("r.io/web:1",))}
        pushed, _ = push.do(run, step)
        references.append(pushed.reference)
    assert references[0] == f"one:5000/web:1@{digest}"

    def users() -> set[str]:
        return {one.why for one in candidates(world, "all")}

    assert users() == {"current"}
    for image_name in (*references, "two:5000/web:1", "one:5000/web:kfold-key", f"r.io/web@{digest}"):
        cluster.put(deployment("theirs", image_name))
        assert users() == {'in use by deployment.apps "theirs" in default (context kind-x)'}, image_name


def test_what_was_deleted_from_and_the_current_cluster_are_asked(shop: Shop) -> None:
    """Somebody's own workloads there hold images after the last object of ours is gone; what only waits for the garbage
    collector holds none."""
    cluster = FakeCluster(shop.world.folder / "cluster.json", context="here")
    world = replace(shop.world, open_cluster=lambda context, files: cluster)
    shop.build()
    (image,) = shop.images()
    shop.engine.tag(image.identity, "r.io/web:1")
    details = {"artifact": "r.io/web", "ours": [image.identity], "address": {}}
    name = Effect("engine", "name", shop.engine.identity(), "r.io/web:1", "shop", details=details)
    world.ledger.done(world.ledger.intend(name), image.identity)
    orphan = deployment("web-1", "r.io/web:1") | {"kind": "ReplicaSet"}
    orphan["metadata"]["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "Deployment", "uid": "gone", "name": "web"}]
    cluster.put(orphan)

    def held(**options: Any) -> str:
        return next(one.why for one in candidates(world, "all", **options) if one.records)

    current = Target("here", "kind", (), "default", (), "load")
    assert held(target=current) == "current", "nothing but what goes by itself"
    cluster.put(deployment("theirs", "r.io/web:1"))
    in_use = 'in use by deployment.apps "theirs" in default (context here)'
    assert held() == "current" and held(target=current) == in_use
    cluster.fail("identity", ClusterError("no answer"))
    assert held(target=current) == "current" and "no answer; nothing is recorded as deployed there" in shop.told[-1]

    # as at the end of `dev`: the deployment is deleted, then the images go
    details = {"context": "here", "kubeconfig": [], "target": "kind", "server": "", "set": "s"}
    reference = "v1|ConfigMap|default|own"
    own = world.ledger.intend(Effect("cluster", "object", cluster.identity().uid, reference, "shop", details=details))
    world.ledger.done(own, "uid")
    delete_deployment(world)
    assert not world.ledger.records("cluster") and held() == in_use
    cluster.fail("identity", ClusterError("no answer"))
    with pytest.raises(KfoldError, match="cannot be told: no answer"):
        held()
