"""Each mistake through the real command: one message with its place and the next step, and nothing changed."""

from __future__ import annotations

import json

import pytest

from tests.badinput.conftest import Bad

ONE = "build:\n  tagPolicy:\n    inputDigest: {}\n  artifacts:\n    - image: IMAGE\n"
TWO = ONE + "    - image: IMAGE-two\n"
MANIFESTS = "manifests:\n  rawYaml:\n    - k8s/*\n"
GOOD = ONE + MANIFESTS

CONFIGS = {
    "unknown field": ("bild:\n  artifacts: []\n", "kfold.yaml:5:1: there is no field `bild`\n  Did you mean `build`?"),
    "mistyped field": (ONE.replace("inputDigest", "inputdigest"), "kfold.yaml:7:5: ", "inputDigest"),
    "nested unknown field": (ONE + "      dokcer: {}\n", "kfold.yaml:10:7: ", "dokcer", "docker"),
    "field of Skaffold that is not supported": (ONE + "      custom: {}\n", "kfold.yaml:10:7: ", "custom"),
    "wrong type": ("build:\n  artifacts: one\n", "kfold.yaml:6:14: `build.artifacts`: expected a list, got a string"),
    "broken YAML": ("build: [\n", "kfold.yaml:6:1: broken YAML"),
    "tab": ("build:\n\tartifacts: []\n", "kfold.yaml:6:1: broken YAML"),
    "duplicate key": ("build: {}\nbuild: {}\n", "kfold.yaml:6:1: ", "build"),
    "duplicate artifact": (ONE + "    - image: IMAGE\n", "kfold.yaml:10:14: ", "already given at kfold.yaml:9:14"),
    "cycle": (
        ONE
        + "      requires: [{image: IMAGE-two, alias: A}]\n"
        + "    - image: IMAGE-two\n      requires: [{image: IMAGE, alias: B}]\n",
        "kfold.yaml:12:26: the artifacts require each other: IMAGE -> IMAGE-two -> IMAGE",
    ),
    "requires what is not there": (ONE + "      requires: [{image: nobody}]\n", "kfold.yaml:10:26: ", "nobody"),
    "two tag policies": (ONE.replace("Digest: {}", "Digest: {}\n    sha256: {}"), "kfold.yaml:8:5: only one tag policy"),
    "not an image name": (ONE.replace("IMAGE", "No Name"), "kfold.yaml:9:14: ", "No Name"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_cannot_be(bad: Bad, case: str) -> None:
    body, *told = CONFIGS[case]
    bad.config(body)
    output = bad.refused()
    for text in told:
        assert text in output, output
    assert output.startswith("deploy failed: kfold.yaml:"), output


def test_what_looks_and_what_cleans_up_works_beside_a_broken_config(bad: Bad) -> None:
    bad.config("bild: {}\n")
    assert "deploy" in bad.app.doit("list").succeeded().output
    assert bad.app.doit("delete").succeeded().output == "Nothing is deployed.\n"
    assert "no field `bild`" in bad.app.status()["problem"]


def test_no_config(bad: Bad) -> None:
    output = bad.refused()
    assert "there is no config in" in output and "kfold.yaml, skaffold.yaml" in output, output
    assert output == bad.refused("deploy", command="kfold")
    bad.app.project.environment["KFOLD_CONFIG"] = "elsewhere.yaml"
    assert "elsewhere.yaml" in bad.refused()


def test_a_missing_dockerfile_of_the_second_artifact(bad: Bad) -> None:
    """The first one, which is good, is not built either."""
    bad.config(TWO + "      docker:\n        dockerfile: Dockerfile.none\n" + MANIFESTS)
    output = bad.refused()
    assert output.startswith("deploy failed: kfold.yaml:11:9: ") or "kfold.yaml:12:" in output, output
    assert "Dockerfile.none" in output and "Check `dockerfile` and `context`" in output, output


def test_a_missing_context(bad: Bad) -> None:
    bad.config(ONE + "      context: nowhere\n" + MANIFESTS)
    output = bad.refused()
    assert "kfold.yaml:" in output and "nowhere' does not exist" in output, output


@pytest.mark.parametrize("line", ["FROM\n", "FORM scratch\n", "COPY a b\n", "FROM scratch\nCOPY missing.txt /\n"])
def test_a_broken_dockerfile(bad: Bad, line: str) -> None:
    bad.config(GOOD)
    bad.app.project.write("Dockerfile", line)
    output = bad.refused()
    assert f"Dockerfile:{len(line.splitlines())}" in output, output


@pytest.mark.parametrize(("path", "told"), [("nothing/*.yaml", "matches no file"), ("k8s", "is a folder")])
def test_manifests_that_are_not_there(bad: Bad, path: str, told: str) -> None:
    bad.config(ONE + f"manifests:\n  rawYaml:\n    - {path}\n")
    output = bad.refused()
    assert output.startswith("deploy failed: kfold.yaml:12:7: ") and told in output, output


MANIFEST = {
    "a list": ("- a\n", "1:1: this is no Kubernetes object"),
    "text": ("hello\n", "1:1: this is no Kubernetes object"),
    "no kind": ("apiVersion: v1\n", "1:1: this is no Kubernetes object: `kind` is missing"),
    "the second document": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n---\nkind: ConfigMap\n",
        "6:1: this is no Kubernetes object: `apiVersion` is missing",
    ),
    "no name": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", "1:1: this is no Kubernetes object: `metadata.name`"),
    "a name made up": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x-}\n", "generateName"),
    "broken YAML": ("kind: [\n", "2:1: broken YAML"),
    "twice": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\n" * 2,
        "5:1: ConfigMap x is in the manifests twice",
    ),
}


