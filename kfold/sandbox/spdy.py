"""SPDY/3.1 framing, as much as port-forwarding needs: streams, data, resets, pings; no flow control, as its users have none.

Format: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/ (frames in 2.2, header blocks in 2.6.10).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
DATA = 0
"""The type that data frames are given here; on the wire they have none."""

FIN = 1
"""Flag: the sender's last frame of this stream."""

CANCEL = 5
"""Status of a RST_STREAM: the stream is no longer needed."""

LARGEST = 2**24 - 1
"""Bytes of a frame's body."""

# Both sides' compressors begin with this text: words with their lengths, then what headers often hold (2.6.10.1).
_WORDS = """options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range
if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer
retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status
200_OK version HTTP/1.1 url public set-cookie keep-alive origin"""
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal "
    "Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, "
    "Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,"
    "text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _text(word: str) -> bytes:
    return struct.pack(">I", len(word)) + word.encode()


DICTIONARY = b"".join(_text(word.replace("_", " ")) for word in _WORDS.split()) + _REST.encode()


class SpdyError(Exception):
    """The peer does not speak SPDY/3.1."""


@dataclass(frozen=True)
class Frame:
    """One frame. `stream` is its stream (of a PING its number), `headers` those of a SYN_STREAM."""

    kind: int
    stream: int
    fin: bool = False
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Reader:
    """Bytes in, frames out. Keeps the state of the peer's header compression."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete. Raises SpdyError."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            end = 8 + (second & LARGEST)
            if len(self._buffer) < end:
                break
            frames.append(self._frame(first, second >> 24, bytes(self._buffer[8:end])))
            del self._buffer[:end]
        return frames

    def _frame(self, first: int, flags: int, body: bytes) -> Frame:
        fin = bool(flags & FIN)
        if not first >> 31:
            return Frame(DATA, first, fin, body)
        if first >> 16 & 0x7FFF != 3:
            raise SpdyError(f"SPDY version {first >> 16 & 0x7FFF}")
        kind = first & 0xFFFF
        stream = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF if len(body) >= 4 else 0
        return Frame(kind, stream, fin, body, self._headers(body[10:]) if kind == SYN_STREAM else {})

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block)
            (count,) = struct.unpack_from(">I", plain)
            words, at = [], 4
            for _ in range(2 * count):
                (size,) = struct.unpack_from(">I", plain, at)
                words.append(plain[at + 4 : at + 4 + size].decode())
                at += 4 + size
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"headers that cannot be read: {error}") from error
        return dict(zip(words[::2], words[1::2], strict=True))


class Writer:
    """Frames as bytes. Replies have to be sent in the order in which they were made: they share one compression."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def reply(self, stream: int) -> bytes:
        """A SYN_REPLY without headers: the stream is accepted."""
        block = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(SYN_REPLY, struct.pack(">I", stream) + block)


def data(stream: int, body: bytes = b"", *, fin: bool = False) -> bytes:
    return struct.pack(">II", stream, (FIN if fin else 0) << 24 | len(body)) + body


def reset(stream: int) -> bytes:
    return _control(RST_STREAM, struct.pack(">II", stream, CANCEL))


def ping(number: int) -> bytes:
    return _control(PING, struct.pack(">I", number))


def _control(kind: int, body: bytes) -> bytes:
    return struct.pack(">II", 0x80030000 | kind, len(body)) + body
