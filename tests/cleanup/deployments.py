"""Deployments in this process, on the fake cluster: what needs no doit, no files and no server to be seen."""

from __future__ import annotations

import json
from typing import Any

from kfold.errors import KfoldError
from kfold.plan.facts import Facts, Target
from kfold.plan.steps import compile_plan
from kfold.stores.cluster_interface import ObjectRef
from kfold.stores.manifest_files import ManifestFile
from kfold.verbs import deploy as verb
from kfold.verbs.render import Rendered
from kfold.verbs.world import Run
from tests.hooks.checkout import Checkout
from tests.plan.test_graphs import config

Object = dict[str, Any]


def deploy(one: Checkout, *manifests: Object) -> str:
    """`doit deploy` of the config `shop` into the namespace default; what went wrong, "" if nothing did."""
    plan = compile_plan((config("shop"),), Facts(Target("here", "remote", (), "default", (), "push")))
    run = Run(one.world, plan.facts, plan.configs)
    files = [ManifestFile(f"k8s/{number}.yaml", json.dumps(item)) for number, item in enumerate(manifests)]
    run.outcomes["render:shop"] = Rendered("any", files, {})
    one.said.clear()
    try:
        verb.do(run, plan.step("deploy:shop"))
    except KfoldError as error:
        return str(error)
    return ""


def by_hand(one: Checkout, item: Object, manager: str = "kubectl") -> ObjectRef:
    """Somebody makes an object; its fields are theirs."""
    kind = item["apiVersion"], item["kind"]
    place = {"namespace": "default"} if one.cluster.is_namespaced(*kind) else {}
    metadata = {**place, **item["metadata"]}
    ref = ObjectRef(*kind, metadata.get("namespace", ""), metadata["name"])
    bare = {key: value for key, value in metadata.items() if key in ("namespace", "name")}
    one.cluster.put({"apiVersion": ref.api_version, "kind": ref.kind, "metadata": bare})
    one.cluster.edit(ref, {**item, "metadata": metadata}, manager=manager)
    return ref


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def contents(one: Checkout, ref: ObjectRef) -> Object | None:
    """An object without what every write changes; None where it is not there."""
    found = one.cluster.get(ref)
    if found is None:
        return None
    metadata = {key: value for key, value in found["metadata"].items() if key not in ("resourceVersion", "generation")}
    entries = [{k: v for k, v in entry.items() if k != "time"} for entry in metadata.pop("managedFields", [])]
    return {**found, "metadata": {**metadata, "managedFields": sorted(entries, key=str)}}


def definition(kind: str, *versions: str) -> Object:
    """A namespaced kind of the group kfold.test."""
    names = {"kind": kind, "plural": f"{kind.lower()}s"}
    served = [{"name": version, "served": True, "storage": version == versions[0]} for version in versions]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.kfold.test"},
        "spec": {"group": "kfold.test", "names": names, "scope": "Namespaced", "versions": served},
    }


def custom(kind: str, name: str, version: str = "v1", **metadata: Any) -> Object:
    return {"apiVersion": f"kfold.test/{version}", "kind": kind, "metadata": {"name": name, **metadata}, "spec": {"a": name}}


def owned_by(one: Checkout, owner: ObjectRef) -> Object:
    """The metadata of what somebody's object owns."""
    found = one.cluster.get(owner)
    assert found is not None
    uid = found["metadata"]["uid"]
    return {"ownerReferences": [{"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": uid}]}
