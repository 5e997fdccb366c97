"""The official `kubernetes` client: sends every apply, and does all the talking where kfold's own client cannot log in.

Its import takes 0.3 s, so it happens in the first call (or in `warm_up`, in a thread during a build). For contexts
that kfold understands, credentials and TLS settings are kfold's own: an exec plugin runs once, not once a client. For
others (auth-provider, basic authentication, other proxies) the kubeconfig entry is handed over as it is.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from kfold.errors import KfoldError, Position
from kfold.stores.api_errors import refusal, unreachable
from kfold.stores.cluster_interface import FIELD_MANAGER, ClusterError, ObjectRef
from kfold.stores.connection import tls_context
from kfold.stores.credentials import Credential, Credentials
from kfold.stores.http import RETRIED, Query, ResponseLines, Stream, is_passing, pauses
from kfold.stores.kinds import Kind, group_of
from kfold.stores.kubeconfig import ContextEntry

_TIMEOUT = (5.0, 60.0)
"""Seconds to connect and to answer."""


class OfficialClient:
    """A Transport, and `apply`. Thread-safe: urllib3's pool is, and the client is made under a lock."""

    def __init__(self, entry: ContextEntry, credentials: Credentials, *, proxy: str = "") -> None:
        self._entry = entry
        self._credentials = credentials
        self._proxy = proxy
        self._lock = threading.Lock()
        self._answered = False
        self._made: tuple[tuple[bytes | None, bytes | None], Any] | None = None

    def warm_up(self) -> None:
        """Imports the client in a thread of its own."""
        threading.Thread(target=_kubernetes, name="import-kubernetes", daemon=True).start()

    def apply(self, kind: Kind, manifest: Mapping[str, Any], *, force: bool, dry_run: bool,
              doing: str) -> dict[str, Any]:
        """Server-side apply with strict field validation: what kubectl does with --server-side --validate=strict.

        https://kubernetes.io/docs/reference/using-api/server-side-apply/
        """
        metadata = manifest["metadata"]
        # as text: the client's own conversion of a mapping drops nulls, which mean something to an apply
        body = json.dumps(manifest)

        def send(client: Any, headers: dict[str, str]) -> Any:
            dynamic = _kubernetes().dynamic
            # a Resource made by hand and a discoverer that does nothing: no discovery request
            resource = dynamic.resource.Resource(
                prefix="apis" if group_of(kind.api_version) else "api", group=group_of(kind.api_version),
                api_version=kind.api_version.rpartition("/")[2], kind=kind.kind, name=kind.plural,
                namespaced=kind.namespaced)
            return dynamic.DynamicClient(client, discoverer=lambda _client, _cache: None).server_side_apply(
                resource, body=body, name=metadata["name"], namespace=metadata.get("namespace"),
                field_manager=FIELD_MANAGER, force_conflicts=force or None, dry_run="All" if dry_run else None,
                query_params=[("fieldValidation", "Strict")], header_params=headers, serialize=False,
                _request_timeout=_TIMEOUT)

        return _json(self._tried(send, doing, again="resourceVersion" not in metadata).data, doing)

    def patch(self, kind: Kind, ref: ObjectRef, operations: Sequence[Mapping[str, Any]], *, manager: str,
              doing: str) -> dict[str, Any]:
        """A JSON patch under `manager`'s name."""
        query = [("fieldManager", manager), ("fieldValidation", "Strict")]

        def send(client: Any, headers: dict[str, str]) -> Any:
            headers = {**headers, "Content-Type": "application/json-patch+json"}
            return _send(client, "PATCH", kind.path(ref.namespace, ref.name), query, list(operations), headers, _TIMEOUT)

        return _json(self._tried(send, doing).data, doing)

    def request(self, method: str, path: str, query: Query = (), body: Mapping[str, Any] | None = None, *,
                doing: str) -> dict[str, Any]:
        def send(client: Any, headers: dict[str, str]) -> Any:
            return _send(client, method, path, query, body, headers, _TIMEOUT)

        return _json(self._tried(send, doing).data, doing)

    def stream(self, path: str, query: Query = (), *, doing: str) -> Stream:
        def send(client: Any, headers: dict[str, str]) -> Any:
            return _send(client, "GET", path, query, None, headers, (_TIMEOUT[0], None))

        response = self._tried(send, doing)
        connection = getattr(response, "connection", None)
        return ResponseLines(response.read1, response.close, getattr(connection, "sock", None))

    def close(self) -> None:
        with self._lock:
            if self._made is not None:
                self._made[1].rest_client.pool_manager.clear()

    # --- one call, tried again ----------------------------------------------------------------------------------

    def _tried(self, send: Callable[[Any, dict[str, str]], Any], doing: str, *, again: bool = True) -> Any:
        """`again`: whether a lost race may end well when it is run again; an object as it was then never comes back."""
        ApiException = _kubernetes().client.exceptions.ApiException
        from urllib3.exceptions import HTTPError

        renewed = False
        for pause in pauses():
            credential = self._credentials.current()
            try:
                answer = send(self._client(credential), self._headers(credential))
                self._answered = True
                return answer
            except ApiException as error:
                self._answered = self._answered or bool(error.status)
                body = error.body.encode() if isinstance(error.body, str) else error.body or b""
                if error.status == 401 and not renewed and self._credentials.refused(credential):
                    renewed = True
                    continue
                if not error.status:
                    raise unreachable(self._entry, OSError(str(error.reason).splitlines()[-1]), doing) from None
                refused = refusal(self._entry, error.status, body, doing)
                # a conflict that names no owner and no UID is two writers at once: the next try sees the other's work
                lost_race = again and error.status == 409 and type(refused) is ClusterError
                # a real server answers a field that its schema does not know with 500, every time
                final = "failed to create typed patch object" in refused.message
                if pause is None or final or not (lost_race or error.status in RETRIED):
                    raise refused from None
            except HTTPError as error:
                cause = _cause(error)
                if pause is None or not self._answered or not is_passing(self._entry, cause, pause):
                    raise unreachable(self._entry, cause, doing) from None
            time.sleep(pause)
        raise AssertionError("the last pause is None")

    def _headers(self, credential: Credential) -> dict[str, str]:
        if self._entry.supported and credential.token and self._entry.server.startswith("https://"):
            return {"authorization": f"Bearer {credential.token}"}
        return {}

    def _client(self, credential: Credential) -> Any:
        certificate = (credential.certificate, credential.key)
        with self._lock:
            if self._made is None or self._made[0] != certificate:
                make = self._make if self._entry.supported else self._make_unsupported
                self._made = (certificate, make(credential))
            return self._made[1]

    def _make(self, credential: Credential) -> Any:
        kubernetes = _kubernetes()
        configuration = kubernetes.client.Configuration(host=self._entry.server)
        configuration.verify_ssl = not self._entry.insecure
        configuration.tls_server_name = self._entry.tls_server_name or None
        configuration.proxy = self._proxy or None
        configuration.retries = False  # tried again here, with the server's Retry-After and without log lines
        client = kubernetes.client.ApiClient(configuration)
        if self._entry.server.startswith("https://"):
            client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = tls_context(self._entry, credential)
        return client

    def _make_unsupported(self, _: Credential) -> Any:
        config = _kubernetes().config
        entry = self._entry
        kubeconfig = {
            "apiVersion": "v1", "kind": "Config", "current-context": entry.name,
            "contexts": [{"name": entry.name, "context": {"cluster": "cluster", "user": "user"}}],
            "clusters": [{"name": "cluster", "cluster": dict(entry.raw_cluster)}],
            "users": [{"name": "user", "user": dict(entry.raw_user)}],
        }
        try:
            return config.new_client_from_config_dict(kubeconfig, context=entry.name, persist_config=False)
        except (config.ConfigException, ValueError) as error:
            raise KfoldError(
                f'the official client cannot log in with context "{entry.name}" ({entry.unsupported}): {error}',
                where=Position(str(entry.file)), hint="use a token, a certificate or an exec plugin") from None


