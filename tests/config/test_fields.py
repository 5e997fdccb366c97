"""What a config means: every supported field, and what holds where it is not given."""

from __future__ import annotations

import pytest

from kfold.config.model import (
    CustomTemplate,
    DateTime,
    EnvTemplate,
    GitCommit,
    InputDigest,
    KubectlDeploy,
    PrunePolicy,
    Sha256,
    TagPolicy,
)
from kfold.config.skaffold import VERSIONS
from kfold.errors import Position
from tests.config.texts import FILE, load_one, load_text

EVERYTHING = """\
metadata:
  name: shop
  labels: {team: a}
  annotations: {note: 1}
build:
  artifacts:
  - image: registry.example.com:5000/team/base
  - image: web
    context: src/web
    docker:
      dockerfile: build/Dockerfile
      target: final
      noCache: true
      buildArgs:
        VERSION: 1.10
        FROM_ENVIRONMENT:
        DEBUG: yes
        EMPTY: ""
    platforms: [linux, arm]
    requires:
    - image: registry.example.com:5000/team/base
      alias: BASE
  tagPolicy:
    gitCommit: {variant: abbrevcommitsha, prefix: v, ignoreChanges: true}
  local: {push: false}
  platforms: [linux/amd64, arm64/v8, Linux/aarch64]
manifests:
  rawYaml:
  - k8s/web.yaml
  - more/*.yaml
deploy:
  kubectl: {defaultNamespace: shop}
  statusCheck: false
  statusCheckDeadlineSeconds: 30
  keep: true
prune: {keep: 2, maxAge: 1d12h}
"""


@pytest.mark.parametrize("validate", [True, False])
def test_everything_that_is_written_arrives(validate: bool) -> None:
    config = load_one(EVERYTHING, validate=validate)
    assert (config.name, config.named, config.api_version) == ("shop", True, "kfold/v1")
    base, web = config.artifacts
    assert base.image == "registry.example.com:5000/team/base"
    assert (web.image, web.context) == ("web", "src/web")
    assert (web.docker.dockerfile, web.docker.target, web.docker.no_cache) == ("build/Dockerfile", "final", True)
    assert dict(web.docker.build_args) == {"VERSION": "1.10", "FROM_ENVIRONMENT": None, "DEBUG": "yes", "EMPTY": ""}
    (requirement,) = web.requires
    assert (requirement.image, requirement.alias) == (base.image, "BASE")
    assert config.tag_policy == GitCommit("AbbrevCommitSha", "v", True)
    assert config.push is False
    assert config.platforms == ("linux/amd64", "linux/arm64")
    assert (base.platforms, web.platforms) == ((), ("linux", "linux/arm/v7"))
    assert [(source.path, source.default) for source in config.manifests] == [
        ("k8s/web.yaml", False),
        ("more/*.yaml", False),
    ]
    assert config.kubectl == KubectlDeploy("shop")
    assert (config.status_check, config.status_check_deadline) == (False, 30)
    assert config.prune == PrunePolicy(2, 36 * 3600.0)
    assert config.keep is True


def test_places_are_those_of_the_file() -> None:
    config = load_one(EVERYTHING)
    web = config.artifacts[1]
    assert config.position == Position(FILE, 1, 1)
    assert web.position == Position(FILE, 10, 12)
    assert web.docker.position == Position(FILE, 13, 7)
    assert web.platforms_position == Position(FILE, 21, 16)
    assert web.requires[0].position == Position(FILE, 23, 14)
    assert config.manifests[1].position == Position(FILE, 32, 5)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "metadata:\nbuild:\nmanifests:\ndeploy:\n",
        "metadata: {}\nbuild: {artifacts: , tagPolicy: , local: }\nmanifests: {rawYaml: }\n"
        "deploy: {kubectl: , statusCheck: , statusCheckDeadlineSeconds: 0}\n",
        "build: {artifacts: [], tagPolicy: {}, local: {}}\nmanifests: {rawYaml: []}\ndeploy: {kubectl: {}}\n",
    ],
)
def test_defaults_hold_where_nothing_or_null_is_given(body: str) -> None:
    config = load_one(body)
    assert config.artifacts == ()
    assert config.tag_policy == GitCommit("Tags", "", False)
    assert config.push is None
    assert [(source.path, source.default) for source in config.manifests] == [("k8s/*.yaml", True)]
    assert config.kubectl == KubectlDeploy(None)
    assert (config.status_check, config.status_check_deadline) == (True, 600)
    assert config.prune == PrunePolicy(0, None)
    assert config.keep is False


