"""What this process knows about targets: asked once, kept in `.kfold/cache` until a file that it came from changes.

The key is the stat of the kubeconfig and settings files: reading YAML costs 0.05 s with its import, and the cluster may
be far away. A cluster that changes without them is noticed by a run that has something to do (`fresh`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kfold import state_folder
from kfold.stores import sandbox_process
from kfold.stores.settings import Settings, candidates
from kfold.targets.delivery import Choice, Decided, decide, no_context
from kfold.targets.evidence import Evidence, decode, encode

if TYPE_CHECKING:
    from kfold.targets.gather import OpenCluster

SILENCE_SECONDS = 60.0
"""How long a cluster that did not answer is not asked again: each question may take as long as the patience for one."""


@dataclass(frozen=True)
class Known:
    """`evidence` is None where no kubeconfig names a context."""

    evidence: Evidence | None
    settings: Settings

    def decided(self, choice: Choice) -> Decided:
        if self.evidence is None:
            return Decided(no_context(), self.settings.default_repo if choice.default_repo is None else choice.default_repo)
        return decide(self.evidence, self.settings, choice)


@dataclass
class Targets:
    """`cache`: a folder, which need not exist. `open_cluster` is used when a cluster is asked."""

    environment: Mapping[str, str]
    cache: Path
    open_cluster: OpenCluster
    _memory: dict[str, Known] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)
    """What this process asked the cluster itself: one run believes its own answer to the end."""

    def learn(self, context: str, *, ask: bool, fresh: bool = False) -> Known:
        """What is known of a context, "" for the current one. Raises KfoldError for one that is not there.

        `ask`: the cluster may be asked, if nobody did since its kubeconfig changed. `fresh`: it is asked in any case,
        once a process. Where no kubeconfig names any context, a sandbox that is up is used (its kubeconfig lies where
        `kfold sandbox` keeps it). Where a context exists, the sandbox is never chosen silently.
        """
        key = self._key(context)
        known = self._memory.get(key) or self._kept(key) or self._look(context)
        evidence = known.evidence
        if evidence is not None and key not in self._asked and (fresh or (ask and _unknown(evidence))):
            self._asked.add(key)
            looked = self._look(context) if fresh else known  # containers come and go without a trace in any file
            if looked.evidence is not None:
                from kfold.targets.gather import complete

                found = complete(looked.evidence, self.environment, self.open_cluster)
                known = dataclasses.replace(looked, evidence=_remembering(evidence, found))
        if self._memory.get(key) != known:
            self._memory[key] = known
            self._keep(key, known)
        return known

    def _key(self, context: str) -> str:
        named = self.environment.get("KUBECONFIG", "")
        paths = [Path(part) for part in named.split(":") if part] or [Path.home() / ".kube" / "config"]
        paths += [sandbox_process.kubeconfig(self.environment), *candidates(self.environment)]
        stats = [[str(path), *_stat(path)] for path in paths]
        return hashlib.sha256(json.dumps([context, stats]).encode()).hexdigest()[:32]

    def _file(self, key: str) -> Path:
        return self.cache / f"target-{key}.json"

    def _kept(self, key: str) -> Known | None:
        try:
            kept = json.loads(self._file(key).read_text())
            evidence = decode(kept["evidence"]) if kept["evidence"] else None
            said = kept["settings"]
            settings = Settings(**{**said, "insecure_registries": tuple(said["insecure_registries"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        known = self._memory[key] = Known(evidence, settings)
        return known

    def _keep(self, key: str, known: Known) -> None:
        evidence = encode(known.evidence) if known.evidence else None
        text = json.dumps({"evidence": evidence, "settings": dataclasses.asdict(known.settings)})
        state_folder.keep_one(self._file(key), text)

    def _look(self, context: str) -> Known:
        from kfold.stores import kubeconfig, settings
        from kfold.targets.gather import local_evidence

        said = settings.read(self.environment)
        config = kubeconfig.load(self.environment)
        if not config.contexts and config.current is None:
            sandbox = sandbox_process.kubeconfig(self.environment)
            if not sandbox.exists():
                if context:
                    config.context(context)
                return Known(None, said.of(""))
            config = kubeconfig.load(self.environment, paths=[sandbox])
        evidence = local_evidence(config, context, self.environment)
        return Known(evidence, said.of(evidence.context))


def _unknown(evidence: Evidence) -> bool:
    """Whether the cluster was not asked yet, or did not answer some time ago."""
    return not evidence.asked or (evidence.nodes is None and time.time() - evidence.asked > SILENCE_SECONDS)


def _remembering(before: Evidence, now: Evidence) -> Evidence:
    """What a cluster said once is not forgotten because it is silent now."""
    if now.nodes is not None or before.nodes is None:
        return now
    return dataclasses.replace(
        now,
        nodes=before.nodes,
        registry=before.registry,
        registry_problem=before.registry_problem,
        engine=before.engine,
        profile=now.profile or before.profile,
    )


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
