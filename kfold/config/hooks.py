"""Nodes -> hooks: commands that run before and after a step, as Skaffold has them, each with the `undo` that kfold adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kfold.config.model import ContainerHook, Hook, Hooks, HostHook
from kfold.config.nodes import MappingNode, Node, as_mapping, as_text
from kfold.config.problems import Problems

OWN_VERSION = "kfold/v1"

Kind = TypeVar("Kind", bound=Hook)


def host_hooks(node: MappingNode, name: str, version: str, problems: Problems) -> Hooks[HostHook]:
    """`before` and `after` of a build: commands of this host."""

    def one(item: Node, place: str) -> HostHook:
        return _host(as_mapping(item, place), place, version, problems)

    return _both(node, name, one)


def deploy_hooks(node: MappingNode, name: str, version: str, problems: Problems) -> Hooks[Hook]:
    """`before` and `after` of a deployment: each entry is `host:` or `container:`."""

    def one(item: Node, place: str) -> Hook:
        entry = as_mapping(item, place)
        if entry.has("host") == entry.has("container"):
            problems.add(f"`{place}` is to have `host` or `container`, one of them", entry.position)
            return HostHook((), position=entry.position)
        if entry.has("host"):
            return _host(entry.mapping("host"), f"{place}.host", version, problems)
        container = entry.mapping("container")
        place = f"{place}.container"
        return ContainerHook(
            command=_words(container, "command", place),
            undo=_undo(container, place, version, problems),
            pod_name=container.text("podName"),
            container_name=container.text("containerName"),
            position=container.place("command"),
        )

    return _both(node, name, one)


def _both(node: MappingNode, name: str, one: Callable[[Node, str], Kind]) -> Hooks[Kind]:
    before = tuple(one(item, f"{name}.before[]") for item in node.list("before"))
    return Hooks(before, tuple(one(item, f"{name}.after[]") for item in node.list("after")))


def _host(node: MappingNode, place: str, version: str, problems: Problems) -> HostHook:
    return HostHook(
        command=_words(node, "command", place),
        undo=_undo(node, place, version, problems),
        os=_words(node, "os", place),
        folder=node.text("dir"),
        position=node.place("command"),
    )


def _undo(node: MappingNode, place: str, version: str, problems: Problems) -> tuple[str, ...]:
    if "undo" not in node.entries:
        return ()
    if version != OWN_VERSION:
        problems.add(
            f"`{place}.undo` is no field of {version}",
            node.keys["undo"],
            f"Skaffold takes nothing back. Write `apiVersion: {OWN_VERSION}`, which means the same otherwise.",
        )
    elif not node.has("command"):
        problems.add(f"`{place}.undo` has no `command` beside it that it takes back", node.keys["undo"])
    return _words(node, "undo", place)


def _words(node: MappingNode, key: str, place: str) -> tuple[str, ...]:
    return tuple(as_text(item, f"{place}.{key}[]") for item in node.list(key))
