"""`kfold config set | unset | list`: what holds for a context, or for all, in every project of this user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kfold.errors import KfoldError
from kfold.stores.settings import KEYS, SettingsFile, own_file, read


class _Usage(Exception):
    """The command line means nothing. The message says why."""


USAGE = f"""\
usage: kfold config set KEY VALUE   [--kube-context CONTEXT | --global]
       kfold config unset KEY       [--kube-context CONTEXT | --global]
       kfold config list            [--kube-context CONTEXT | --all]

  KEY                         {", ".join(list(KEYS)[:3])},
                              {", ".join(list(KEYS)[3:])}
  -k, --kube-context CONTEXT  a context, or a regular expression for several (default: the current context)
  -g, --global                for every context that says nothing else
  -a, --all                   everything that is set

A list grows by each `set`; an empty value takes a setting away. Skaffold's settings (~/.skaffold/config) hold as long as
kfold has none of its own.
"""


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The command line after `kfold config`; returns the exit code: 0, or 2 for what means nothing.

    Raises KfoldError for settings that cannot be.
    """
    words: list[str] = []
    context, everywhere, everything = "", False, False
    remaining = list(arguments)
    while remaining:
        word = remaining.pop(0)
        flag, equals, value = word.partition("=")
        if flag in ("-k", "--kube-context"):
            context = value if equals else remaining.pop(0) if remaining else ""
            if not context:
                raise _Usage(f"{flag} needs a value")
        elif word in ("-g", "--global"):
            everywhere = True
        elif word in ("-a", "--all"):
            everything = True
        elif word in ("-h", "--help"):
            print(USAGE, end="")
            return 0
        elif word.startswith("-"):
            raise _Usage(f"there is no flag {word}")
        else:
            words.append(word)
    if context and everywhere:
        raise _Usage("--kube-context and --global exclude each other")
    verb, *rest = words or [""]
    if len(rest) != {"set": 2, "unset": 1, "list": 0}.get(verb, -1):
        raise _Usage("say `set KEY VALUE`, `unset KEY` or `list`")
    where = "" if everywhere or everything else context or _current(environment)
    if verb == "list":
        for line in listing(read(environment), where, everything=everything):
            print(line)
    else:
        change(environment, rest[0], rest[1] if verb == "set" else "", where)
    return 0


def change(environment: Mapping[str, str], key: str, value: str, context: str) -> None:
    """Set one value, in kfold's own file; it starts from Skaffold's settings where those held until now."""
    found = read(environment)
    own = own_file(environment)
    found.set(key, value, context)
    found.write(own)
    if found.path != own:
        print(f"{own} was made from {found.path}, which holds for kfold no longer")
    for_whom = f" for context {context}" if context else " for all contexts"
    print(f"set {key} to {value}{for_whom}" if value else f"unset {key}{for_whom}")


def listing(found: SettingsFile, context: str, *, everything: bool) -> list[str]:
    """Lines: what holds for a context; or (`everything`) each entry as it is written."""
    lines = [f"settings: {found.path}" if found.content else "nothing is set"]
    if not everything:
        held = found.of(context)
        values = {key: getattr(held, key.replace("-", "_")) for key in KEYS}
        return [*lines, f"for context {context}:" if context else "for all contexts:", *_values(values)]
    for name in ("", *found.sections()):
        if section := found.section(name):
            lines += [f"for context {name}:" if name else "for all contexts:", *_values(section)]
    return lines


def _values(values: Mapping[str, object]) -> list[str]:
    told = []
    for key, value in values.items():
        if value not in (None, "", ()):
            text = ", ".join(map(str, value)) if isinstance(value, tuple | list) else value
            told.append(f"  {key}: {str(text).lower() if isinstance(text, bool) else text}")
    return told or ["  nothing"]


def _current(environment: Mapping[str, str]) -> str:
    """The current context, "" (for all) where there is none, as Skaffold does."""
    from kfold.stores import kubeconfig

    return environment.get("KFOLD_CONTEXT") or kubeconfig.load(environment).current or ""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """The exit code, and what is to be said on standard error."""
    try:
        return run(arguments, environment), ""
    except _Usage as error:
        return 2, f"kfold config: {error}\n{USAGE}"
    except KfoldError as error:
        return 1, f"kfold config: {error}\n"
