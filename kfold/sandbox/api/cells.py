"""What stands in a cell of `kubectl get` where it is not simply the value of a field (see `columns`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from kfold.sandbox.api.ages import age, duration
from kfold.sandbox.api.documents import Object, at

Text = Callable[[Object], str]


def _some(items: Iterable[str], most: int, empty: str, separator: str = ",") -> str:
    """The first `most`, and how many more there are."""
    found = list(items)
    more = f" + {len(found) - most} more..." if len(found) > most else ""
    return separator.join(found[:most]) + more or empty


def joined(separator: str, *paths: str) -> Text:
    """Values of several fields; nothing where none is there."""

    def text(obj: Object) -> str:
        found = [at(obj, *path.split(".")) for path in paths]
        return separator.join(str(value or "") for value in found) if any(found) else ""

    return text


def labels(*path: str) -> Text:
    return lambda obj: ",".join(f"{key}={value}" for key, value in sorted((at(obj, *path) or {}).items())) or "<none>"


def selector(*path: str) -> Text:
    """A LabelSelector in the form that `-l` takes."""

    def text(obj: Object) -> str:
        found = at(obj, *path) or {}
        terms = [(key, f"{key}={value}") for key, value in (found.get("matchLabels") or {}).items()]
        for entry in found.get("matchExpressions") or []:
            key, values = entry.get("key", ""), ",".join(sorted(entry.get("values") or []))
            forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
            terms.append((key, forms.get(entry.get("operator", ""), f"!{key}")))
        return ",".join(term for _, term in sorted(terms)) or "<none>"

    return text


def count(obj: Object) -> int:
    return len(obj.get("data") or {}) + len(obj.get("binaryData") or {})


# --- workloads


def of_containers(field: str, *, job: bool = False, below: tuple[str, ...] = ("spec", "template", "spec")) -> Text:
    """That field of the containers of an object's template; `job`: of the template in a CronJob's."""
    path = (*(("spec", "jobTemplate") if job else ()), *below, "containers")
    return lambda obj: ",".join(str(one.get(field)) for one in at(obj, *path) or [])


def ready_replicas(obj: Object) -> str:
    return f"{at(obj, 'status', 'readyReplicas') or 0}/{at(obj, 'spec', 'replicas') or 0}"


def job_state(obj: Object) -> str:
    holds = {item.get("type") for item in at(obj, "status", "conditions") or [] if item.get("status") == "True"}
    if at(obj, "metadata", "deletionTimestamp"):
        holds.add("Terminating")
    states = ("Complete", "Failed", "Terminating", "Suspended", "FailureTarget")
    return next((name for name in states if name in holds), "Running")


def completions(obj: Object) -> str:
    done, wanted = at(obj, "status", "succeeded") or 0, at(obj, "spec", "completions")
    parallel = at(obj, "spec", "parallelism") or 0
    return f"{done}/{wanted}" if wanted is not None else f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def took(obj: Object) -> str:
    started, ended = at(obj, "status", "startTime"), at(obj, "status", "completionTime")
    if not started:
        return ""
    start = datetime.fromisoformat(started.replace("Z", "+00:00"))
    until = datetime.fromisoformat(ended.replace("Z", "+00:00")) if ended else datetime.now(UTC)
    return duration((until - start).total_seconds())


def suspended(obj: Object) -> str:
    value = at(obj, "spec", "suspend")
    return "<unset>" if value is None else str(value)


def last_schedule(obj: Object) -> str:
    moment = at(obj, "status", "lastScheduleTime")
    return age(moment) if moment else "<none>"


def controller(obj: Object) -> str:
    owner = next((entry for entry in at(obj, "metadata", "ownerReferences") or [] if entry.get("controller")), None)
    if owner is None:
        return "<none>"
    group = owner["apiVersion"].rpartition("/")[0]
    return f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"


def metrics(obj: Object) -> str:
    """The targets of a HorizontalPodAutoscaler. Nobody measures here: what is now is unknown."""
    found = []
    for entry in at(obj, "spec", "metrics") or []:
        kind = entry.get("type", "")
        source = entry.get(kind[:1].lower() + kind[1:]) or {}
        target = source.get("target") or {}
        average = target.get("averageValue")
        if kind in ("Resource", "ContainerResource"):
            share = target.get("averageUtilization")
            found.append(f"{source.get('name')}: <unknown>/{average or (f'{share}%' if share is not None else '<auto>')}")
        elif average is not None:
            found.append(f"<unknown>/{average}{'' if kind == 'Pods' else ' (avg)'}")
        else:
            found.append(f"<unknown>/{target.get('value')}")
    return _some(found, 2, "<none>", ", ")


# --- Services and what leads to them


def external(obj: Object) -> str:
    spec = obj.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName") or "")
    addresses = [*filter(None, [balancer(obj)]), *(spec.get("externalIPs") or [])]
    return ",".join(addresses) or ("<pending>" if spec.get("type") == "LoadBalancer" else "<none>")


def balancer(obj: Object) -> str:
    """Where a load balancer has been given: addresses, else names."""
    given = at(obj, "status", "loadBalancer", "ingress") or []
    return ",".join(sorted({one.get("ip") or one.get("hostname") or "" for one in given} - {""}))


def ports(obj: Object) -> str:
    found = []
    for port in at(obj, "spec", "ports") or []:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        found.append(f"{port.get('port')}{node_port}/{port.get('protocol')}")
    return ",".join(found) or "<none>"


def endpoints(obj: Object) -> str:
    subsets = obj.get("subsets") or []
    found = []
    for subset in subsets:
        addresses = [entry["ip"] for entry in subset.get("addresses") or []]
        numbers = [f":{port['port']}" for port in subset.get("ports") or []] or [""]
        found += [f"{_bracketed(address) if number else address}{number}" for number in numbers for address in addresses]
    return _some(found, 3, "" if subsets else "<none>")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def slice_ports(obj: Object) -> str:
    return _some((str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or []), 3, "<unset>")


def slice_addresses(obj: Object) -> str:
    found = (address for entry in obj.get("endpoints") or [] for address in entry.get("addresses") or [])
    return _some(found, 3, "<unset>")


def hosts(obj: Object) -> str:
    rules = at(obj, "spec", "rules") or []
    named = [rule["host"] for rule in rules if rule.get("host")]
    if len(named) >= 3 and len(rules) > 3:
        return f"{','.join(named[:3])} + {len(rules) - 3} more..."
    return ",".join(named) or "*"


def parameters(obj: Object) -> str:
    found = at(obj, "spec", "parameters")
    if not found:
        return "<none>"
    return f"{found.get('kind')}{'.' + found['apiGroup'] if found.get('apiGroup') else ''}/{found.get('name')}"


# --- storage


def unless_going(obj: Object) -> str:
    """The phase of a volume or claim, unless it is being deleted."""
    return "Terminating" if at(obj, "metadata", "deletionTimestamp") else str(at(obj, "status", "phase") or "")


def modes(*path: str) -> Text:
    """Access modes, each once and in kubectl's order, by the letters that they are known by."""
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    return lambda obj: ",".join(letters for mode, letters in short.items() if mode in (at(obj, *path) or []))


