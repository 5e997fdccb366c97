"""`doit status`: what is out there, per store, and what the target was detected as."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kfold.commands.command import Command, flag
from kfold.errors import KfoldError
from kfold.human import age as human_age
from kfold.human import size as human_size
from kfold.plan.facts import Facts
from kfold.plan.steps import Plan
from kfold.planning import facts
from kfold.session import Session

if TYPE_CHECKING:
    from kfold.ledger import Record
    from kfold.verbs.presence import Presence


def command(session: Session, plan: Plan | KfoldError) -> Command:
    def status(json_output: bool) -> None:
        found = survey(session, plan)
        if json_output:
            session.console.line(json.dumps(found, indent=2))
        else:
            _print(session, found)

    parameter = {**flag("json_output", "as JSON, for machines"), "long": "json"}
    return Command("status", "what kfold made and where it is", status, (parameter,))


def survey(session: Session, plan: Plan | KfoldError) -> dict[str, Any]:
    """Everything that `status` tells, as plain data: the records, and of each whether the world still has it (`world`:
    there, gone, changed or unknown; `because`). A store that does not answer is told as such, never left out.
    """
    records = session.world.ledger.records()
    found = _look(session, records)
    known = facts(session, fresh=True)

    def of(store: str, told: Callable[[Record], dict[str, Any]], *, hooks: bool = False) -> list[dict[str, Any]]:
        return [
            {**told(record), "world": seen.found, "because": seen.why}
            for record, seen in zip(records, found, strict=True)
            if record.effect.store == store and record.effect.kind != "set" and (record.effect.kind == "hook") == hooks
            # what was lent for a while, and was given back, is no news
            and not (record.effect.details.get("lent") and seen.found == "gone")
        ]

    return {
        "config": str(session.config_file() or ""),
        "problem": str(plan) if isinstance(plan, KfoldError) else "",
        "target": _target(known),
        "elsewhere": _elsewhere(session, plan),
        "engine": of("engine", _record),
        "node": of("node", _node),
        "registry": of("registry", _pushed),
        "cluster": of("cluster", _object),
        "host": of("host", _record),
        "hooks": [*of("host", _hook, hooks=True), *of("cluster", _hook, hooks=True)],
    }


def _elsewhere(session: Session, plan: Plan | KfoldError) -> list[dict[str, Any]]:
    """What was deployed from another folder or machine: sets in the current cluster that this ledger does not know."""
    from kfold.commands.delete import sets
    from kfold.verbs.elsewhere import look_elsewhere

    known = plan.facts if isinstance(plan, Plan) else facts(session)
    return look_elsewhere(session.world, known.target, sets(known, plan) if isinstance(plan, Plan) else None)


def _look(session: Session, records: Sequence[Record]) -> list[Presence]:
    if not records:
        return []
    from kfold.verbs.presence import look

    return look(session.world, records)


def _target(known: Facts) -> dict[str, Any]:
    target = known.target
    return {
        "context": target.context,
        "kind": target.kind,
        "cluster": target.cluster,
        "because": list(target.because),
        "namespace": target.namespace,
        "images": target.delivery,
        "defaultRepo": known.default_repo,
        "registry": {"host": target.registry.host, "inCluster": target.registry.in_cluster} if target.registry else None,
        "refusal": target.refusal,
    }


IMAGES = {
    "shared": "Pods use the images of the engine that builds",
    "load": "images are loaded into the nodes",
    "push": "images are pushed",
}


def _record(record: Record) -> dict[str, Any]:
    details = record.effect.details
    return {
        "kind": record.effect.kind,
        "name": record.effect.name,
        "artifact": details.get("artifact", ""),
        "id": record.identity,
        "state": record.state,
        "made": record.effect.made,
        "size": details.get("size", 0),
        "age": round(time.time() - record.updated),
    }


def _node(record: Record) -> dict[str, Any]:
    details = record.effect.details
    return {**_record(record), "image": details["image"], "node": details["node"], "cluster": details["cluster"]}


def _hook(record: Record) -> dict[str, Any]:
    details = record.effect.details
    return {
        "phase": details["phase"],
        "subject": details["subject"],
        "config": record.effect.config,
        "store": record.effect.store,
        "where": details["where"],
        "command": details["command"],
        "undo": details["undo"],
        "state": record.state,
        "made": True,
        "age": round(time.time() - record.updated),
    }


def _pushed(record: Record) -> dict[str, Any]:
    return {**_record(record), "repository": record.effect.place}


def _object(record: Record) -> dict[str, Any]:
    from kfold.verbs.objects import reference

    ref = reference(record)
    return {
        "kind": ref.kind,
        "apiVersion": ref.api_version,
        "namespace": ref.namespace,
        "name": ref.name,
        "uid": record.identity,
        "state": record.state,
        "made": record.effect.made,
        "context": record.effect.details.get("context", ""),
        "config": record.effect.config,
        "age": round(time.time() - record.updated),
    }


def _print(session: Session, found: dict[str, Any]) -> None:
    line = session.console.line
    for item in found["elsewhere"]:
        line(
            f"deployed from elsewhere: {item['config']} in namespace {item['namespace']}, {item['kinds']} "
            f"(context {item['context']}); it is not in this folder's record, and {item['command']} takes it back"
        )
    target = found["target"]
    name = f'context "{target["context"]}"' if target["context"] else "no cluster"
    kind = f'{target["kind"]} "{target["cluster"]}"' if target["cluster"] else target["kind"]
    line(f"target: {name}, {kind} ({target['because'][0]}), namespace {target['namespace']}")
    for fact in target["because"][1:]:
        line(f"  {fact}")
    if target["context"]:
        repo = f", to {target['defaultRepo']}" if target["defaultRepo"] and target["images"] == "push" else ""
        line(f"  {IMAGES[target['images']]}{repo}")
    if target["refusal"]:
        line(f"  cannot deploy: {target['refusal']}")
    line(f"config: {found['config'] or 'none'}")
    if found["problem"]:
        line(f"  cannot be used: {found['problem']}")
    line("engine:" if found["engine"] else "engine: nothing")
    for item in found["engine"]:
        state = _state(item)
        if item["kind"] == "image":
            line(
                f"  image {item['artifact']} {item['id'][7:19]} {human_size(item['size'])}, {human_age(item['age'])}{state}"
            )
        else:
            line(f"  name  {item['name']} -> {item['id'][7:19]}, {human_age(item['age'])}{state}")
    for node in dict.fromkeys(item["node"] for item in found["node"]):
        line(f"node {node}:")
        for item in found["node"]:
            if item["node"] == node:
                line(f"  name  {item['name']} -> {item['image'][7:19]}, {human_age(item['age'])}{_state(item)}")
    if found["registry"]:
        line("registry:")
    for item in found["registry"]:
        what = f"{item['repository']}:{item['name']} -> " if item["kind"] == "tag" else f"{item['repository']} "
        line(f"  {item['kind']:<8} {what}{item['id'][7:19]}, {human_age(item['age'])}{_state(item)}")
    line("cluster:" if found["cluster"] else "cluster: nothing")
    for item in found["cluster"]:
        where = f"{item['context']}/{item['namespace']}" if item["namespace"] else item["context"]
        line(f"  {item['kind'].lower()} {item['name']} in {where}, {human_age(item['age'])}{_state(item)}")
    if found["hooks"]:
        line("hooks:")
    for item in found["hooks"]:
        words = " ".join(" ".join(item["command"]).split())
        line(f"  {item['phase']} of {item['subject']} at {item['where']}: {words}, {human_age(item['age'])}{_state(item)}")
    for item in found["host"]:
        line(f"host:\n  embedded cluster {item['name']}, started by kfold{_state(item)}")


def _state(item: dict[str, Any]) -> str:
    told = []
    if item["world"] != "there":
        told.append(item["world"] + (f": {item['because']}" if item["because"] else ""))
    if not item["made"]:
        told.append("was there before")
    if item["state"] != "done":
        told.append(f"{item['state']}, not confirmed")
    return f" ({', '.join(told)})" if told else ""
