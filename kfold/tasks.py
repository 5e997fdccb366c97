"""Plan -> doit tasks: each step bound to its verb's functions, and the tasks that walk the graph backwards."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from doit.exceptions import TaskFailed

from kfold import state_folder
from kfold.commands.command import Command
from kfold.commands.registry import commands
from kfold.doit_reporter import Stopped, reporter_for
from kfold.errors import Interrupted, KfoldError
from kfold.plan import verbs
from kfold.plan.steps import Plan, Step
from kfold.planning import facts, remembered_steps
from kfold.planning import plan as project_plan
from kfold.session import VARIABLES, Options, Session
from kfold.verbs import MODULES, module

if TYPE_CHECKING:
    from kfold.verbs.world import Run

TaskCreator = Callable[[], Iterator[dict[str, Any]]]


def project(
    variables: dict[str, str] | None = None, words: Sequence[str] | None = None
) -> tuple[dict[str, Any], TaskCreator]:
    """DOIT_CONFIG and the task creator of the project in the current folder: what a `dodo.py` needs.

    `variables` are doit's (`doit deploy namespace=x`), read from doit where they are not given, and `words` the command
    line without them. Ends the process with
    code 1 and one message where an option means nothing.
    """
    if variables is None:
        from doit.doit_cmd import get_var

        variables = {name: str(value) for name in VARIABLES if (value := get_var(name)) is not None}
    try:
        line = [word for word in sys.argv[1:] if "=" not in word] if words is None else words
        session = Session(Options.of(variables, os.environ), asks=runs_steps(line))
    except KfoldError as error:
        raise SystemExit(f"kfold: {error}") from None
    return doit_config(session), task_creator(session)


def runs_steps(words: Sequence[str]) -> bool:
    """Whether a command line of doit leads to steps, for which it must be known what the cluster is.

    >>> [runs_steps(line.split()) for line in ("", "build:web", "run deploy", "list", "-f dodo.py", "delete --all")]
    [True, True, True, False, True, False]
    """
    if words and words[0] in _DOIT_COMMANDS:
        return False
    named = {word.partition(":")[0] for word in words if not word.startswith("-")} - {"run"}
    return not named or not named <= _STEPLESS


_DOIT_COMMANDS = ("list", "info", "forget", "clean", "help", "ignore", "reset-dep", "dumpdb", "tabcompletion", "strace")
_STEPLESS = {"delete", "prune", "status", "dev"}
"""Our own tasks that take no step, or ask by themselves (`dev` in each of its runs)."""


def doit_config(session: Session) -> dict[str, Any]:
    """doit's settings for a project of kfold."""
    return {
        "dep_file": f"{state_folder.NAME}/results.db",
        "backend": "kfold",
        "reporter": reporter_for(session),
        "default_tasks": ["deploy"],
        "par_type": "thread",
        "num_process": max(4, os.cpu_count() or 1),
        "verbosity": 2,
    }


def task_creator(session: Session) -> TaskCreator:
    """The function that doit calls for tasks. doit calls it again in each nested run: the config is read anew."""

    def task_kfold() -> Iterator[dict[str, Any]]:
        try:
            compiled: Plan | KfoldError = project_plan(session)
        except KfoldError as error:
            compiled = error
        yield from tasks(session, compiled)

    return task_kfold


def tasks(session: Session, compiled: Plan | KfoldError) -> Iterator[dict[str, Any]]:
    """All tasks. Where there is no plan, the forward verbs say why, and what cleans up works all the same."""
    if isinstance(compiled, KfoldError):
        for verb in MODULES:
            session.verbs.add(verb.name)
            yield refusal(verb.name, verb.doc, compiled)
        for name in remembered_steps(session):
            yield refusal(name, "not known without a config", compiled)
    else:
        yield from forward_tasks(session, compiled)
    for command in commands(session, compiled, nested_run(session)):
        session.verbs.add(command.name.partition(":")[0])
        yield command_task(session, command)


def forward_tasks(session: Session, plan: Plan) -> Iterator[dict[str, Any]]:
    """A group a verb, with one sub-task a step."""

    @functools.cache
    def run() -> Run:
        """Made when a first step is looked at: `doit list` looks at none."""
        from kfold.verbs.world import Run

        made = Run(session.world, plan.facts, plan.configs, walked=session.walked)
        if session.deploying and not plan.facts.target.refusal:
            made.ask_ahead(lambda cluster: module(verbs.DEPLOY).objects_of_record(made, cluster))
        return made

    first = Preflight(session, run, plan)
    told: set[str] = set()
    for verb in MODULES:
        steps = plan.of(verb)
        session.verbs.add(verb.name)
        if not steps:
            yield idle_task(session, verb, plan)
            continue
        # `doit deploy` is an application that is up, so it waits too
        also = [f"wait:{step.subject}" for step in steps] if verb == verbs.DEPLOY else []
        yield {"basename": verb.name, "name": None, "doc": verb.doc, "task_dep": also}
        for step in steps:
            yield step_task(session, run, first, told, step)


