"""Nodes -> Config: defaults filled in, names checked. What concerns several artifacts or documents is in `checks`."""

from __future__ import annotations

import re

from kfold.config.hooks import deploy_hooks, host_hooks
from kfold.config.model import (
    Artifact,
    Config,
    CustomTemplate,
    DateTime,
    DockerBuild,
    EnvTemplate,
    GitCommit,
    GitVariant,
    InputDigest,
    KubectlDeploy,
    ManifestSource,
    Requirement,
    Sha256,
    TagPolicy,
)
from kfold.config.names import dns_label, image_name_problem, is_dns_label, is_label_value
from kfold.config.nodes import MappingNode, Node, ScalarNode, as_mapping, as_text
from kfold.config.platforms import NoPlatform, parse
from kfold.config.problems import Problems
from kfold.config.pruning import prune_policy

DEFAULT_MANIFESTS = "k8s/*.yaml"
DEFAULT_DEADLINE = 600
"""Seconds; Skaffold's 0 means the same."""
_ALIAS = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_GIT_VARIANTS: dict[str, GitVariant] = {
    "tags": "Tags",
    "commitsha": "CommitSha",
    "abbrevcommitsha": "AbbrevCommitSha",
    "treesha": "TreeSha",
    "abbrevtreesha": "AbbrevTreeSha",
    "branches": "Branches",
}
_POLICIES = ("gitCommit", "sha256", "envTemplate", "dateTime", "inputDigest", "customTemplate")


def build_config(document: MappingNode, *, folder_name: str, alone: bool, problems: Problems) -> Config:
    """One document's Config. Problems with names go to `problems`; a value of the wrong type raises ConfigError.

    `alone`: it is the only document, so Skaffold's default manifests apply.
    """
    metadata = document.mapping("metadata")
    name = metadata.text("name")
    if name and not is_label_value(name):
        problems.add(
            f"`{name}` cannot be the name of a config",
            metadata.place("name"),
            "It becomes a label of objects and images: at most 63 letters, digits, `-`, `_` or `.`,"
            " with a letter or digit at both ends.",
        )
    build = document.mapping("build")
    deploy = document.mapping("deploy")
    status_check = deploy.boolean("statusCheck")
    version = document.text("apiVersion")
    return Config(
        name=name or dns_label(folder_name),
        named=bool(name),
        api_version=version,
        artifacts=tuple(_artifact(node, version, problems) for node in build.list("artifacts")),
        tag_policy=_tag_policy(build.mapping("tagPolicy"), problems),
        push=build.mapping("local").boolean("push"),
        manifests=_manifests(document, alone, problems),
        kubectl=_kubectl(deploy.mapping("kubectl"), version, problems),
        status_check=status_check is not False,
        status_check_deadline=deploy.integer("statusCheckDeadlineSeconds") or DEFAULT_DEADLINE,
        position=document.position,
        build_hooks=host_hooks(build.mapping("hooks"), "build.hooks", version, problems),
        prune=prune_policy(document, version, problems),
        keep=_keep(deploy, version, problems),
        platforms=_platforms(build, "build.platforms", problems),
    )


def _keep(deploy: MappingNode, version: str, problems: Problems) -> bool:
    """`deploy.keep`, which Skaffold does not have."""
    if deploy.has("keep") and not version.startswith("kfold/"):
        problems.add(
            f"`deploy.keep` is no field of {version}",
            deploy.keys["keep"],
            'With `apiVersion: kfold/v1` in a kfold.yaml it is one; the annotation `kfold.dev/keep: "true"` works in both.',
        )
    return bool(deploy.boolean("keep"))


def _artifact(node: Node, version: str, problems: Problems) -> Artifact:
    artifact = as_mapping(node, "build.artifacts[]")
    image = artifact.text("image")
    problem = image_name_problem(image)
    if problem:
        problems.add(problem[0], artifact.place("image"), problem[1])
    return Artifact(
        image=image,
        context=artifact.text("context") or ".",
        docker=_docker(artifact, problems),
        requires=_requirements(artifact, problems),
        position=artifact.place("image"),
        hooks=host_hooks(artifact.mapping("hooks"), "build.artifacts[].hooks", version, problems),
        platforms=_platforms(artifact, "build.artifacts[].platforms", problems),
        platforms_position=artifact.place("platforms"),
    )


def _platforms(node: MappingNode, field: str, problems: Problems) -> tuple[str, ...]:
    """`platforms:` of `node`, in the order of the file, each once."""
    found: list[str] = []
    for item in node.list("platforms"):
        try:
            found.append(parse(as_text(item, f"{field}[]")))
        except NoPlatform as error:
            problems.add(str(error), item.position, error.hint)
    return tuple(dict.fromkeys(found))


def _docker(artifact: MappingNode, problems: Problems) -> DockerBuild:
    docker = artifact.mapping("docker")
    given = docker.mapping("buildArgs")
    arguments: dict[str, str | None] = {}
    for key, value in given.entries.items():
        if not key or "=" in key:
            problems.add("the name of a build argument is empty or has a `=`", given.keys[key], "Write `NAME: value`.")
        null = isinstance(value, ScalarNode) and value.is_null
        arguments[key] = None if null else as_text(value, "build.artifacts[].docker.buildArgs")
    return DockerBuild(
        dockerfile=docker.text("dockerfile") or "Dockerfile",
        target=docker.text("target"),
        build_args=arguments,
        no_cache=docker.boolean("noCache") or False,
        position=docker.position,
    )


