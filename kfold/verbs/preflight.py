"""What would stop a deployment after its images are built stops it before: then nothing was changed.

Looked at once a run, when a first step has something to do; a run with nothing to do never comes here.
"""

from __future__ import annotations

from kfold.errors import KfoldError
from kfold.plan import verbs
from kfold.plan.steps import Plan
from kfold.stores.manifest_files import find, read
from kfold.verbs import push
from kfold.verbs.build_inputs import context_files
from kfold.verbs.render import parsed
from kfold.verbs.world import Run


def check(run: Run, plan: Plan) -> None:
    """Raises KfoldError: a target that images cannot reach, an engine or a cluster that does not answer, a build whose
    context or Dockerfile is missing, or manifests that are none."""
    target = run.facts.target
    if target.refusal:
        raise KfoldError(target.refusal)
    push.check(run, plan.of(verbs.PUSH))
    for step in plan.of(verbs.RENDER):
        parsed(read(run.world.folder, find(run.world.folder, step.config.manifests)))
    builds = plan.of(verbs.BUILD)
    if builds:
        _ = run.engine_names  # raises where no engine answers
    for step in builds:
        assert step.artifact is not None
        context_files(run.world, step.artifact)
    run.cluster.identity()
