"""HTTP to one registry: scheme, TLS and login as the Docker Engine has them, tried again where the trouble may pass.

Standard library only: urllib3 takes 0.1 s to import, and a run with nothing to push asks one question a tag.

The rules of the engine (moby, registry/): a registry on loopback, or one that is listed as insecure, is spoken to with TLS
that nobody checks, else without TLS; certificates of others come from `certs.d/HOST/*.crt`. Login: the registry says how
(`WWW-Authenticate`), by Basic, or by a token of its own token server (distribution, spec/auth/token and oauth).
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

from kfold.stores import registry_credentials
from kfold.stores.network import TlsConnection, environment_proxy, is_loopback, proxy_headers
from kfold.stores.registry_credentials import Login
from kfold.stores.registry_errors import refusal, unreachable
from kfold.stores.registry_interface import RegistryError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
ATTEMPTS = 6
"""With the pauses between them 6 s, or as long as the registry asks for."""
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
"""Docker Hub's limit of requests a minute asks for no more than that; a limit a day is told at once."""
RETRIED = (408, 429, 500, 502, 503, 504)
_HUB = "registry-1.docker.io"
"""Where docker.io's registry is (moby, registry/config.go)."""
_ALL = ""
"""What Basic is for: every repository."""
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Answer:
    """A whole answer. Names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class RegistryHttp:
    """See the module. `host` may have a port. `insecure`: listed as such by the user."""

    def __init__(self, host: str, *, insecure: bool = False, environment: Mapping[str, str] = os.environ) -> None:
        self.host = host
        self.environment = environment
        name, _, port = host.rpartition(":") if re.search(r":\d+$", host) else (host, "", "")
        self._name = _HUB if host == "docker.io" else name.strip("[]")
        self._port = int(port) if port else None
        self._insecure = insecure or is_loopback(self._name)
        self._lock = threading.RLock()
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._scheme = ""
        self._login: Login | RegistryError | None = None
        self._tokens: dict[str, str] = {}
        weakref.finalize(self, _close_all, self._idle)

    def send(
        self,
        method: str,
        path: str,
        *,
        repository: str = "",
        accept: Sequence[str] = (),
        body: bytes | None = None,
        media_type: str = "",
        expected: Sequence[int] = (200,),
        doing: str,
    ) -> Answer:
        """One question, logged in as the registry wants it. `path` begins with `/v2/`, or is a whole URL.

        Raises RegistryError for an answer that is not `expected`, naming what we were `doing`.
        """
        headers = {"Accept": ", ".join(accept)} if accept else {}
        if media_type:
            headers["Content-Type"] = media_type
        what = f"{repository}|{'pull' if method in ('GET', 'HEAD') else 'push'}"
        renewed = False
        for pause in pauses():
            authorization = self._tokens.get(what) or self._tokens.get(_ALL, "")
            try:
                answer = self._once(method, path, {**headers, **_authorized(authorization)}, body)
            except (OSError, http.client.HTTPException) as error:
                if pause is None or not self._scheme or not _passing(error):
                    raise unreachable(self.host, error, doing) from None
                time.sleep(pause)
                continue
            if answer.status == 401 and not renewed:
                renewed = True
                if new := self._log_in(answer, what, authorization, doing):
                    answer = self._once(method, path, {**headers, **_authorized(new)}, body)
            if answer.status in expected:
                return answer
            asked = _retry_after(answer)
            if pause is None or answer.status not in RETRIED or asked > LONGEST_PAUSE:
                known = self._login if isinstance(self._login, Login) else None
                raise refusal(self.host, repository, answer.status, answer.content, doing, known)
            time.sleep(max(pause, asked))
        raise AssertionError("the last pause is None")

    def login(self) -> Login:
        """Who we are here; asked once, and a failure of that is told to each who asks. Raises RegistryError."""
        with self._lock:
            if self._login is None:
                try:
                    self._login = registry_credentials.login(self.host, self.environment)
                except RegistryError as error:
                    self._login = error
            if isinstance(self._login, RegistryError):
                raise self._login
            return self._login

    def close(self) -> None:
        with self._lock:
            _close_all(self._idle)

    # --- logging in -----------------------------------------------------------------------------------------------

    def _log_in(self, answer: Answer, what: str, tried: str, doing: str) -> str:
        """Do what a 401 asks for; the new `Authorization`, or "" where there is nothing new to try."""
        with self._lock:
            known = self._tokens.get(what) or self._tokens.get(_ALL, "")
            if known != tried:
                return known  # another thread did while we waited
            scheme, _, rest = answer.headers.get("www-authenticate", "").partition(" ")
            challenge = dict(_CHALLENGE.findall(rest))
            login = self.login()
            if scheme.lower() == "basic" and login.password:
                new, what = f"Basic {_basic(login)}", _ALL
            elif scheme.lower() == "bearer" and "realm" in challenge:
                new = f"Bearer {self._token(challenge, login, doing)}"
            else:
                return ""
            self._tokens[what] = new
            return new if new != tried else ""

    def _token(self, challenge: Mapping[str, str], login: Login, doing: str) -> str:
        """A token from the registry's token server, for what the challenge names and nothing else."""
        realm = challenge["realm"]
        asked = {name: challenge[name] for name in ("service", "scope") if name in challenge}
        if urlsplit(realm).scheme != "https" and not (self._insecure and urlsplit(realm).scheme == "http"):
            raise RegistryError(
                f"{self.host} wants its password sent to {realm}, which is no https URL",
                hint="List the registry as insecure if that is right (`kfold config set insecure-registries`).",
            )
        headers: dict[str, str] = {}
        if login.identity_token:
            form = {**asked, "grant_type": "refresh_token", "refresh_token": login.identity_token, "client_id": "kfold"}
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            answer = self._once("POST", realm, headers, urlencode(form).encode())
        else:
            if login.password:
                headers["Authorization"] = f"Basic {_basic(login)}"
                asked["account"] = login.user
            joint = "&" if "?" in realm else "?"
            answer = self._once("GET", f"{realm}{joint}{urlencode(asked)}", headers, None)
        try:
            given = json.loads(answer.content) if answer.status == 200 else {}
            token = str(given.get("token") or given.get("access_token") or "")
        except (ValueError, AttributeError):
            token = ""
        if not token:
            repository = challenge.get("scope", "").removeprefix("repository:").rpartition(":")[0]
            raise refusal(self.host, repository, answer.status, answer.content, f"{doing}: logging in at {realm}", login)
        return token

    # --- connections ----------------------------------------------------------------------------------------------

    def _once(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One exchange, redirects followed (blobs lie elsewhere; who is redirected shows no login there)."""
        url = path if "://" in path else f"{self._base()}{path}"
        for _ in range(5):
            answer = self._exchange(urlsplit(url), method, headers, body)
            if answer.status not in (301, 302, 303, 307, 308) or method not in ("GET", "HEAD"):
                return answer
            following = urljoin(url, answer.headers.get("location", ""))
            if urlsplit(following).netloc != urlsplit(url).netloc:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = following
        return answer

    def _base(self) -> str:
        """The scheme is found out once. Only where nobody checks certificates may it be http."""
        with self._lock:
            if not self._scheme:
                scheme = "https"
                if self._insecure:
                    try:
                        self._exchange(urlsplit(f"https://{self._authority()}/v2/"), "GET", {}, None)
                    except ssl.SSLError:
                        scheme = "http"
                    except ConnectionRefusedError:
                        if self._port:
                            raise
                        scheme = "http"  # nothing on 443; port 80 may be another thing
                self._scheme = scheme
        return f"{self._scheme}://{self._authority()}"

    def _authority(self) -> str:
        name = f"[{self._name}]" if ":" in self._name else self._name
        return f"{name}:{self._port}" if self._port else name

    def _exchange(self, url: SplitResult, method: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        key = (url.scheme, url.netloc)
        with self._lock:
            kept = self._idle.setdefault(key, [])
            connection = kept.pop() if kept else None
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        if connection is not None:
            try:
                return self._ask(connection, key, target, method, headers, body)
            except (ConnectionError, http.client.HTTPException, ssl.SSLError):
                connection.close()  # a server closes idle connections at any time
        connection = self._connect(url)
        try:
            return self._ask(connection, key, target, method, headers, body)
        except BaseException:
            connection.close()
            raise

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        key: tuple[str, str],
        target: str,
        method: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        if connection.sock is None:
            _open(connection)
        connection.request(method, target, body, {"User-Agent": "kfold", **headers})
        response = connection.getresponse()
        content = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle[key].append(connection)
        return Answer(response.status, found, content)

    def _connect(self, url: SplitResult) -> http.client.HTTPConnection:
        host = url.hostname or ""
        port = url.port or (443 if url.scheme == "https" else 80)
        proxy = urlsplit(environment_proxy(url.geturl(), self.environment))
        address = (proxy.hostname, proxy.port or 80) if proxy.hostname else (host, port)
        if url.scheme == "https":
            connection: http.client.HTTPConnection = TlsConnection(*address, self._tls(url), host)
        else:
            connection = http.client.HTTPConnection(*address)
        if proxy.hostname:
            connection.set_tunnel(host, port, proxy_headers(proxy.username, proxy.password))
        return connection

    def _tls(self, url: SplitResult) -> ssl.SSLContext:
        """TLS as the engine does it, certificates of `certs.d` included. Raises RegistryError for one that is broken."""
        context = ssl.create_default_context()
        # Python 3.13 refuses certificate authorities that Go accepts (no key identifier)
        context.verify_flags = (context.verify_flags & ~ssl.VERIFY_X509_STRICT) | ssl.VERIFY_X509_PARTIAL_CHAIN
        for folder in certificate_folders(url.netloc, self.environment):
            for file in sorted(folder.glob("*")):
                try:
                    if file.suffix == ".crt":
                        context.load_verify_locations(file)
                    elif file.suffix == ".cert":
                        context.load_cert_chain(file, file.with_suffix(".key"), password=lambda: b"")
                except (OSError, ssl.SSLError) as error:
                    raise RegistryError(f"the certificate {file} cannot be used: {error}") from None
        if self._insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def certificate_folders(host: str, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where certificates for a registry lie: the engine's folder, rootless Docker's and Docker Desktop's."""
    own = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    folders = (Path("/etc/docker"), own / "docker", Path.home() / ".docker")
    return [found for folder in folders if (found := folder / "certs.d" / host).is_dir()]


def pauses() -> Iterator[float | None]:
    """Seconds to wait after each attempt that failed; None after the last one."""
    for attempt in range(ATTEMPTS - 1):
        yield FIRST_PAUSE * 2.0**attempt
    yield None


def _open(connection: http.client.HTTPConnection) -> None:
    connection.timeout = CONNECT_SECONDS
    connection.connect()
    connection.sock.settimeout(ANSWER_SECONDS)


def _authorized(authorization: str) -> dict[str, str]:
    return {"Authorization": authorization} if authorization else {}


def _basic(login: Login) -> str:
    return base64.b64encode(f"{login.user}:{login.password}".encode()).decode()


def _passing(error: Exception) -> bool:
    """Whether a broken connection may be whole again: not so where nobody listens, or for a certificate not accepted."""
    if isinstance(error, ssl.SSLError):
        return isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return not isinstance(error, socket.gaierror | TimeoutError)


def _retry_after(answer: Answer) -> float:
    """Seconds that the registry asks us to wait; it may name a time instead (RFC 9110, 10.2.3)."""
    text = answer.headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    from email.utils import parsedate_to_datetime  # rarely needed

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


def _close_all(idle: Mapping[tuple[str, str], list[http.client.HTTPConnection]]) -> None:
    for kept in idle.values():
        while kept:
            kept.pop().close()
