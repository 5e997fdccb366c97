"""The registry for one load, and clients that go away."""

from __future__ import annotations

import socket
import struct
import urllib.request

import pytest

from kfold.stores.push_endpoint import Endpoint


def test_a_client_that_hangs_up_is_no_fault_of_the_endpoint(capfd: pytest.CaptureFixture[str]) -> None:
    """An engine that is stopped resets its connections: in silence, in a request's line, in an upload."""
    with Endpoint(None) as endpoint:
        upload = (
            f"PUT /v2/{endpoint.repository}/blobs/uploads/1?digest=sha256:00 HTTP/1.1\r\nContent-Length: 9999\r\n\r\nbegun"
        )
        for said in (b"", b"GET /v2", upload.encode()):
            with socket.create_connection(("127.0.0.1", endpoint.port)) as client:
                client.sendall(said)
                # SO_LINGER of 0 seconds: closing resets
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/v2/", timeout=10) as answer:
            assert answer.status == 200
        assert not endpoint.blobs
    told = capfd.readouterr()
    assert told.out + told.err == ""
