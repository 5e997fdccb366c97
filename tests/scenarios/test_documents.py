"""Several documents in one file, kinds that come with their objects, and fields that somebody took over."""

from __future__ import annotations

import base64
import json

from tests.scenarios.application import Application, ApplicationFactory, Object, config_map, custom_kind, unique

DOCUMENT = "apiVersion: kfold/v1\nkind: Config\nmetadata: {{name: {name}}}\nmanifests: {{rawYaml: [{name}/*.json]}}\n"


def two_documents(app: Application) -> tuple[str, str]:
    """Make the project's config two documents; returns their names, which are their folders' too."""
    names = (f"{app.name}-one", f"{app.name}-two")
    app.project.write("kfold.yaml", "---\n".join(DOCUMENT.format(name=name) for name in names))
    return names


def write(app: Application, folder: str, *manifests: Object) -> None:
    for old in (app.project.folder / folder).glob("*.json"):
        old.unlink()
    for manifest in manifests:
        app.project.write(f"{folder}/{manifest['metadata']['name']}.json", json.dumps(manifest))


def test_an_object_that_moves_to_another_document_stays(application: ApplicationFactory) -> None:
    app = application(artifact=False)
    one, two = two_documents(app)
    write(app, one, config_map("moves", {"a": "1"}), config_map("stays", {"a": "1"}))
    write(app, two, config_map("other", {"a": "1"}))
    app.doit().succeeded()
    before = app.place.there("configmaps", "moves")["metadata"]["uid"]

    write(app, one, config_map("stays", {"a": "1"}))
    write(app, two, config_map("other", {"a": "1"}), config_map("moves", {"a": "1"}))
    for options in ((), ("-n", "1"), ()):
        output = app.doit(*options).succeeded().output
        assert "deleted" not in output, output
        assert app.place.there("configmaps", "moves")["metadata"]["uid"] == before
    assert "Nothing to do" in output, output

    app.doit(f"delete:{one}").succeeded()
    assert app.place.object("configmaps", "stays") is None
    assert app.place.there("configmaps", "moves")["metadata"]["uid"] == before, "it belongs to the other document now"
    app.doit("delete").succeeded()
    assert app.place.held() == {}


def test_one_object_in_two_documents_is_refused(application: ApplicationFactory) -> None:
    app = application(artifact=False)
    one, two = two_documents(app)
    write(app, one, config_map("same", {"a": "1"}))
    write(app, two, config_map("same", {"a": "2"}))
    output = app.doit().failed(1).output
    assert "ConfigMap same is in the manifests twice" in output, output
    assert f"{one}/same.json" in output and f"{two}/same.json" in output, output
    assert app.place.held() == {}


def test_a_kind_and_its_object_in_one_deployment(application: ApplicationFactory) -> None:
    app = application(artifact=False)
    plural = f"things{unique('x').replace('-', '')}"
    thing: Object = {
        "apiVersion": "kfold.test/v1",
        "kind": plural.capitalize(),
        "metadata": {"name": "thing"},
        "spec": {"size": 1},
    }
    app.deploys(thing, custom_kind(plural))
    app.doit().succeeded()
    found = app.place.kubectl("get", f"{plural}.kfold.test", "thing", "-o", "jsonpath={.spec.size}").succeeded()
    assert found.output == "1"
    assert "Nothing to do" in app.doit().succeeded().output
    app.doit("delete").succeeded()
    assert app.place.kubectl("get", "crd", f"{plural}.kfold.test").code != 0


def test_a_field_that_somebody_took_over_is_taken_back(application: ApplicationFactory) -> None:
    app = application(artifact=False).deploys(config_map("it", {"a": "1"}))
    app.doit().succeeded()
    app.place.kubectl("patch", "configmap", "it", "--type=merge", "-p", '{"data":{"a":"theirs","b":"theirs"}}').succeeded()
    assert app.place.there("configmaps", "it")["data"]["a"] == "theirs"
    output = app.doit().succeeded().output
    assert ".data.a (from kubectl-patch)" in output, output
    assert app.place.there("configmaps", "it")["data"] == {"a": "1", "b": "theirs"}


def test_a_key_that_left_a_secrets_string_data_is_removed(application: ApplicationFactory) -> None:
    secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "it"}}
    app = application(artifact=False).deploys(secret | {"stringData": {"one": "a", "two": "b"}})
    app.doit().succeeded()
    assert set(app.place.there("secrets", "it")["data"]) == {"one", "two"}
    app.deploys(secret | {"stringData": {"one": "a"}})
    app.doit().succeeded()
    assert app.place.there("secrets", "it")["data"] == {"one": base64.b64encode(b"a").decode()}
