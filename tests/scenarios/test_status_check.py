"""What was deployed and does not work: said with its reason, exit code 1, and left as it is."""

from __future__ import annotations

import re

import pytest

from tests.scenarios.application import FOREVER, Application, ApplicationFactory, container, pod, uid, workload


def test_an_image_that_cannot_be_pulled(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(workload("Deployment", "web", container("c", "kfold-no-such-image:1")))
    output = app.doit().failed(1).output
    assert 'deployment.apps "web" failed' in output, output
    assert re.search(r"container c is waiting to start: kfold-no-such-image:1 can't be pulled", output), output
    assert app.place.there("deployments", "web"), "what was deployed is left for a look at it"


def test_a_crash_loop_shows_the_last_log_lines(application: ApplicationFactory, base_image: str) -> None:
    # without a probe, a Pod counts as ready for the moment that its container runs
    probe = {"exec": {"command": ["true"]}, "initialDelaySeconds": 5}
    broken = container("worker", base_image, "echo the database is away >&2; exit 3", readinessProbe=probe)
    app = application(artifact=False).deploys(workload("Deployment", "web", broken))
    output = app.doit().failed(1).output
    assert "backing off waiting to restart: terminated with exit code 3" in output, output
    assert "[worker] the database is away" in output, output
    # it is not up to date: the next run looks again, and says the same
    assert "exit code 3" in app.doit().failed(1).output


def test_a_job_that_fails(application: ApplicationFactory, base_image: str) -> None:
    made = workload("Job", "migrate", container("m", base_image, "echo no such table; exit 2"), backoffLimit=0)
    app = application(artifact=False).deploys(made)
    output = app.doit().failed(1).output
    assert 'job.batch "migrate" failed' in output, output


def test_a_container_that_cannot_be_started(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False).deploys(pod("it", container("c", base_image, command=["/no/such/program"])))
    output = app.doit().failed(1).output
    assert 'pod "it" failed' in output and "/no/such/program" in output, output


def test_an_update_that_fails_leaves_what_runs(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False).deploys(workload("Deployment", "web", container("c", base_image, FOREVER)))
    app.doit().succeeded()
    (running,) = app.place.list("pods")
    app.deploys(workload("Deployment", "web", container("c", "kfold-no-such-image:1")))
    assert "can't be pulled" in app.doit().failed(1).output
    kept = app.place.there("pods", running["metadata"]["name"])
    assert uid(kept) == uid(running) and kept["status"]["phase"] == "Running"
    assert "deletionTimestamp" not in kept["metadata"]

    app.deploys(workload("Deployment", "web", container("c", base_image, FOREVER)))
    output = app.doit().succeeded().output
    assert "Deployments stabilized" in output, output
    assert app.place.there("deployments", "web")["status"]["availableReplicas"] == 1


def _never_ready(app: Application, base_image: str, deploy: str) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    app.deploys(workload("Deployment", "web", container("c", base_image, FOREVER, readinessProbe=probe)))
    app.project.write("kfold.yaml", app.project.read("kfold.yaml") + deploy)


def test_the_deadline_names_what_is_not_ready(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False)
    _never_ready(app, base_image, "deploy:\n  kubectl: {}\n  statusCheckDeadlineSeconds: 3\n")
    finished = app.doit().failed(1)
    assert "could not stabilize within 3 s" in finished.output, finished.output
    assert 'deployment.apps "web": 0 of 1 updated replicas are available' in finished.output, finished.output
    assert finished.seconds < 30


def test_a_status_check_that_is_off_waits_for_nothing(application: ApplicationFactory, base_image: str) -> None:
    app = application(artifact=False)
    _never_ready(app, base_image, "deploy:\n  kubectl: {}\n  statusCheck: false\n")
    app.doit().succeeded()
    assert app.place.there("deployments", "web")["status"].get("availableReplicas", 0) == 0


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_other_workloads(application: ApplicationFactory, kind: str) -> None:
    """Deployed, ready, updated with a new image, taken back with their Pods."""
    app = application()
    app.deploys(workload(kind, "it", container("c", app.name), **({"serviceName": "it"} if kind == "StatefulSet" else {})))
    app.doit().succeeded()
    plural = f"{kind.lower()}s"
    (first,) = app.place.list("pods")
    assert "Hello, world!" in app.logs(first["metadata"]["name"])
    assert app.doit().succeeded().output.startswith("Nothing to do")

    app.project.replace("greeting.txt", "world", "kfold")
    output = app.doit().succeeded().output
    assert f'{kind.lower()}.apps "it" is ready.' in output, output
    (second,) = [item for item in app.place.list("pods") if not item["metadata"].get("deletionTimestamp")]
    assert uid(second) != uid(first)
    assert (
        second["spec"]["containers"][0]["image"]
        == app.place.there(plural, "it")["spec"]["template"]["spec"]["containers"][0]["image"]
    )

    app.doit("delete").succeeded()
    assert app.place.held() == {}
    app.doit("prune", "--all").succeeded()
    app.assert_nothing_left()