class Preflight:
    """The look at everything that could stop a deployment, before its first change. Its problem is told once."""

    def __init__(self, session: Session, walk: Callable[[], Run], plan: Plan) -> None:
        self._session = session
        self._walk = walk
        self._plan = plan
        self._mutex = threading.Lock()
        self._looked = False
        self._problem: KfoldError | None = None

    def __call__(self) -> TaskFailed | None:
        """None where the run may go on, or does not go as far as the cluster."""
        if not self._session.deploying:
            return None
        with self._mutex:
            if not self._looked:
                from kfold.verbs.preflight import check

                self._looked = True
                try:
                    self._same_target()
                    check(self._walk(), self._plan)
                except Interrupted as error:
                    self._problem = error
                except KfoldError as error:
                    self._problem = error
                    self._session.console_error(f"deploy failed: {error}")
        if isinstance(self._problem, Interrupted):
            return Stopped()
        return TaskFailed(str(self._problem), report=False) if self._problem else None

    def _same_target(self) -> None:
        """Raises KfoldError where the cluster has become another kind since it was asked: the plan is for the old one."""
        planned, now = self._plan.facts.target, facts(self._session, fresh=True).target
        if not now.refusal and (planned.kind, planned.delivery, planned.registry, planned.cluster) != (
            now.kind, now.delivery, now.registry, now.cluster
        ):  # fmt: skip
            raise KfoldError(
                f'context "{now.context}" is not what it was: {now.because[0]}',
                hint="Nothing was changed yet, and this is remembered now: run this again.",
            )


def idle_task(session: Session, verb: verbs.Verb, plan: Plan) -> dict[str, Any]:
    """The task of an image verb that has nothing to do for this config and target: it is there, and says so."""
    why = "the config has no artifacts"
    if plan.of(verbs.BUILD):
        other = "loaded" if verb == verbs.PUSH else "pushed"
        shared = verb == verbs.PUSH and plan.facts.target.delivery == "shared"
        why = "the cluster uses the images of this engine" if shared else f"images are {other}"

    def tell() -> None:
        session.console.line(f"Nothing to {verb.name}: {why}.")

    return {"basename": verb.name, "doc": verb.doc, "actions": [tell], "io": {"capture": False}, "verbosity": 2}


def step_task(
    session: Session, walk: Callable[[], Run], first: Preflight, told: set[str], step: Step
) -> dict[str, Any]:
    """One step as a task: up to date when its inputs are unchanged *and* its effect still holds in the world.

    `told` is what was said in this run: an engine that is away stops every artifact, and is one problem.
    """
    failed: list[Exception] = []

    def holds(task: Any, values: dict[str, Any]) -> bool:
        try:
            outcome = module(step.verb).holds(walk(), step, values)
        except Exception as error:
            # doit would end the whole run with a traceback and code 3; the action tells it as this step's failure
            failed[:] = [error]
            return False
        if outcome is not None:
            walk().outcomes[step.name] = outcome
        return outcome is not None

    def do() -> Any:
        session.world.go_on()
        if refused := first():
            return refused
        try:
            if failed:
                raise failed.pop()
            outcome, values = module(step.verb).do(walk(), step)
        except Interrupted:
            raise
        except KfoldError as error:
            text = str(error)
            if text in told:
                return TaskFailed(text, report=False)
            told.add(text)
            raise
        walk().outcomes[step.name] = outcome
        return values

    return {
        "basename": step.verb.name,
        "name": step.subject,
        "doc": f"{step.verb.name} {step.subject}",
        "actions": [guarded(session, do)],
        "uptodate": [holds],
        "task_dep": list(step.needs),
        "io": {"capture": False},
        "verbosity": 2,
    }


def command_task(session: Session, command: Command) -> dict[str, Any]:
    """A task of its own: options of a group never reach its sub-tasks in doit, so these are single tasks."""
    task: dict[str, Any] = {
        "basename": command.name,
        "doc": command.doc,
        "actions": [guarded(session, command.action)],
        "params": [dict(parameter) for parameter in command.parameters],
        "io": {"capture": False},
        "verbosity": 2,
    }
    if command.positional:
        task["pos_arg"] = command.positional
    return task


def refusal(name: str, doc: str, error: KfoldError) -> dict[str, Any]:
    """The task of a verb or step that cannot be planned: it fails with the reason."""

    def refuse() -> TaskFailed:
        return TaskFailed(str(error))

    return {"basename": name, "doc": doc, "actions": [refuse], "io": {"capture": False}, "verbosity": 2}


def guarded(session: Session, action: Callable[..., Any]) -> Callable[..., Any]:
    """The action, its expected failures turned into doit's TaskFailed (exit code 1, no traceback)."""

    @functools.wraps(action)
    def run(*arguments: Any, **options: Any) -> Any:
        if os.getpid() != session.process:
            return TaskFailed("kfold works in threads: `-P process` cannot be used (leave -P out)")
        try:
            return action(*arguments, **options)
        except Interrupted:
            return Stopped()
        except KfoldError as error:
            return TaskFailed(str(error))

    return run


def nested_run(session: Session) -> Callable[[list[str]], int]:
    """A whole doit run inside this process, over the same database: what the dev loop does after each edit."""

    def run(selection: list[str]) -> int:
        session.asks = True
        from doit.cmd_base import ModuleTaskLoader
        from doit.doit_cmd import DoitMain

        namespace = {"DOIT_CONFIG": doit_config(session), "task_kfold": task_creator(session)}
        return int(DoitMain(ModuleTaskLoader(namespace), config_filenames=()).run(["run", *selection]))

    return run
