"""Images of containers: which pull policy holds, and what a container waits for while its image is missing."""

from __future__ import annotations

from typing import Any

from kfold.sandbox.kubelet.engine import Engine, EngineError

Json = dict[str, Any]


class ImageMissing(Exception):
    """The image cannot be had now. `reason` is what the container's waiting state says."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def pull_policy(container: Json) -> str:
    """Always, IfNotPresent or Never; the default depends on the tag (k8s.io/docs/concepts/containers/images)."""
    if policy := container.get("imagePullPolicy"):
        return str(policy)
    image = container.get("image", "")
    last = image.rsplit("/", 1)[-1]
    if "@" in image or (":" in last and not last.endswith(":latest")):
        return "IfNotPresent"
    return "Always"


async def find(engine: Engine, container: Json) -> tuple[Json, bool]:
    """(what the engine knows of the container's image, whether it was pulled now). Raises ImageMissing."""
    reference = container.get("image", "")
    policy = pull_policy(container)
    if policy != "Always":
        found = await engine.image(reference)
        if found is not None:
            return found, False
        if policy == "Never":
            text = f'Container image "{reference}" is not present with pull policy of Never'
            raise ImageMissing("ErrImageNeverPull", text)
    try:
        await engine.pull(reference)
    except EngineError as error:
        if "invalid reference format" in str(error):
            text = f'Failed to apply default image tag "{reference}": couldn\'t parse image name: {error}'
            raise ImageMissing("InvalidImageName", text) from error
        text = f'failed to pull image "{reference}": {error}'
        raise ImageMissing("ErrImagePull", text) from error
    found = await engine.image(reference)
    if found is None:
        raise ImageMissing("ErrImagePull", f'image "{reference}" was pulled, and is not there')
    return found, True


def identity(image: Json) -> str:
    """What a status says as imageID: the digest in the registry if the image has one, else its ID in the engine."""
    digests = image.get("RepoDigests") or []
    return f"docker-pullable://{digests[0]}" if digests else f"docker://{image['Id']}"
