"""The image of a Pod's sandbox container: one 129-byte program that waits for ever.

The sandbox holds the Pod's network and IPC namespaces while its containers come and go. The real one
(registry.k8s.io/pause) would have to be pulled; this one is written here, byte by byte, so a sandbox starts offline.
"""

from __future__ import annotations

import io
import struct
import tarfile

# x86-64:  mov eax, 34 (pause); syscall; jmp back
X86_64 = bytes.fromhex("b8220000000f05ebf7")
# arm64 has no pause(): ppoll(NULL, 0, NULL, NULL) waits as long.
#   mov x0..x4, #0 ; mov x8, #73 ; svc #0 ; b back
ARM64 = struct.pack("<8I", 0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800004, 0xD2800928, 0xD4000001, 0x17FFFFF9)

PROGRAMS = {"amd64": (62, X86_64), "arm64": (183, ARM64)}
"""Go's name of the processor (as the engine says it) -> (ELF machine number, machine code)."""

LOAD_ADDRESS = 0x400000


def executable(architecture: str) -> bytes:
    """An ELF file with one segment and no libraries. Raises KeyError for a processor that is not in PROGRAMS."""
    machine, code = PROGRAMS[architecture]
    header_size, program_header_size = 64, 56
    entry = LOAD_ADDRESS + header_size + program_header_size
    size = header_size + program_header_size + len(code)
    identification = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bit, little endian, version 1
    header = identification + struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, entry, header_size, 0, 0, header_size, program_header_size, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x10000)
    return header + segment + code


def filesystem(architecture: str) -> bytes:
    """The image's file system as a tar archive: /pause and nothing else. The same bytes every time."""
    program = executable(architecture)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("pause")
        member.size, member.mode = len(program), 0o755
        archive.addfile(member, io.BytesIO(program))
    return out.getvalue()
