"""Bytes as they come -> lines of text."""

from __future__ import annotations

import codecs

LONGEST_LINE = 64 * 1024
"""Characters after which a line that does not end is handed on as it is."""


class LineSplitter:
    """Lines without their ends. Bytes that are no UTF-8 are replaced, endless lines are cut."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        text = self._rest + self._decoder.decode(data)
        *lines, self._rest = text.replace("\r\n", "\n").split("\n")
        while len(self._rest) >= LONGEST_LINE:
            lines.append(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]
        return lines

    def end(self) -> list[str]:
        """What came after the last line end, if anything did."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        return [rest] if rest else []
