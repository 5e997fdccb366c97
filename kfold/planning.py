"""The project's config and target -> plan, with what is slow kept in `.kfold/cache`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import replace

from kfold import state_folder
from kfold.config import codec
from kfold.config.model import Config
from kfold.config.platforms import NoPlatform
from kfold.config.platforms import parse as parse_platform
from kfold.doit_backend import read_results
from kfold.errors import ConfigError, KfoldError, Position
from kfold.plan.facts import Facts
from kfold.plan.reference import is_repository
from kfold.plan.steps import Plan, compile_plan, short_names
from kfold.plan.verbs import PIPELINE
from kfold.session import CONFIG_FILES, Session
from kfold.stores.settings import Settings, SettingsError
from kfold.targets.delivery import Choice, Decided, no_context
from kfold.version import VERSION


def read_configs(session: Session) -> tuple[Config, ...]:
    """The configs of the project. Raises ConfigError: no config, or one that says what cannot be."""
    path = session.config_file()
    if path is None:
        raise ConfigError(
            f"there is no config in {session.folder}",
            hint=f"kfold reads {', '.join(CONFIG_FILES[:-1])} or {CONFIG_FILES[-1]} in the folder it is started in.",
        )
    file = os.path.relpath(path, session.folder)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=Position(file)) from error
    key = hashlib.sha256(data + f"\0{VERSION}\0{file}\0{session.folder.name}".encode()).hexdigest()[:32]
    kept = session.state.cache / f"config-{key}.json"
    try:
        configs = codec.decode_configs(json.loads(kept.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        from kfold.config import loading, reading

        text = reading.decode(data, file=file)
        configs = loading.load(text, file=file, folder_name=session.folder.name)
        state_folder.keep_one(kept, json.dumps(codec.encode(configs)))
    if session.options.push is not None:
        configs = tuple(replace(config, push=session.options.push) for config in configs)
    return configs


def known_configs(session: Session, plan: Plan | KfoldError) -> tuple[Config, ...]:
    """The project's configs; where there is no plan, those that were valid last."""
    if isinstance(plan, Plan):
        return plan.configs
    configs: tuple[Config, ...] = ()
    for kept in session.state.cache.glob("config-*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            configs += codec.decode_configs(json.loads(kept.read_text()))
    return configs


def remembered_steps(session: Session) -> list[str]:
    """Names of steps that earlier runs knew, for when there is no plan.

    A user's own task may need `build:web`, and doit runs nothing at all where a needed task does not exist: not even what
    cleans up. Found in the config that was last valid, in doit's results, and in the ledger.
    """
    images: list[str] = []
    names: list[str] = []
    for config in known_configs(session, KfoldError("no plan")):
        images += [artifact.image for artifact in config.artifacts]
        names += [f"{verb}:{config.name}" for verb in ("render", "deploy", "wait")]
    with contextlib.suppress(KfoldError, KeyError):  # a broken ledger is told by what needs it
        images += [record.effect.details["artifact"] for record in session.world.ledger.records("engine")]
    subjects = short_names(dict.fromkeys(images)).values()
    names += [f"{verb}:{subject}" for subject in subjects for verb in ("build", "tag", "load", "push")]
    verbs = {verb.name for verb in PIPELINE}
    names += [name for name in read_results(str(session.state.results)) if name.partition(":")[0] in verbs and ":" in name]
    return sorted(set(names))


def facts(session: Session, *, fresh: bool = False, strict: bool = False) -> Facts:
    """The target of this run. An unknown context or a broken kubeconfig refuses the cluster steps, not the build.

    `fresh`: the cluster is asked what it is, whatever is remembered. Settings that say what cannot be are one more refusal
    for who only looks or cleans up; a plan is `strict` and raises SettingsError: no image may get another name by mistake.
    """
    options = session.options
    choice = Choice(options.push, options.default_repo)
    said = Settings()
    try:
        known = session.targets.learn(options.context, ask=session.asks, fresh=fresh)
        said, decided = known.settings, known.decided(choice)
        if decided.default_repo and not is_repository(decided.default_repo):
            raise SettingsError(
                f"{decided.default_repo!r} is no place for images",
                hint="A default repo is a registry's host or a folder in it, such as localhost:5000 or ghcr.io/team.",
            )
    except KfoldError as error:
        settings = isinstance(error, SettingsError)
        if settings and strict:
            raise
        because = "the settings cannot be used" if settings else "the kubeconfig cannot be used"
        unknown = replace(no_context(), kind="unknown", because=(because,), refusal=str(error))
        decided = Decided(unknown, "" if settings else options.default_repo or "")
    return Facts(
        decided.target,
        options.namespace,
        default_repo=decided.default_repo,
        multi_level_repo=bool(said.multi_level_repo),
        insecure_registries=tuple(dict.fromkeys([*options.insecure_registries, *said.insecure_registries])),
        keep_pull_policy=options.keep_pull_policy,
        platforms=options.platforms,
        host=host_platform(),
        one_platform=session.one_platform,
    )


def host_platform() -> str:
    """The platform of images that this machine runs; Linux, whatever runs kfold."""
    try:
        return parse_platform(f"linux/{os.uname().machine}")
    except NoPlatform:
        return "linux/amd64"


def plan(session: Session) -> Plan:
    """Config and facts, compiled. From here on the session builds in the engine that the target builds in."""
    compiled = compile_plan(read_configs(session), facts(session, strict=True))
    session.engine_profile = compiled.facts.target.engine_profile
    return compiled
