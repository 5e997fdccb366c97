"""`wait`: until what was deployed is ready, or it is clear that it will not be; then the hooks that follow a deployment.
By itself it changes nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kfold.errors import KfoldError
from kfold.plan.steps import Step
from kfold.verbs.deploy import Deployed
from kfold.verbs.deploy_hooks import after_deploy, due
from kfold.verbs.objects import noun, present
from kfold.verbs.readiness import Verdict, is_judged, verdict
from kfold.verbs.world import Run

POLL = 0.2
"""Seconds between two looks at the objects and their Pods."""
LOG_LINES = 10
"""Last lines of a failing container that are shown."""


class NotReady(KfoldError):
    """What was deployed does not work; it is left as it is."""


def holds(run: Run, step: Step, values: Mapping[str, Any]) -> bool | None:
    """Ready already, by the very objects that `deploy` was answered with."""
    deployed: Deployed = run.outcome(step.needs[0], Deployed)
    run.scratch[step.name] = hooks_due = due(step, deployed.mark, values)
    if hooks_due:
        return None
    if not step.config.status_check:
        return True
    if deployed.changed or values.get("ready") is not True:
        return None
    return True if all(verdict(dict(state.raw), []).state == "ready" for state in deployed.objects) else None


def do(run: Run, step: Step) -> tuple[bool, dict[str, Any]]:
    """Look until everything is ready, then run the hooks that follow. Raises NotReady and HookFailed."""
    deployed: Deployed = run.outcome(step.needs[0], Deployed)
    _until_ready(run, step, deployed)
    if run.scratch.pop(step.name, True):
        after_deploy(run, step, (state.ref.namespace for state in deployed.objects))
    return True, {"ready": True, "hooked": deployed.mark}


def _until_ready(run: Run, step: Step, deployed: Deployed) -> None:
    """Raises NotReady with the reason, as soon as one cannot become ready."""
    waiting = {state.ref: state for state in deployed.objects if is_judged(state.ref)}
    if not waiting or not step.config.status_check:
        return
    world, cluster = run.world, run.cluster
    world.tell("heading", "Waiting for deployments to stabilize...", step.subject)
    started = time.monotonic()
    told: dict[Any, str] = {}
    total = len(waiting)
    while waiting:
        world.go_on()
        now = present(cluster, list(waiting))
        pods: dict[str, list[dict[str, Any]]] = {}
        replica_sets: dict[str, list[dict[str, Any]]] = {}
        for ref, before in list(waiting.items()):
            state = now.get(ref)
            if state is None or state.uid != before.uid:
                raise NotReady(f"{noun(ref)} vanished while it was waited for", hint="`doit deploy` makes it again.")
            judged = verdict(dict(state.raw), [])
            if judged.state != "ready" and ref.namespace:
                if ref.namespace not in pods:
                    sets = cluster.list_kind("apps/v1", "ReplicaSet", ref.namespace)
                    replica_sets[ref.namespace] = [dict(found.raw) for found in sets]
                    pods[ref.namespace] = cluster.pods(ref.namespace)
                judged = verdict(dict(state.raw), pods[ref.namespace], replica_sets=replica_sets[ref.namespace])
            if judged.state == "ready":
                del waiting[ref]
                left = f" [{len(waiting)}/{total} still pending]" if waiting else ""
                world.tell("line", f" - {noun(ref)} is ready.{left}", step.subject)
            elif judged.state == "failed":
                raise NotReady(f"{noun(ref)} failed: {judged.reason}{_logs(run, ref.namespace, judged)}")
            elif told.get(ref) != judged.reason and time.monotonic() - started > 1:
                told[ref] = judged.reason
                world.tell("line", f" - {noun(ref)}: {judged.reason}", step.subject)
        if waiting and time.monotonic() - started > step.config.status_check_deadline:
            reasons = "\n".join(f" - {noun(ref)}: {told.get(ref, 'not ready')}" for ref in waiting)
            raise NotReady(f"could not stabilize within {step.config.status_check_deadline} s\n{reasons}")
        if waiting:
            world.stop.wait(POLL)
    world.tell("success", f"Deployments stabilized in {time.monotonic() - started:.1f} s", step.subject)


def why(run: Run, step: Step, values: Mapping[str, Any]) -> list[str]:
    """Which objects are not ready, and what they wait for."""
    deployed: Deployed = run.outcome(step.needs[0], Deployed)
    judged = [(state.ref, verdict(dict(state.raw), [])) for state in deployed.objects]
    hooks = ["the hooks after the deployment are to run"] if due(step, deployed.mark, values) else []
    return hooks + [f"{noun(ref)}: {found.reason or found.state}" for ref, found in judged if found.state != "ready"]


def _logs(run: Run, namespace: str, judged: Verdict) -> str:
    """The last lines of the container that failed; a log that cannot be read is said, not hidden."""
    if judged.logs_wanted is None:
        return ""
    wanted = judged.logs_wanted
    try:
        stream = run.cluster.logs(namespace, wanted.pod, wanted.container, previous=wanted.previous, tail=LOG_LINES)
        lines = [line.decode(errors="replace") for line in stream]
    except KfoldError as error:
        return f"\n    (its log cannot be read: {error.message})"
    return "".join(f"\n    [{wanted.container}] {line}" for line in lines)
