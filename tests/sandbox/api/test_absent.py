"""What a real cluster has and the sandbox has not: refused by name, or said to whoever stores it. Never a silent success."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes.client
import pytest

from kfold.sandbox.api.discovery import ABSENT, missing_subresources
from kfold.sandbox.api.resources import ABSENT_KINDS, BUILTIN
from tests.sandbox.conftest import APPLY, RawApi, deployment

pytestmark = pytest.mark.sandbox


def real_paths() -> list[str]:
    """Every path of the stable APIs of a real cluster, as the official client of its release has them."""
    found: set[str] = set()
    for module in (Path(kubernetes.client.__file__).parent / "api").glob("*_api.py"):
        found |= set(re.findall(r"'(/apis?/[^']+)'", module.read_text()))
    stable = [path for path in found if re.search(r"/v\d+/.", path) and "/watch/" not in path]
    return sorted(re.sub(r"\{path\}", "a/b", re.sub(r"\{name\}", "x", path)) for path in stable)


def test_every_path_of_a_real_cluster_is_served_or_refused_by_name(api: RawApi, namespace: str) -> None:
    """A GET of each: an answer, 404 for an object that is not there, 405, or 501 with the name that `status` lists."""
    told = {f"{kind.plural}/{name}" for kind in BUILTIN for name in missing_subresources(kind)}
    told |= {plural for plurals in ABSENT_KINDS.values() for plural in plurals}
    paths = real_paths()
    assert len(paths) > 200
    refused = set()
    for path in paths:
        answer = api.get(path.replace("{namespace}", namespace))
        if answer.code == 501:
            name = answer.body["message"].removeprefix("the sandbox does not have ").partition(" ")[0]
            assert name in told, path
            refused.add(name)
        elif answer.code == 404:
            assert "could not find the requested resource" not in answer.body["message"], path
        else:
            assert answer.code in (200, 400, 405), (path, answer.code, answer.body)
    assert refused == told, "and nothing is said to be absent that is there"
    assert all(any(plural in text for text in ABSENT) for plurals in ABSENT_KINDS.values() for plural in plurals)


def test_who_stores_what_nothing_acts_on_is_told(api: RawApi, namespace: str) -> None:
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "x"}}
    told = api.post(path, body).headers["Warning"]
    assert "keeps objects of kind PodDisruptionBudget, and nothing in it acts on them" in told
    assert "PodDisruptionBudget" in api.send("PATCH", f"{path}/x", body, kind=APPLY, fieldManager="x").headers["Warning"]
    assert "Warning" not in api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment()).headers


def test_rules_of_definitions_that_are_not_held(api: RawApi) -> None:
    """CEL rules that cannot be run are stored, with a warning that names each; what would be converted is refused."""
    rule = {"type": "object", "x-kubernetes-validations": [{"rule": "self.?a.orValue(2) > 1"}]}
    rule["properties"] = {"a": {"type": "integer"}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"inner": rule}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "rules", "kind": "Rule"}
    spec = {"group": "cel.kfold.dev", "scope": "Cluster", "names": names, "versions": [version]}
    metadata = {"name": "rules.cel.kfold.dev"}
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata, "spec": spec}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = api.post(path, body, dryRun="All")
    assert ".properties[inner].x-kubernetes-validations[0]: the sandbox cannot evaluate this rule" in made.headers["Warning"]
    spec["versions"] = [version, {**version, "name": "v2", "storage": False}]
    assert api.post(path, body, dryRun="All").code == 201
    spec["conversion"] = {"strategy": "Webhook"}
    refused = api.post(path, body, dryRun="All")
    assert (refused.code, refused.reason) == (501, "NotImplemented")
    assert "webhooks that convert" in refused.body["message"]
