"""The verbs: what a step can do. One that changes the world names its reverse, or it cannot be written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Looks:
    """A verb that changes nothing outside kfold."""

    name: str
    doc: str


@dataclass(frozen=True)
class Changes:
    """A verb that changes the world, with the verb that takes the change back. `reverse` is required by the type."""

    name: str
    doc: str
    reverse: str


Verb = Looks | Changes

BUILD = Changes("build", "build images", reverse="prune")
TAG = Changes("tag", "name built images in the engine", reverse="untag")
TEST = Looks("test", "test built images")
LOAD = Changes("load", "bring images into the cluster's nodes", reverse="unload")
PUSH = Changes("push", "push images to their registry", reverse="unpush")
RENDER = Looks("render", "put image references into manifests")
DEPLOY = Changes("deploy", "apply manifests, and wait until the application is stable", reverse="delete")
WAIT = Looks("wait", "wait until what was deployed is ready")

PIPELINE: tuple[Verb, ...] = (BUILD, TAG, TEST, LOAD, PUSH, RENDER, DEPLOY, WAIT)
"""The forward order. A verb needs what stands before it."""