def _requirements(artifact: MappingNode, problems: Problems) -> tuple[Requirement, ...]:
    requirements: list[Requirement] = []
    for node in artifact.list("requires"):
        entry = as_mapping(node, "build.artifacts[].requires[]")
        image = entry.text("image")
        alias = entry.text("alias") or image
        place = entry.place("alias" if entry.has("alias") else "image")
        if not image:
            problems.add("`requires` names no image", entry.place("image"))
        elif not _ALIAS.fullmatch(alias):
            given = entry.has("alias")
            problems.add(
                f"`{alias}` cannot be the name of a build argument",
                place,
                "Letters, digits and `_`, not a digit first."
                if given
                else "Give it one beside `image`, such as `alias: BASE`.",
            )
        elif any(other.alias == alias for other in requirements):
            problems.add(f"the alias `{alias}` is already taken in this artifact", place)
        requirements.append(Requirement(image, alias, entry.place("image")))
    return tuple(requirements)


def _tag_policy(node: MappingNode, problems: Problems, *, component: bool = False) -> TagPolicy:
    """The one policy that is named. Its value may be null (`sha256:`): naming it is choosing it."""
    chosen = [name for name in node.entries if name in _POLICIES]
    if len(chosen) > 1:
        given = " and ".join(f"`{name}`" for name in chosen)
        problems.add(f"only one tag policy can be used, got {given}", node.keys[chosen[1]])
    if not chosen:
        return GitCommit()
    name = chosen[0]
    policy = node.mapping(name)
    match name:
        case "gitCommit":
            return _git_commit(policy, problems)
        case "sha256":
            return Sha256()
        case "inputDigest":
            return InputDigest()
        case "envTemplate":
            return EnvTemplate(_template(policy, name, problems), policy.place("template"))
        case "dateTime":
            return DateTime(
                format=policy.text("format") or DateTime.format, timezone=policy.text("timezone") or DateTime.timezone
            )
        case _:
            if component:
                problems.add("a `customTemplate` cannot be a component of another", node.keys[name])
                return GitCommit()
            return _custom_template(policy, problems)


def _git_commit(policy: MappingNode, problems: Problems) -> GitCommit:
    written = policy.text("variant") or "Tags"
    variant = _GIT_VARIANTS.get(written.lower())  # Skaffold does not mind the case either
    if variant is None:
        known = ", ".join(_GIT_VARIANTS.values())
        problems.add(f"there is no gitCommit variant `{written}`", policy.place("variant"), f"Known: {known}.")
    return GitCommit(variant or "Tags", policy.text("prefix"), policy.boolean("ignoreChanges") or False)


def _template(policy: MappingNode, name: str, problems: Problems) -> str:
    template = policy.text("template")
    if not template:
        problems.add(f"`{name}` has no `template`", policy.place("template"))
    return template


def _custom_template(policy: MappingNode, problems: Problems) -> CustomTemplate:
    components: dict[str, TagPolicy] = {}
    for node in policy.list("components"):
        component = as_mapping(node, "customTemplate.components[]")
        name = component.text("name")
        if not name:
            problems.add("a component of `customTemplate` has no `name`", component.position)
        elif name in components:
            problems.add(f"the component `{name}` is already given", component.place("name"))
        if not any(policy_name in component.entries for policy_name in _POLICIES):
            problems.add(f"the component `{name}` names no tag policy", component.position, "Such as `dateTime: {}`.")
        components[name] = _tag_policy(component, problems, component=True)
    template = _template(policy, "customTemplate", problems)
    return CustomTemplate(template, tuple(components.items()), policy.place("template"))


def _manifests(document: MappingNode, alone: bool, problems: Problems) -> tuple[ManifestSource, ...]:
    sources = []
    for node in document.mapping("manifests").list("rawYaml"):
        path = as_text(node, "manifests.rawYaml[]")
        if not path:
            problems.add("a manifest path is empty", node.position)
        elif "://" in path.partition("{{")[0]:
            problems.add(
                "kfold does not read manifests from URLs yet", node.position, "Download the file and name its path."
            )
        sources.append(ManifestSource(path, node.position))
    if not sources and alone:  # an empty list is no list, as in Skaffold
        return (ManifestSource(DEFAULT_MANIFESTS, document.position, default=True),)
    return tuple(sources)


def _kubectl(node: MappingNode, version: str, problems: Problems) -> KubectlDeploy:
    namespace = node.text("defaultNamespace")
    if namespace and "{{" not in namespace and not is_dns_label(namespace):
        problems.add(
            f"`{namespace}` cannot be a namespace",
            node.place("defaultNamespace"),
            "At most 63 lower case letters, digits or `-`, a letter or digit at both ends.",
        )
    hooks = deploy_hooks(node.mapping("hooks"), "deploy.kubectl.hooks", version, problems)
    return KubectlDeploy(namespace or None, hooks)
