"""A registry in trouble while something is pushed, and one that wants to know who pushes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.registry.conftest import Open
from tests.registry.server import PASSWORD, USER, Front, Reply, Server, docker_config, helper

pytestmark = pytest.mark.engine


def test_trouble_that_passes_and_trouble_that_stays(pushing: Open, troubled: Front, server: Server) -> None:
    shop = pushing(troubled.host)
    # the engine is refused when it puts the manifest: first for a moment, then for good
    troubled.fail(1, Reply(500, b'{"errors":[{"code":"UNKNOWN"}]}'), method="PUT", path="manifests")
    output = shop.push().output
    assert "tried again" in output and len(shop.pushed()) == 2, output
    shop.all_taken_back()

    full = json.dumps({"errors": [{"code": "DENIED", "message": "quota exceeded: no more than 1 GiB"}]}).encode()
    troubled.fail(99, Reply(403, full), method="PUT", path="manifests")
    output = shop.doit("push").failed().output
    assert f"{shop.image} takes no more" in output and "quota" in output and "Traceback" not in output, output
    assert server.state() == shop.registry_before
    assert [record for record in shop.records() if " tag " in record] == ["intended tag latest"]

    # then it goes away in the middle, as one does that is stopped
    troubled.decide = lambda method, path: Reply(0) if method == "PUT" else None
    output = shop.doit("push").failed().output
    assert "could not be pushed" in output, output
    troubled.decide = lambda method, path: None
    shop.push()
    assert len(shop.pushed()) == 2

    # and while it is taken back
    pushed = server.state()
    server.stop()
    output = shop.doit("prune", "--all").failed().output
    assert f"{shop.image}:latest stays: the registry {troubled.host} cannot be reached" in output, output
    server.start()
    assert server.state() == pushed
    shop.all_taken_back()


def test_nobody_listens(pushing: Open, server: Server) -> None:
    shop = pushing()
    server.stop()
    output = shop.doit("push").failed().output
    assert f"the registry {server.host} cannot be reached" in output and "Traceback" not in output, output
    assert output.count("cannot be reached") == 1, output


def test_logged_in_by_a_helper_that_is_asked_once(pushing: Open, server: Server, tmp_path: Path) -> None:
    server.login = True
    shop = pushing()
    programs, asked = tmp_path / "programs", tmp_path / "asked"
    answer = json.dumps({"ServerURL": server.host, "Username": USER, "Secret": PASSWORD})
    helper(programs, "ours", f'read -r host; echo "$1 $host" >>{asked}; echo \'{answer}\'')
    helper(programs, "hanging", "sleep 600")
    nobody = {**docker_config(tmp_path / "nobody", "elsewhere.example.com")}
    output = shop.doit("push", env=nobody).failed().output
    assert f"{server.host} does not let us into {shop.image}" in output and "docker login" in output, output
    others = {"other.example.com": "hanging"}
    environment = docker_config(tmp_path / "docker", server.host, helper="ours", others=others)
    environment["PATH"] = f"{programs}{os.pathsep}{shop.project.environment['PATH']}"
    shop.project.environment |= environment
    output = shop.push().output
    assert len(shop.pushed()) == 2 and PASSWORD not in output, output
    assert asked.read_text() == f"get {server.host}\n"
    shop.all_taken_back()
