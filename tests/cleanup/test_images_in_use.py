"""What holds an image that no container runs: workloads of the cluster that name it."""

from __future__ import annotations

from kfold.plan.reference import artifact_name
from tests.engine import docker, wait_until
from tests.scenarios.application import ApplicationFactory, Object, container, workload


def test_a_workload_without_pods_holds_its_image(application: ApplicationFactory) -> None:
    """Somebody's CronJob and Deployment that name a superseded image keep it; the history of our own Deployment does
    not."""
    app = application().deploys()
    app.deploys(workload("Deployment", "web", container("c", app.name)))
    app.doit().succeeded()
    (first,) = app.images()
    reference = app.place.there("deployments", "web")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert artifact_name(reference).endswith(first.removeprefix("sha256:"))
    idle = workload("Deployment", "idle", container("c", reference), replicas=0)
    template: Object = {"spec": {"template": workload("Job", "x", container("c", reference))["spec"]["template"]}}
    nightly: Object = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 3 * * *", "suspend": True, "jobTemplate": template},
    }
    app.place.apply(idle, nightly)
    app.project.write("greeting.txt", "Hello again!\n")
    app.doit().succeeded()
    wait_until(lambda: len(app.place.list("pods")) == 1, "the end of the old Pod")
    history = [one for one in app.place.list("replicasets") if not one["spec"]["replicas"]]
    assert any(reference in str(one) for one in history)
    wait_until(lambda: not docker("ps", "-aq", "--filter", f"ancestor={first}"), "the end of its container")

    for kind, name in (("deployment.apps", "idle"), ("cronjob.batch", "nightly")):
        output = app.doit("prune").succeeded().output
        assert f'in use by {kind} "{name}" in {app.place.name}' in output, output
        assert first in app.images()
        app.place.kubectl("delete", kind, name).succeeded()
    app.doit("prune").succeeded()
    assert first not in app.images() and len(app.images()) == 1
    # all of it: our own Deployment holds the other, though somebody stopped it
    app.place.kubectl("scale", "deployment", "web", "--replicas=0").succeeded()
    wait_until(lambda: not app.place.list("pods"), "the end of the Pod")
    assert 'in use by deployment.apps "web"' in app.doit("prune", "--all").failed(1).output
    app.doit("delete").succeeded()
    app.doit("prune", "--all").succeeded()
    app.assert_nothing_left()