def _send(client: Any, method: str, path: str, query: Query, body: Mapping[str, Any] | list[Mapping[str, Any]] | None,
          headers: dict[str, str], timeout: tuple[float, float | None]) -> Any:
    request = client.param_serialize(
        method=method, resource_path=path, query_params=list(query), body=body, auth_settings=["BearerToken"],
        header_params={"Accept": "application/json", "Content-Type": "application/json", **headers})
    answer = client.call_api(*request, _request_timeout=timeout)
    if not 200 <= answer.status < 300:
        answer.read()
        raise _kubernetes().client.exceptions.ApiException(http_resp=answer)
    return answer.response


def _json(content: bytes, doing: str) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        raise ClusterError(f"{doing}: the cluster did not answer in JSON", reason="NotJSON") from None
    return answer if isinstance(answer, dict) else {"value": answer}


def _cause(error: Exception) -> Exception:
    """The socket's own error inside urllib3's wrappings."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError | http.client.HTTPException):
            return seen
        reason = getattr(seen, "reason", None)
        seen = reason if isinstance(reason, BaseException) else seen.__cause__ or seen.__context__
    return error


def _kubernetes() -> Any:
    """The official package, imported when first needed."""
    import_module("kubernetes.dynamic.resource")
    return import_module("kubernetes")