def test_defaults_of_an_artifact() -> None:
    (artifact,) = load_one("build: {artifacts: [{image: web, context: , docker: , requires: }]}").artifacts
    assert (artifact.context, artifact.docker.dockerfile, artifact.docker.target) == (".", "Dockerfile", "")
    assert (dict(artifact.docker.build_args), artifact.docker.no_cache, artifact.requires) == ({}, False, ())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("gitCommit: {}", GitCommit()),
        ("gitCommit: {variant: Branches}", GitCommit("Branches")),
        ("gitCommit: {variant: TREESHA}", GitCommit("TreeSha")),
        ("sha256: {}", Sha256()),
        ("sha256:", Sha256()),
        ("inputDigest: {}", InputDigest()),
        ("dateTime: {}", DateTime("2006-01-02_15-04-05.999_MST", "Local")),
        ("dateTime: {format: 2006-01-02, timezone: UTC}", DateTime("2006-01-02", "UTC")),
        ("envTemplate: {template: '{{.USER}}'}", EnvTemplate("{{.USER}}", Position(FILE, 5, 29))),
    ],
)
def test_tag_policies(written: str, expected: TagPolicy) -> None:
    assert load_one(f"build:\n  tagPolicy:\n    {written}\n").tag_policy == expected


def test_a_custom_template_has_named_components_in_their_order() -> None:
    policy = load_one(
        """\
        build:
          tagPolicy:
            customTemplate:
              template: "{{.B}}-{{.A}}"
              components:
              - name: B
                dateTime: {timezone: UTC}
              - {name: A, gitCommit: {variant: CommitSha}}
              - {name: C, sha256: }
        """
    ).tag_policy
    assert isinstance(policy, CustomTemplate)
    assert policy.template == "{{.B}}-{{.A}}"
    assert policy.components == (("B", DateTime(timezone="UTC")), ("A", GitCommit("CommitSha")), ("C", Sha256()))


@pytest.mark.parametrize("word", ["true", "True", "yes", "on", "y"])
def test_words_for_true_where_a_boolean_is_asked_for(word: str) -> None:
    assert load_one(f"build: {{local: {{push: {word}}}}}").push is True


@pytest.mark.parametrize(("written", "seconds"), [("45", 45), ("0o10", 8), ("0x10", 16), ("+7", 7), ('!!int "7"', 7)])
def test_whole_numbers(written: str, seconds: int) -> None:
    assert load_one(f"deploy: {{statusCheckDeadlineSeconds: {written}}}").status_check_deadline == seconds


@pytest.mark.parametrize(
    ("folder", "name"),
    [("web", "web"), ("My App_2", "my-app-2"), ("--x--", "x"), ("日本", "app"), ("", "app"), ("a" * 70, "a" * 63)],
)
def test_without_a_name_the_folder_names_the_config(folder: str, name: str) -> None:
    config = load_one("", folder_name=folder)
    assert (config.name, config.named) == (name, False)


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_that_are_read(version: str) -> None:
    (config,) = load_text(f"apiVersion: {version}\nkind: Config\n", head="")
    assert config.api_version == version


def test_several_documents_have_no_default_manifests() -> None:
    text = (
        "metadata: {name: one}\nbuild: {artifacts: [{image: a}]}\n---\napiVersion: skaffold/v4beta11\nkind: Config\n"
        "metadata: {name: two}\nbuild: {artifacts: [{image: b, requires: [{image: a}]}]}\n"
        "manifests: {rawYaml: [x.yaml]}\n"
    )
    one, two = load_text(text)
    assert (one.name, one.manifests) == ("one", ())
    assert (two.name, [source.path for source in two.manifests]) == ("two", ["x.yaml"])
    assert two.artifacts[0].requires[0].alias == "a"


def test_one_document_and_empty_ones_are_one() -> None:
    (config,) = load_text("---\n# nothing here\n---\n")
    assert config.manifests[0].default


def test_anchors_and_merge_keys_share_what_is_common() -> None:
    config = load_one(
        """\
        .common: &common
          docker: {target: final, buildArgs: {A: x}}
        build:
          artifacts:
          - {image: a, <<: *common}
          - <<: *common
            image: b
            context: b
        """
    )
    assert [(a.image, a.docker.target, dict(a.docker.build_args)) for a in config.artifacts] == [
        ("a", "final", {"A": "x"}),
        ("b", "final", {"A": "x"}),
    ]


@pytest.mark.parametrize(
    "image",
    [
        "web",
        "team/web",
        "localhost/web",
        "localhost:5000/web",
        "gcr.io/a/b/c",
        "a__b",
        "a--b",
        "x.y/z",
        "[::1]:5000/a",
        "Host/a",
    ],
)
def test_image_names_that_are_good(image: str) -> None:
    (artifact,) = load_one(f'build: {{artifacts: [{{image: "{image}"}}]}}').artifacts
    assert artifact.image == image


def test_a_config_is_a_value() -> None:
    """Two readings are equal, and neither can be changed."""
    config = load_one("build: {artifacts: [{image: a}]}")
    assert config == load_one("build: {artifacts: [{image: a}]}")
    with pytest.raises(AttributeError):
        config.name = "other"  # type: ignore[misc]
