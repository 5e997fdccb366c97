"""What is kept of hooks: which are one effect and which are two, and the copy that stands in the cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfold.config.model import ContainerHook, Hook, HostHook
from kfold.errors import Position
from kfold.ledger import Record
from kfold.plan.hook_variables import build_variables, deploy_variables, module_variables, named_variables
from kfold.stores.host import Host
from kfold.verbs.hook_copy import from_texts, to_text
from kfold.verbs.hook_effects import Occasion, effect_of
from tests.plan.generated import container_hooks, host_hooks, moderate

ACCESS: dict[str, Any] = {"context": "there", "server": "https://there", "kubeconfig": ["/there"], "target": "remote"}


def occasion(phase: Any = "post-deploy", about: str = "default", **variables: str) -> Occasion:
    details = {"cluster": "uid", "context": "here", "server": "https://here", "kubeconfig": ["/here"], "target": "kind",
               "namespaces": ["default"]}  # fmt: skip
    return Occasion(phase, "shop", "shop", about, "uid", variables, details)


HERE = Host("h1", "laptop", b"mine")


def text_of(record: Record) -> str:
    return to_text(record, ledger="l1", host=HERE, project="/src/shop")


def record(hook: Hook, number: int = 1, when: Occasion | None = None, **environment: str) -> Record:
    return Record(number, effect_of(hook, when or occasion(), (), environment), "done", "ran", float(number), 0.0)


def test_another_command_or_place_is_another_effect() -> None:
    hook = HostHook(("a",), ("b",))

    def name(hook: Hook, when: Occasion | None = None, *earlier: Hook) -> str:
        return effect_of(hook, when or occasion(), earlier, {}).name

    assert name(hook) == name(HostHook(("a",), ("b",), position=Position("moved.yaml", 3, 4)))
    assert name(hook) == name(hook, occasion(SKAFFOLD_RUN_ID="another")), "it ran again: one effect"
    others = {
        name(HostHook(("a", "x"), ("b",))),
        name(HostHook(("a",), ("c",))),
        name(HostHook(("a",), ("b",), folder="d")),
        name(hook, occasion("pre-deploy")),
        name(hook, occasion(about="other")),
        name(hook, None, hook),
        name(ContainerHook(("a",), ("b",))),
        name(ContainerHook(("a",), ("b",), "web-*")),
    }
    assert len(others | {name(hook)}) == 9
    assert name(hook, None, HostHook(("x",))) == name(hook), "others before it do not matter"


def test_variables() -> None:
    assert build_variables("registry.example.com:5000/team/web:v1", "/src", push=True) == {
        "SKAFFOLD_IMAGE": "registry.example.com:5000/team/web:v1",
        "SKAFFOLD_PUSH_IMAGE": "true",
        "SKAFFOLD_IMAGE_REPO": "registry.example.com:5000/team",
        "SKAFFOLD_IMAGE_TAG": "v1",
        "SKAFFOLD_BUILD_CONTEXT": "/src",
    }
    assert set(module_variables().values()) == {"", "false"}
    assert deploy_variables("id", "ctx", ["b", "", "a", "b"])["SKAFFOLD_NAMESPACES"] == "a,b"


def test_of_the_users_variables_only_names_are_kept() -> None:
    environment = {"TOKEN": "s3cr3t", "OTHER": "s3cr3t", "HOME": "/s3cr3t", "PLAIN": "s3cr3t"}
    undo = ("sh", "-c", "curl -H $TOKEN ${OTHER:-x} $NOT_SET $$ $1 PLAIN \"$HOME\"")
    assert named_variables(undo, environment) == ["HOME", "OTHER", "TOKEN"]
    kept = record(HostHook(("true",), undo), **environment)
    assert "s3cr3t" not in repr(kept) and "s3cr3t" not in text_of(kept)


@moderate
@given(st.lists(host_hooks | container_hooks, max_size=4))
def test_the_copy_comes_back_as_it_was(hooks: list[Hook]) -> None:
    records = [record(hook, number) for number, hook in enumerate(hooks, 1)]
    texts = {f"hook-{9 - number}": text_of(one) for number, one in enumerate(records)}
    found = from_texts({"adopted": "{", **texts}, ACCESS, HERE)
    assert [one.effect.name for one in found] == [one.effect.name for one in records], "in the order in which they ran"
    for copied, original in zip(found, records, strict=True):
        assert (copied.ledger, copied.host, copied.host_name, copied.project) == ("l1", "h1", "laptop", "/src/shop")
        assert copied.own
        assert (copied.effect.store, copied.effect.config) == (original.effect.store, "shop")
        # as JSON: the ledger knows no other
        wanted = {**original.effect.details, **ACCESS, "copy": copied.key}
        assert copied.effect.details == json.loads(json.dumps(wanted))


def test_only_what_is_as_it_was_signed_is_ones_own() -> None:
    text = text_of(record(HostHook(("a",), ("b",))))
    said = json.loads(text)
    said["details"]["undo"] = ["rm", "-r", "."]

    def own(text: str, host: Host = HERE) -> bool:
        return from_texts({"hook-1": text}, ACCESS, host)[0].own

    assert own(text) and not own(json.dumps(said)) and not own(text, Host("h1", "laptop", b"another's"))


def test_a_kubeconfig_stays_where_it_is() -> None:
    assert "/here" not in text_of(record(ContainerHook(("a",), ("b",), "web-*"))), "its path means nothing elsewhere"


@pytest.mark.parametrize(
    "text", ["{", "[]", "null", '{"version":2}', '{"version":1}',
             '{"version":1,"signature":"","store":"engine","place":"","name":"","config":"","details":{}}',
             '{"version":1,"signature":"","store":"host","place":"","name":"","config":"","details":{}}'],
)  # fmt: skip
def test_a_copy_that_cannot_be_read_is_never_no_hooks(text: str) -> None:
    with pytest.raises(ValueError):
        from_texts({"hook-1": text}, ACCESS, HERE)
