"""A cluster as its users meet it: requests with their codes and bodies as they are, and namespaces of the suite's own.

Everything goes through the official client's own connections, so any kubeconfig works: tokens, certificates, plugins.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.engine import Finished, run, wait_until

Json = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"

CORE, APPS, BATCH = "/api/v1", "/apis/apps/v1", "/apis/batch/v1"

PLACES = {
    "ConfigMap": (CORE, "configmaps"),
    "Endpoints": (CORE, "endpoints"),
    "Event": (CORE, "events"),
    "PersistentVolumeClaim": (CORE, "persistentvolumeclaims"),
    "Pod": (CORE, "pods"),
    "Secret": (CORE, "secrets"),
    "Service": (CORE, "services"),
    "ServiceAccount": (CORE, "serviceaccounts"),
    "DaemonSet": (APPS, "daemonsets"),
    "Deployment": (APPS, "deployments"),
    "ReplicaSet": (APPS, "replicasets"),
    "StatefulSet": (APPS, "statefulsets"),
    "Job": (BATCH, "jobs"),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
}
"""Kind -> (prefix of its API, name in the path)."""

PATIENCE = 90.0
"""Seconds that a condition may take to come about: a real node pulls, mounts and probes slower than the sandbox."""


@dataclass
class Answer:
    """One answer: HTTP code, body (parsed where it is JSON), headers."""

    code: int
    body: Any
    headers: Any

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", "")) if isinstance(self.body, dict) else ""

    @property
    def message(self) -> str:
        return str(self.body.get("message", "")) if isinstance(self.body, dict) else str(self.body)

    @property
    def fields(self) -> list[str]:
        """The fields that the causes of a refusal name."""
        return [cause.get("field", "") for cause in (self.body.get("details") or {}).get("causes") or []]

    @property
    def warnings(self) -> str:
        return str(self.headers.get("Warning") or "")

    def ok(self) -> Any:
        """The body; fails the case where the request was refused."""
        assert self.code < 300, f"{self.code}: {self.body}"
        return self.body

    def refused(self, code: int, reason: str) -> Answer:
        """Itself; fails the case unless it is exactly this refusal, told by a Status object."""
        assert (self.code, self.reason) == (code, reason), f"{self.code} {self.reason}: {self.message}"
        assert (self.body["kind"], self.body["status"], self.body["code"]) == ("Status", "Failure", code)
        return self


class Api:
    """The API server behind a kubeconfig."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.host: str = client.configuration.host

    def request(self, method: str, path: str, body: bytes | None, headers: dict[str, str], *, stream: bool = False) -> Any:
        sent = dict(headers)
        if "Authorization" not in sent:
            self.client.update_params_for_auth(sent, [], ["BearerToken"], path, method, body)
        pool = self.client.rest_client.pool_manager
        return pool.request(
            method, self.host + path, body=body, headers=sent, preload_content=not stream, timeout=60, retries=False
        )

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """One request. `body`: bytes go as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        asked = {"Accept": "application/json", "Content-Type": kind, **(headers or {})}
        response = self.request(method, path + ("?" + urlencode(query) if query else ""), data, asked)
        is_json = "json" in response.headers.get("Content-Type", "")
        text = response.data.decode(errors="replace")
        return Answer(response.status, json.loads(text) if is_json and text else text, response.headers)

    def get(self, path: str, **query: Any) -> Answer:
        return self.send("GET", path, **query)

    def post(self, path: str, body: Any, **query: Any) -> Answer:
        return self.send("POST", path, body, **query)

    def put(self, path: str, body: Any, **query: Any) -> Answer:
        return self.send("PUT", path, body, **query)

    def delete(self, path: str, body: Any = None, **query: Any) -> Answer:
        return self.send("DELETE", path, body, **query)

    def patch(self, path: str, body: Any, kind: str = MERGE, **query: Any) -> Answer:
        return self.send("PATCH", path, body, kind=kind, **query)

    def apply(self, path: str, config: Json, manager: str = "suite", **query: Any) -> Answer:
        """Server-side apply."""
        return self.patch(path, config, APPLY, fieldManager=manager, **query)

    def watch(self, path: str, *, seconds: int, **query: Any) -> Iterator[Json]:
        """The events of a watch, until the server ends it after `seconds`."""
        text = urlencode({"watch": "1", "timeoutSeconds": seconds, **query})
        response = self.request("GET", f"{path}?{text}", None, {"Accept": "application/json"}, stream=True)
        try:
            rest = b""
            if response.status != 200:
                yield {"type": "REFUSED", "object": json.loads(response.read())}
                return
            for piece in response.stream(65536, decode_content=True):
                *lines, rest = (rest + piece).split(b"\n")
                yield from (json.loads(line) for line in lines if line.strip())
        finally:
            response.close()

    def version(self) -> tuple[int, int]:
        """(1, 37) of a server 1.37."""
        found = self.get("/version").ok()
        return int(found["major"]), int(found["minor"].rstrip("+"))


@dataclass
class Space:
    """One namespace: objects are made in it, and what becomes of them is waited for."""

    api: Api
    name: str
    image: str
    kubeconfig: Path
    command: str = "kubectl"

    # --- requests

    def path(self, kind: str, name: str = "", subresource: str = "") -> str:
        prefix, plural = PLACES[kind]
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{prefix}/namespaces/{self.name}/{plural}{tail}"

    def create(self, obj: Json, **query: Any) -> Json:
        """Create an object, which must succeed."""
        answer = self.api.post(self.path(obj["kind"]), obj, **query)
        assert answer.code == 201, f"{answer.code}: {answer.body}"
        made: Json = answer.body
        return made

    def get(self, kind: str, name: str) -> Json:
        found: Json = self.api.get(self.path(kind, name)).ok()
        return found

    def find(self, kind: str, name: str) -> Json | None:
        answer = self.api.get(self.path(kind, name))
        return None if answer.code == 404 else answer.ok()

    def list(self, kind: str, **query: Any) -> list[Json]:
        found: list[Json] = self.api.get(self.path(kind), **query).ok()["items"]
        return found

    def names(self, kind: str, **query: Any) -> list[str]:
        return [item["metadata"]["name"] for item in self.list(kind, **query)]

    def patch(self, kind: str, name: str, body: Any, how: str = MERGE, **query: Any) -> Json:
        changed: Json = self.api.patch(self.path(kind, name), body, how, **query).ok()
        return changed

    def delete(self, kind: str, name: str, **options: Any) -> Answer:
        """DELETE with DeleteOptions in the body."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options} if options else None
        return self.api.delete(self.path(kind, name), body)

    # --- waiting

    def wait(self, kind: str, name: str, condition: Callable[[Json], Any], what: str, *, seconds: float = PATIENCE) -> Json:
        """The object as soon as `condition` holds of it."""
        seen: list[Json | None] = [None]

        def holds() -> bool:
            seen[0] = self.find(kind, name)
            return bool(seen[0] and condition(seen[0]))

        wait_until(holds, f"{kind} {name} {what}", seconds=seconds, tell=lambda: str((seen[0] or {}).get("status", seen[0])))
        assert seen[0]
        return seen[0]

    def gone(self, kind: str, name: str, *, seconds: float = PATIENCE) -> None:
        wait_until(lambda: self.find(kind, name) is None, f"the end of {kind} {name}", seconds=seconds)

    def stays(self, kind: str, name: str, condition: Callable[[Json], Any], seconds: float) -> None:
        """That something does not happen: asked again and again for so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert condition(self.get(kind, name)), f"{kind} {name} changed: {self.get(kind, name).get('status')}"
            time.sleep(0.1)

    def running(self, name: str) -> Json:
        return self.wait("Pod", name, lambda pod: pod["status"].get("phase") == "Running", "to run")

    def ready(self, name: str) -> Json:
        return self.wait("Pod", name, lambda pod: condition_of(pod, "Ready").get("status") == "True", "to be ready")

    def ended(self, name: str) -> Json:
        return self.wait("Pod", name, lambda pod: pod["status"].get("phase") in ("Succeeded", "Failed"), "to end")

    def waits_for(self, name: str, *reasons: str) -> Json:
        """The Pod when a container of it waits for one of these reasons."""
        return self.wait("Pod", name, lambda pod: waiting(pod) in reasons, f"to wait for {' or '.join(reasons)}")

    def log(self, name: str, **query: Any) -> str:
        text: str = self.api.get(self.path("Pod", name, "log"), **query).ok()
        return text

    def output(self, name: str) -> str:
        """The log of a Pod that has succeeded."""
        pod = self.ended(name)
        assert pod["status"]["phase"] == "Succeeded", (pod["status"], self.log(name))
        return self.log(name)

    def events(self, name: str, reason: str) -> list[Json]:
        return self.list("Event", fieldSelector=f"involvedObject.name={name},reason={reason}")

    # --- kubectl

    def kubectl(self, *arguments: str, seconds: float = 60.0) -> Finished:
        """The real kubectl in this namespace."""
        command = [self.command, "--kubeconfig", str(self.kubeconfig), "--namespace", self.name, *arguments]
        return run(command, folder=self.kubeconfig.parent, environment=os.environ, seconds=seconds)


def fresh_name(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def condition_of(obj: Json, kind: str) -> Json:
    """The condition of that type, or an empty mapping."""
    found: list[Json] = (obj.get("status") or {}).get("conditions") or []
    return next((entry for entry in found if entry["type"] == kind), {})


def container_status(pod: Json, name: str = "") -> Json:
    """The status of a container, an init container too; the first one's by default."""
    status = pod["status"]
    entries = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    return next((entry for entry in entries if not name or entry["name"] == name), {})


def terminated(pod: Json, name: str = "") -> Json:
    found: Json = container_status(pod, name).get("state", {}).get("terminated") or {}
    return found


def waiting(pod: Json) -> str:
    """The reason of the first container that waits."""
    status = pod["status"]
    entries = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    reasons = [(entry["state"].get("waiting") or {}).get("reason") for entry in entries]
    return next((reason for reason in reasons if reason and reason != "PodInitializing"), "")


def owners(obj: Json, operation: str = "Apply") -> dict[str, Json]:
    """Manager -> its fields, of metadata.managedFields; status kept apart as "manager/status"."""
    return {
        entry["manager"] + (f"/{entry['subresource']}" if entry.get("subresource") else ""): entry["fieldsV1"]
        for entry in obj["metadata"].get("managedFields") or []
        if entry["operation"] == operation
    }
