"""Several problems of one file, told together."""

from __future__ import annotations

from dataclasses import dataclass, field

from kfold.errors import ConfigError, Position

SHOWN = 20
"""How many problems one error lists. More than a screen of them is one mistake repeated."""
LONGEST = 400
"""Characters of one message. Image names have up to 255; a name that is longer is cut."""


def one_line(text: str) -> str:
    """`text` for a terminal: names out of a file may hold line breaks and escape sequences, or be very long."""
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in shown)


@dataclass
class Problems:
    """Collects problems; `stop()` raises them as one ConfigError, in the order of the file."""

    found: dict[tuple[Position, str], str] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether more problems would only be counted."""
        return len(self.found) >= SHOWN

    def add(self, message: str, where: Position, hint: str = "") -> None:
        """One problem. The same one again (through an alias) counts once."""
        self.found.setdefault((where, one_line(message)), one_line(hint))

    def add_error(self, error: ConfigError) -> None:
        self.add(error.message, error.where or Position(""), error.hint)

    def stop(self) -> None:
        """Raises ConfigError if there is anything to tell.

        Its `where` is the first problem's and its `hint` the last one's, so that `str()` reads as a list.
        """
        if not self.found:
            return
        ordered = sorted(self.found.items())
        errors = [ConfigError(message, where=where, hint=hint) for (where, message), hint in ordered[:SHOWN]]
        if len(errors) == 1:
            raise errors[0]
        hint = errors[-1].hint
        lines = [str(error) for error in errors[:-1]]
        lines.append(f"{errors[-1].where}: {errors[-1].message}")
        lines[0] = lines[0].removeprefix(f"{errors[0].where}: ")
        if len(ordered) > SHOWN:
            rest = f"and {len(ordered) - SHOWN} more problems in this file"
            hint = f"{hint}\n{rest}" if hint else rest
        raise ConfigError("\n".join(lines), where=errors[0].where, hint=hint)
