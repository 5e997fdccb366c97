"""What stands between us and a registry: logins, helpers, token servers, certificates, limits, trouble."""

from __future__ import annotations

import base64
import http.server
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from kfold.stores import registry_credentials, registry_http
from kfold.stores.registry import HttpRegistry
from kfold.stores.registry_interface import OCI_INDEX, DeletionRefused, Manifest, RegistryError
from tests.engine import wait_until
from tests.registry.server import PASSWORD, USER, Reply, Server, bridge_address, certificate, docker_config, front, helper

INDEX = Manifest(OCI_INDEX, json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode())


def refusal(action: Callable[[], object]) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        action()
    assert PASSWORD not in str(caught.value) and base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode() not in str(
        caught.value
    )
    return caught.value


# --- who we are


def test_a_login_of_dockers_configuration(fresh: Server, tmp_path: Path) -> None:
    fresh.login = True
    fresh.start()
    environment = docker_config(tmp_path / "docker", fresh.host)
    registry = HttpRegistry(fresh.host, environment=environment)
    registry.put("team/web", "1", INDEX)
    assert registry.digest("team/web", "1") == INDEX.digest == fresh.digest("team/web", "1")
    registry.digest("team/other", "1")
    assert [line.rsplit(" ", 1)[1] for line in fresh.requests()].count("401") <= 2, "the login is kept for all repositories"


