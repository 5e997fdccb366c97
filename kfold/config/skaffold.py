"""What Skaffold calls things: its schema versions, and the fields of v4beta14 that stand beside the ones of kfold.

Only objects that kfold reads are listed: below an unsupported field nothing is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping

VERSIONS = ("kfold/v1", "skaffold/v3", *(f"skaffold/v4beta{number}" for number in range(1, 15)))
"""The versions that kfold reads. In all of them the supported fields mean the same (Skaffold's upgrade chain)."""

FIELDS: Mapping[str, frozenset[str]] = {
    path: frozenset(names.split())
    for path, names in {
        "": "apiVersion kind metadata requires build test manifests deploy portForward resourceSelector verify"
        " customActions profiles",
        "metadata": "name labels annotations",
        "build": "artifacts insecureRegistries tagPolicy platforms hooks local googleCloudBuild cluster",
        "build.artifacts[]": "image context sync requires hooks platforms runtimeType docker bazel ko jib kaniko"
        " buildpacks custom",
        "build.artifacts[].docker": "dockerfile target buildArgs network addHost cacheFrom cliFlags pullParent noCache"
        " squash secrets ssh",
        "build.artifacts[].requires[]": "image alias",
        "build.tagPolicy": "gitCommit sha256 envTemplate dateTime customTemplate inputDigest",
        "build.local": "push tryImportMissing useDockerCLI useBuildkit concurrency",
        "manifests": "rawYaml remoteManifests kustomize helm kpt transform validate hooks output",
        "deploy": "docker helm kpt kubectl cloudrun statusCheck statusCheckDeadlineSeconds"
        " tolerateFailuresUntilDeadline kubeContext logs",
        "deploy.kubectl": "flags remoteManifests defaultNamespace hooks",
    }.items()
}

MOVED: Mapping[str, str] = {
    "deploy.kubectl.manifests": "Since skaffold/v3 manifests are listed in `manifests.rawYaml`.",
    "deploy.kustomize": "Since skaffold/v3 this is `manifests.kustomize`; kfold does not support it yet.",
    "build.artifacts[].imageName": "It is called `image`.",
    "build.artifacts[].workspace": "It is called `context`.",
    "build.artifacts[].docker.dockerfilePath": "It is called `dockerfile`.",
    "build.artifacts[].docker.secret": "Since skaffold/v2beta23 it is a list, `secrets`; kfold has neither yet.",
    "build.local.skipPush": "It is called `push`, and means the opposite.",
}
"""Fields of older schema versions, and what became of them."""