def class_name(obj: Object) -> str:
    marked = at(obj, "metadata", "annotations", "storageclass.kubernetes.io/is-default-class") == "true"
    return f"{obj['metadata']['name']}{' (default)' if marked else ''}"


def claim_state(obj: Object) -> str:
    """Of a ResourceClaim."""
    going = ["deleted"] if at(obj, "metadata", "deletionTimestamp") else []
    if not at(obj, "status", "allocation"):
        return ",".join(going or ["pending"])
    return ",".join([*going, "allocated", *(["reserved"] if at(obj, "status", "reservedFor") else [])])


def quota(*, limits: bool) -> Text:
    """What of a ResourceQuota is used, of how much: its limits, or all else. Only what its status says."""

    def text(obj: Object) -> str:
        hard, used = at(obj, "status", "hard") or {}, at(obj, "status", "used") or {}
        chosen = (name for name in sorted(hard) if name.startswith("limits.") == limits)
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in chosen)

    return text


# --- nodes


def node_state(obj: Object) -> str:
    conditions = {item.get("type"): item.get("status") for item in at(obj, "status", "conditions") or []}
    ready = conditions.get("Ready")
    state = "Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"
    return f"{state},SchedulingDisabled" if at(obj, "spec", "unschedulable") else state


def roles(obj: Object) -> str:
    found = at(obj, "metadata", "labels") or {}
    names = [key.rpartition("/")[2] for key in found if key.startswith("node-role.kubernetes.io/")]
    return ",".join(sorted(names)) or "<none>"


def address(kind: str) -> Text:
    def text(obj: Object) -> str:
        addresses = {item.get("type"): item.get("address") for item in at(obj, "status", "addresses") or []}
        return addresses.get(kind) or "<none>"

    return text


# --- Events


def first_seen(obj: Object) -> str:
    return age(obj.get("firstTimestamp") or obj.get("eventTime"))


def last_seen(obj: Object) -> str:
    series = at(obj, "series", "lastObservedTime")
    return age(series or obj.get("lastTimestamp") or obj.get("firstTimestamp") or obj.get("eventTime"))


def times(obj: Object) -> int:
    return at(obj, "series", "count") or obj.get("count") or 1


def about(obj: Object) -> str:
    found = obj.get("involvedObject") or {}
    return "/".join(filter(None, (str(found.get("kind", "")).lower(), found.get("name", ""))))


def event_source(obj: Object) -> str:
    component = at(obj, "source", "component") or obj.get("reportingComponent")
    return ", ".join(filter(None, (component, at(obj, "source", "host") or obj.get("reportingInstance"))))


def message(obj: Object) -> str:
    return str(obj.get("message") or "").strip()


# --- access and policies


def subjects(kind: str) -> Text:
    """The subjects of a binding that are of one kind; service accounts with their namespace."""

    def text(obj: Object) -> str:
        mine = [entry for entry in obj.get("subjects") or [] if entry.get("kind") == kind]
        return ", ".join("/".join(filter(None, (entry.get("namespace"), entry.get("name")))) for entry in mine)

    return text


def requested_duration(obj: Object) -> str:
    seconds = at(obj, "spec", "expirationSeconds")
    return "<none>" if seconds is None else duration(seconds)


def request_state(obj: Object) -> str:
    """Of a CertificateSigningRequest."""
    holds = {item.get("type") for item in at(obj, "status", "conditions") or []}
    decided = next((state for state in ("Denied", "Approved") if state in holds), "Pending")
    issued = bool(at(obj, "status", "certificate"))
    return ",".join([decided, *(["Failed"] if "Failed" in holds else []), *(["Issued"] if issued else [])])


def param_kind(obj: Object) -> str:
    found: Any = at(obj, "spec", "paramKind")
    return "<unset>" if not found else f"{found.get('apiVersion')}/{found.get('kind')}"