def test_no_login_and_a_wrong_one_are_told_with_user_repository_and_source(fresh: Server, tmp_path: Path) -> None:
    fresh.login = True
    fresh.start()
    folder = tmp_path / "docker"
    folder.mkdir()
    error = refusal(lambda: HttpRegistry(fresh.host, environment={"DOCKER_CONFIG": str(folder)}).digest("team/web", "1"))
    assert f"{fresh.host}/team/web" in error.message and "nobody" in error.message and str(folder) in error.message
    assert f"docker login {fresh.host}" in error.hint
    auth = base64.b64encode(f"{USER}:wrong-{PASSWORD[::-1]}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {f"https://{fresh.host}/v1/": {"auth": auth}}}))
    error = refusal(lambda: HttpRegistry(fresh.host, environment={"DOCKER_CONFIG": str(folder)}).digest("team/web", "1"))
    assert f'user "{USER}"' in error.message and "config.json (auths" in error.message and error.code == 401
    assert auth not in str(error)
    (folder / "config.json").write_text(json.dumps({"auths": {fresh.host: {"auth": "%%"}}}))
    assert "damaged" in refusal(lambda: registry_credentials.login(fresh.host, {"DOCKER_CONFIG": str(folder)})).message
    (folder / "config.json").write_text("{")
    assert "cannot be read" in refusal(
        lambda: registry_credentials.login(fresh.host, {"DOCKER_CONFIG": str(folder)})
    ).message


def test_a_helper_is_asked_once_and_only_for_its_registry(fresh: Server, tmp_path: Path) -> None:
    fresh.login = True
    fresh.start()
    programs, asked = tmp_path / "programs", tmp_path / "asked"
    answer = json.dumps({"ServerURL": fresh.host, "Username": USER, "Secret": PASSWORD})
    helper(programs, "ours", f'read -r host; echo "$1 $host" >>{asked}; echo \'{answer}\'')
    helper(programs, "broken", f"echo other >>{asked}; exit 1")
    helper(programs, "hanging", f"echo other >>{asked}; sleep 600")
    others = {"one.example.com": "broken", "two.example.com": "hanging", "three.example.com": "absent"}
    environment = docker_config(tmp_path / "docker", fresh.host, helper="ours", others=others)
    environment["PATH"] = f"{programs}:/usr/bin:/bin"
    registry = HttpRegistry(fresh.host, environment=environment)
    threads = [threading.Thread(target=registry.digest, args=(f"team/web{number}", "1")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert registry.digest("team/web", "1") == ""
    assert asked.read_text() == f"get {fresh.host}\n"

    # and a docker client of ours is told the same, by a helper that starts nothing
    folder = tmp_path / "client"
    folder.mkdir()
    told = registry.client_environment(folder)
    done = subprocess.run(
        ["docker-credential-kfold", "get"], input=fresh.host, capture_output=True, text=True, env=told, timeout=10
    )
    assert json.loads(done.stdout) == json.loads(answer) and done.returncode == 0
    assert f'"{PASSWORD}"' not in "".join(file.read_text() for file in folder.rglob("*") if file.is_file())
    assert json.loads((folder / "config.json").read_text())["credHelpers"] == {fresh.host: "kfold"}
    assert asked.read_text() == f"get {fresh.host}\n"


def test_a_helper_that_fails_hangs_or_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    environment = docker_config(tmp_path / "docker", "r.example.com", helper="x")
    environment["PATH"] = f"{programs}:/usr/bin:/bin"

    def said() -> str:
        return str(refusal(lambda: registry_credentials.login("r.example.com", environment)))

    assert "docker-credential-x" in said() and "not on PATH" in said()
    helper(programs, "x", f"echo {PASSWORD}; echo 'the vault is locked' >&2; exit 3")
    assert "the vault is locked" in said() and "r.example.com" in said()
    helper(programs, "x", f"echo {PASSWORD}")
    assert "did not answer as a credential helper does" in said()
    monkeypatch.setattr(registry_credentials, "HELPER_SECONDS", 0.2)
    helper(programs, "x", f"sleep 600 & echo $! >{tmp_path}/pid; wait")
    assert "did not answer within 0.2 s" in said()
    child = Path("/proc", (tmp_path / "pid").read_text().strip())
    wait_until(lambda: not (child / "cmdline").exists() or not (child / "cmdline").read_bytes(), "its child to end")
    helper(programs, "x", "echo 'credentials not found in native keychain'; exit 1")
    assert registry_credentials.login("r.example.com", environment).password == ""
    helper(programs, "x", 'echo \'{"Username": "<token>", "Secret": "abc"}\'')
    found = registry_credentials.login("r.example.com", environment)
    assert (found.identity_token, found.user) == ("abc", "") and "abc" not in repr(found)


# --- a token server


@contextmanager
def token_server(folder: Path) -> Iterator[tuple[str, list[tuple[str, str]], Callable[[str], None]]]:
    """Issues what docker-registry takes (distribution, spec/auth/jwt): its URL, what it was asked (scope, who), and a way to
    restrict what it grants."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.x509 import load_pem_x509_certificate

    certificate_file, key_file = certificate(folder, "127.0.0.1")
    der = load_pem_x509_certificate(certificate_file.read_bytes()).public_bytes(serialization.Encoding.DER)
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    asked: list[tuple[str, str]] = []
    granted = ["pull,push,delete"]

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def token(scope: str) -> str:
        kind, name, actions = scope.split(":")
        allowed = [action for action in actions.split(",") if action in granted[0].split(",")]
        now = int(time.time())
        claims = {"iss": "kfold", "aud": "registry", "sub": USER, "exp": now + 60, "nbf": now - 5, "iat": now, "jti": "1"}
        claims["access"] = [{"type": kind, "name": name, "actions": allowed}]  # type: ignore[assignment]
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
        first, second = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{part(first.to_bytes(32, 'big') + second.to_bytes(32, 'big'))}"

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, fields: dict[str, list[str]], who: str) -> None:
            asked.append((fields["scope"][0], who))
            body = json.dumps({"token": token(fields["scope"][0])} if who else {"details": "no"}).encode()
            self.send_response(200 if who else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            given = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
            self.answer(parse_qs(urlsplit(self.path).query), USER if given == f"{USER}:{PASSWORD}" else "")

        def do_POST(self) -> None:
            fields = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.answer(fields, fields["refresh_token"][0] if fields["grant_type"] == ["refresh_token"] else "")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the tests' own output."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def restrict(actions: str) -> None:
        granted[0] = actions

    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/token", asked, restrict
    finally:
        server.shutdown()
        server.server_close()


def test_a_token_server(fresh: Server, tmp_path: Path) -> None:
    with token_server(tmp_path / "issuer") as (realm, asked, restrict):
        bundle = str(tmp_path / "issuer" / "cert.pem")
        fresh.auth = {"token": {"realm": realm, "service": "registry", "issuer": "kfold", "rootcertbundle": bundle}}
        fresh.start()
        environment = docker_config(tmp_path / "docker", fresh.host)
        registry = HttpRegistry(fresh.host, environment=environment)
        assert registry.digest("team/web", "1") == ""
        assert registry.digest("team/web", "2") == ""
        assert asked == [("repository:team/web:pull", USER)], "one token for each repository, kept"
        registry.put("team/web", "1", INDEX)
        assert registry.remove_tag("team/web", "1", keep=False)
        assert {who for _, who in asked} == {USER}
        assert any(scope.endswith("delete") for scope, _ in asked)

        restrict("pull")
        error = refusal(lambda: HttpRegistry(fresh.host, environment=environment).put("team/web", "1", INDEX))
        assert f'user "{USER}"' in error.message and "team/web" in error.message

        (tmp_path / "token").mkdir()
        auths = {"auths": {fresh.host: {"auth": base64.b64encode(b"x:").decode(), "identitytoken": "machine"}}}
        (tmp_path / "token" / "config.json").write_text(json.dumps(auths))
        by_token = HttpRegistry(fresh.host, environment={"DOCKER_CONFIG": str(tmp_path / "token")})
        assert by_token.digest("team/web", "1") == "" and asked[-1][1] == "machine"

        (tmp_path / "nobody").mkdir()
        nobody = HttpRegistry(fresh.host, environment={"DOCKER_CONFIG": str(tmp_path / "nobody")})
        error = refusal(lambda: nobody.digest("team/web", "1"))
        assert "nobody" in error.message and realm in error.message


# --- TLS


def test_a_certificate_of_its_own_authority(
    fresh: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    address = bridge_address()
    made, key = certificate(tmp_path / "tls", address)
    fresh.address, fresh.tls = address, {"certificate": str(made), "key": str(key)}
    fresh.start()
    monkeypatch.setenv("HOME", str(tmp_path))
    error = refusal(lambda: HttpRegistry(fresh.host, environment={}).digest("team/web", "1"))
    assert "certificate is not accepted" in error.message and f"/etc/docker/certs.d/{fresh.host}/ca.crt" in error.hint
    assert HttpRegistry(fresh.host, insecure=True, environment={}).digest("team/web", "1") == ""
    folder = tmp_path / ".docker" / "certs.d" / fresh.host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(made.read_bytes())
    registry = HttpRegistry(fresh.host, environment={})
    registry.put("team/web", "1", INDEX)
    assert registry.digest("team/web", "1") == INDEX.digest
    (folder / "ca.crt").write_text("no certificate")
    assert "ca.crt cannot be used" in refusal(lambda: HttpRegistry(fresh.host, environment={}).digest("a", "1")).message


def test_without_tls_only_where_that_was_said(fresh: Server, engine: str) -> None:
    fresh.address = bridge_address()
    fresh.start()
    error = refusal(lambda: HttpRegistry(fresh.host, environment={}).digest("team/web", "1"))
    assert "TLS failed" in error.message and "insecure" in error.hint
    assert HttpRegistry(fresh.host, insecure=True, environment={}).digest("team/web", "1") == ""


# --- trouble


def test_limits_and_passing_trouble_are_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(registry_http.time, "sleep", slept.append)
    with front(server) as troubled:
        registry = HttpRegistry(troubled.host, environment={})
        registry.put("trouble/web", "1", INDEX)
        for reply in (Reply(429, headers={"Retry-After": "7"}), Reply(503), Reply(500), Reply(0)):
            troubled.fail(2, reply, path="manifests")
            assert registry.digest("trouble/web", "1") == INDEX.digest, reply
        assert slept[:2] == [7.0, 7.0] and len(slept) >= 7
        body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}'
        troubled.fail(1, Reply(429, body, {"Retry-After": "3600"}), path="manifests")
        error = refusal(lambda: registry.manifest("trouble/web", "1"))
        assert "pull rate limit" in error.message and "wait" in error.hint
        troubled.fail(99, Reply(502, b"<html>bad gateway</html>"), path="manifests")
        error = refusal(lambda: registry.digest("trouble/web", "1"))
        assert error.code == 502 and "html" not in error.message and "later" in error.hint


def test_refusals_are_told(server: Server) -> None:
    def body(code: str, message: str) -> bytes:
        return json.dumps({"errors": [{"code": code, "message": message}]}).encode()

    with front(server) as troubled:
        registry = HttpRegistry(troubled.host, environment={})
        registry.put("told/web", "1", INDEX)
        troubled.fail(1, Reply(403, body("DENIED", "requested access is denied")), method="PUT")
        error = refusal(lambda: registry.put("told/web", "2", INDEX))
        assert f"{troubled.host}/told/web" in error.message and "nobody" in error.message and error.code == 403
        troubled.fail(1, Reply(413, body("DENIED", "exceeds the quota of 1 GiB")), method="PUT")
        assert "quota is full" in refusal(lambda: registry.put("told/web", "2", INDEX)).hint
        troubled.fail(99, Reply(507, b"no space left on device"), method="PUT")
        assert "takes no more" in refusal(lambda: registry.put("told/web", "2", INDEX)).message
        troubled.fail(1, Reply(400, body("NAME_INVALID", "invalid repository name")), method="PUT")
        assert "refuses the name told/web" in refusal(lambda: registry.put("told/web", "2", INDEX)).message
        troubled.fail(9, Reply(405, body("UNSUPPORTED", "The operation is unsupported.")), method="DELETE")
        with pytest.raises(DeletionRefused):
            registry.remove_tag("told/web", "1", keep=True)
        assert server.digest("told/web", "1") == INDEX.digest


def test_a_tag_that_can_be_deleted_by_its_name_is(server: Server) -> None:
    """As registries do that know the specification's 1.1; this one does not, so the front does it for it."""
    with front(server) as troubled:
        registry = HttpRegistry(troubled.host, environment={})
        registry.put("newer/web", "1", INDEX)
        troubled.fail(1, Reply(202), method="DELETE", path="manifests/1")
        assert registry.remove_tag("newer/web", "1", keep=True)
        assert [line for line in troubled.asked if line.startswith(("PUT", "DELETE"))][1:] == [
            "DELETE /v2/newer/web/manifests/1"
        ]


def test_nobody_there() -> None:
    error = refusal(lambda: HttpRegistry("127.0.0.1:1", environment={}).digest("team/web", "1"))
    assert "127.0.0.1:1 cannot be reached" in error.message and error.hint
    error = refusal(lambda: HttpRegistry("registry.invalid", environment={}).digest("team/web", "1"))
    assert "its name is not known" in error.message


def test_many_tags_come_in_pages(server: Server) -> None:
    """As newer registries give them; docker-registry 2.8 gives all at once."""

    def page(method: str, path: str) -> Reply:
        later = "last=b" in path
        body = json.dumps({"name": "pages/web", "tags": ["c"] if later else ["a", "b"]}).encode()
        return Reply(200, body, {} if later else {"Link": '</v2/pages/web/tags/list?n=2&last=b>; rel="next"'})

    with front(server) as troubled:
        troubled.decide = page
        assert list(HttpRegistry(troubled.host, environment={}).tags("pages/web")) == ["a", "b", "c"]
    for number in range(3):
        HttpRegistry(server.host, environment={}).put("pages/web", str(number), INDEX)
    assert sorted(HttpRegistry(server.host, environment={}).tags("pages/web")) == ["0", "1", "2"]