@pytest.mark.parametrize("case", MANIFEST)
def test_a_manifest_that_is_none(bad: Bad, case: str) -> None:
    text, told = MANIFEST[case]
    bad.config(GOOD)
    bad.app.project.write("k8s/bad.yaml", text)
    output = bad.refused()
    assert output.startswith("deploy failed: k8s/bad.yaml:") and told in output, output


def test_what_the_cluster_refuses_names_the_manifest(bad: Bad) -> None:
    """A field that no ConfigMap has; nothing was built, so nothing is left but what the run says."""
    bad.config(MANIFESTS)
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {bad.app.name}-t}}\ndate: {{}}\n"
    bad.app.project.write("k8s/typo.yaml", text)
    (bad.app.project.folder / "k8s" / f"configmap-{bad.app.name}.json").unlink()
    output = bad.refused()
    assert "k8s/typo.yaml:1:1: " in output and "date" in output, output


def test_an_engine_that_does_not_answer(bad: Bad) -> None:
    bad.config(TWO + MANIFESTS)
    environment = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
    for arguments in ((), ("build",)):
        output = bad.app.doit(*arguments, env=environment).failed(1).output
        assert output.count("does not answer") == 1 and "tcp://127.0.0.1:1" in output, output
        assert "DOCKER_HOST" in output, output
    bad.app.doit("status", env=environment).succeeded()


def kubeconfig(bad: Bad, context: str, server: str = "https://127.0.0.1:1") -> None:
    """Make `context` the current one; the server behind it is not there."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
    }
    path = bad.app.project.write("kubeconfig", json.dumps(content))
    bad.app.project.environment["KUBECONFIG"] = str(path)


def test_a_cluster_that_does_not_answer(bad: Bad) -> None:
    bad.config(GOOD)
    kubeconfig(bad, "docker-desktop")
    output = bad.refused()
    assert 'context "docker-desktop"' in output and "https://127.0.0.1:1 does not answer" in output, output
    assert "choose another context" in output, output


@pytest.mark.parametrize("context", ["kind-dev", "k3d-dev", "gke_project_zone_name"])
def test_a_cluster_of_any_kind_that_is_not_there(bad: Bad, context: str) -> None:
    """Found out before anything is built; an image that would be pushed first needs a place to go to."""
    bad.config(GOOD)
    kubeconfig(bad, context)
    output = bad.refused()
    told = "Docker Hub's official images" if context.startswith("gke") else "https://127.0.0.1:1 does not answer"
    assert output.startswith("deploy failed: ") and told in output, output


def test_minikube_without_its_program(bad: Bad) -> None:
    """Its engine is found by `minikube docker-env` alone: nothing is built in another one instead."""
    bad.config(GOOD)
    kubeconfig(bad, "minikube")
    output = bad.refused()
    assert "the program `minikube` is not installed" in output and "local-cluster false" in output, output


@pytest.mark.parametrize("command", ["deploy", "dev"])
def test_an_unknown_context(bad: Bad, command: str) -> None:
    bad.config(GOOD)
    kubeconfig(bad, "docker-desktop")
    output = bad.refused(command, "context=nope")
    assert 'kubeconfig: unknown context "nope"' in output and "contexts: docker-desktop" in output, output
    assert "embedded cluster" not in output, output
    assert output == bad.refused(command, "--kube-context", "nope", command="kfold")


@pytest.mark.parametrize("command", ["deploy", "dev"])
def test_a_broken_kubeconfig(bad: Bad, command: str) -> None:
    bad.config(GOOD)
    bad.app.project.environment["KUBECONFIG"] = str(bad.app.project.write("kubeconfig", "apiVersion: [\n"))
    output = bad.refused(command)
    assert "kubeconfig" in output and "embedded cluster" not in output, output


def test_no_cluster_at_all(bad: Bad) -> None:
    bad.config(GOOD)
    folder = bad.app.project.folder
    bad.app.project.environment |= {"KUBECONFIG": str(folder / "none"), "KFOLD_SANDBOX_HOME": str(folder / "none")}
    output = bad.refused()
    assert "no kube context" in output and "`kfold sandbox up`" in output, output


def test_pushing(bad: Bad) -> None:
    bad.config(ONE + "  local:\n    push: true\n" + MANIFESTS)
    output = bad.refused()
    assert output.startswith("deploy failed: kfold.yaml:") and "Docker Hub's official images" in output, output
    bad.config(GOOD)
    assert "Docker Hub's official images" in bad.refused("deploy", "push=yes")
    nobody = "127.0.0.1:1"
    assert f"the registry {nobody} cannot be reached" in bad.refused("deploy", "--push", "-d", nobody, command="kfold")


@pytest.mark.parametrize("variable", ["push=maybe", "profile=ci"])
def test_a_variable_that_means_nothing(bad: Bad, variable: str) -> None:
    bad.config(GOOD)
    output = bad.app.doit("deploy", variable).failed(1).output
    assert output.startswith("kfold: ") and variable.partition("=")[0] in output, output


def test_a_command_line_that_means_nothing(bad: Bad) -> None:
    bad.config(GOOD)
    assert "deplyo" in bad.app.kfold("deplyo").failed(2).output
    assert "deplyo" in bad.app.doit("deplyo").failed(3).output
    assert "--namespace needs a value" in bad.app.kfold("deploy", "--namespace").failed(2).output
    assert "--jobs many" in bad.app.kfold("deploy", "--jobs", "many").failed(2).output
