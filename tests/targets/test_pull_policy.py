"""`imagePullPolicy: Always` of an image that is in no registry: changed for exactly those containers, or left on request."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from kfold.plan.manifests import IMAGE_KINDS, pull_if_absent, replace_images
from tests.scenarios.application import ApplicationFactory, Object, container, pod, wait_until, workload

OURS = "web:" + "a" * 64
REFERENCES = {"web": OURS, "pushed": f"pushed:1@sha256:{'b' * 64}"}


def containers(**more: Any) -> list[Object]:
    """One of ours, one that was pushed, one of somebody else, and ours again that says nothing about pulling."""
    always = {"imagePullPolicy": "Always", **more}
    return [
        {"name": "ours", "image": "web", **always},
        {"name": "pushed", "image": "pushed", **always},
        {"name": "foreign", "image": "nginx:latest", **always},
        {"name": "silent", "image": "web:latest"},
        {"name": "never", "image": "web", "imagePullPolicy": "Never"},
    ]


def policies(value: Any) -> list[tuple[str, str | None]]:
    if isinstance(value, list):
        return [found for item in value for found in policies(item)]
    if not isinstance(value, dict):
        return []
    own = [(value["name"], value.get("imagePullPolicy"))] if "image" in value else []
    return own + [found for item in value.values() for found in policies(item)]


@pytest.mark.parametrize("place", ["containers", "initContainers", "ephemeralContainers"])
@pytest.mark.parametrize(("group", "kind"), sorted(IMAGE_KINDS))
def test_exactly_the_containers_of_unpushed_images(group: str, kind: str, place: str) -> None:
    spec: Object = {place: containers()}
    spec = {"jobTemplate": {"spec": {"template": {"spec": spec}}}} if kind == "CronJob" else {"template": {"spec": spec}}
    written = {"apiVersion": f"{group}/v1" if group else "v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    before = copy.deepcopy(written)
    rendered = replace_images(written, REFERENCES)
    assert pull_if_absent(rendered, {OURS}) == ["ours"]
    assert policies(rendered) == [
        ("ours", "IfNotPresent"), ("pushed", "Always"), ("foreign", "Always"), ("silent", None), ("never", "Never"),
    ]  # fmt: skip
    assert written == before


def test_nothing_is_done_where_everything_was_pushed() -> None:
    rendered = replace_images(pod("p", containers()[0]), REFERENCES)
    before = copy.deepcopy(rendered)
    assert pull_if_absent(rendered, ()) == [] and rendered == before


def test_on_a_cluster(application: ApplicationFactory) -> None:
    """With it the Pod runs; left as it is written, the kubelet asks a registry that has never heard of the image."""
    app = application()
    ours = container("hello", app.name, imagePullPolicy="Always")
    scaled = workload("Deployment", "scaled", container("foreign", "nginx:latest", imagePullPolicy="Always"), replicas=0)
    app.deploys(pod("hello", ours), scaled)
    output = app.doit().succeeded().output
    told = "imagePullPolicy is IfNotPresent, not Always, for hello of Pod hello"
    assert output.count(told) == 1 and "keep_pull_policy=yes" in output, output
    (running,) = app.place.there("pods", "hello")["spec"]["containers"]
    assert running["imagePullPolicy"] == "IfNotPresent"
    template = app.place.there("deployments", "scaled")["spec"]["template"]
    assert template["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert "Nothing to do" in app.doit().succeeded().output
    app.project.write("greeting.txt", "other\n")
    assert told not in app.doit().succeeded().output, "it was said before"
    app.doit("delete").succeeded()

    running_doit = app.project.start_doit("deploy", "keep_pull_policy=yes")
    try:
        waiting = wait_until(lambda: _waiting(app.place.object("pods", "hello")), "the Pod to fail", seconds=60)
    finally:
        running_doit.interrupt()
    assert waiting in ("ErrImagePull", "ImagePullBackOff"), waiting
    assert told not in running_doit.wait().output
    app.doit("delete").succeeded()


def _waiting(found: Object | None) -> str:
    """Why the first container waits, once it is known that its image cannot be had."""
    for status in ((found or {}).get("status") or {}).get("containerStatuses") or ():
        reason = str(((status.get("state") or {}).get("waiting") or {}).get("reason") or "")
        return reason if "Image" in reason else ""
    return ""


def test_the_flag_is_the_variable(application: ApplicationFactory) -> None:
    app = application()
    app.deploys(pod("hello", container("hello", app.name, imagePullPolicy="Always")))
    told = "imagePullPolicy is IfNotPresent"
    assert told not in app.kfold("render", "--keep-pull-policy").succeeded().output
    assert told in app.kfold("render").succeeded().output
    assert json.loads(app.doit("status", "--json").succeeded().output)["cluster"] == []
    app.doit("prune", "--all").succeeded()
