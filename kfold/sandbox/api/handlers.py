"""The HTTP surface: which handler answers which path and method, and how refusals become Status objects."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from kfold.sandbox.api import (
    bodies,
    definitions,
    deletes,
    discovery,
    errors,
    openapi,
    pod_subresources,
    reads,
    reviews,
    writes,
)
from kfold.sandbox.api.answers import answer, warn
from kfold.sandbox.api.auth import Guard
from kfold.sandbox.api.cluster import Cluster
from kfold.sandbox.api.requests import Target, flag, target
from kfold.sandbox.api.scale import scale_of

log = logging.getLogger(__name__)

Handler = Callable[[Cluster, web.Request, Target], Awaitable[web.StreamResponse]]

_COLLECTION: dict[str, Handler] = {
    "GET": reads.list_or_watch,
    "POST": writes.create,
    "DELETE": deletes.delete_collection,
}
_OBJECT: dict[str, Handler] = {
    "GET": reads.get,
    "PUT": writes.replace,
    "PATCH": writes.patch,
    "DELETE": deletes.delete,
}
_POSTED: dict[str, Handler] = {"eviction": deletes.evict, "binding": pod_subresources.bind}
_STREAMS = ("log", "exec", "attach", "portforward")


class Api:
    """All paths of one cluster as an aiohttp application."""

    def __init__(self, cluster: Cluster, guard: Guard) -> None:
        self._cluster = cluster
        self._guard = guard

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._as_status], client_max_size=bodies.LIMIT)
        add = app.router.add_route
        for path in ("/healthz", "/livez", "/readyz"):
            add("GET", path, self._healthy)
        add("GET", "/", self._paths)
        add("GET", "/version", self._version)
        add("GET", "/api", self._discover_core)
        add("GET", "/apis", self._discover_groups)
        add("GET", "/apis/{group}", self._discover_group)
        add("GET", "/openapi/v2", self._openapi_v2)
        add("GET", "/openapi/v3", self._openapi_v3)
        add("GET", "/openapi/v3/api/{version}", self._openapi_document)
        add("GET", "/openapi/v3/apis/{group}/{version}", self._openapi_document)
        add("GET", "/api/{version}", self._discover_version)
        add("GET", "/apis/{group}/{version}", self._discover_version)
        add("*", "/api/{version}/{tail:.+}", self._resources)
        add("*", "/apis/{group}/{version}/{tail:.+}", self._resources)
        add("*", "/{tail:.*}", self._nothing)
        return app

    @web.middleware
    async def _as_status(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refusals as Status objects; what nobody foresaw as 500 in the log, never as the end of the process."""
        try:
            self._guard.check(request, self._cluster.store)
            return await handler(request)
        except errors.PageNotFound as error:
            return web.Response(text=f"{error.message}\n", status=error.code)
        except errors.ApiError as error:
            return answer(error.status(), error.code)
        except web.HTTPRequestEntityTooLarge:
            refused = errors.too_large(bodies.LIMIT)
            return answer(refused.status(), refused.code)
        except web.HTTPException as error:
            refused = errors.ApiError(error.status, "BadRequest", error.text or error.reason)
            return answer(refused.status(), refused.code)
        except ConnectionError:
            raise
        except Exception as error:
            log.exception("%s %s", request.method, request.path_qs)
            failed = errors.internal(f"{type(error).__name__}: {error}")
            return answer(failed.status(), failed.code)

    async def _resources(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        found = target(self._cluster.store.catalog, info.get("group", ""), info["version"], info["tail"])
        if found.subresource:
            return await self._subresource(request, found)
        if found.resource.verbs == ("create",):
            return await self._review(request, found)
        handlers = _OBJECT if found.name else _COLLECTION
        handler = handlers.get(request.method)
        if request.method == "GET" and found.name and flag(request.query, "watch"):
            handler = reads.list_or_watch
        if handler is None:
            raise errors.method_not_allowed()
        if request.method == "POST" and found.resource.namespaced and found.namespace is None:
            raise errors.method_not_allowed()
        response = await handler(self._cluster, request, found)
        if (said := definitions.deprecation(found.resource)) and not response.prepared:
            warn(response, said)
        return response

    async def _review(self, request: web.Request, found: Target) -> web.StreamResponse:
        """What is asked, and not kept."""
        if request.method != "POST" or found.name or (found.resource.namespaced and found.namespace is None):
            raise errors.method_not_allowed()
        if found.resource.kind == "Binding":
            return await pod_subresources.bind(self._cluster, request, found)
        return await reviews.review(self._cluster, self._guard, request, found)

    async def _subresource(self, request: web.Request, found: Target) -> web.StreamResponse:
        resource, name = found.resource, found.subresource
        if name not in resource.subresources:
            raise errors.path_not_found()
        if name not in discovery.served_subresources(resource):
            raise errors.not_implemented(f"{resource.plural}/{name}")
        if name in _STREAMS:
            return await self._stream(request, found)
        if request.method == "POST" and name in _POSTED:
            return await _POSTED[name](self._cluster, request, found)
        if request.method == "POST" and name == "token":
            return await reviews.token(self._cluster, self._guard, request, found)
        if name == "scale" and request.method == "GET":
            live = self._cluster.store.get(resource, found.namespace, found.name)
            return answer(scale_of(resource, live))
        handler = {"GET": reads.get, "PUT": writes.replace, "PATCH": writes.patch}.get(request.method)
        if handler is None or name in ("token", *_POSTED) or (name == "finalize" and request.method != "PUT"):
            raise errors.method_not_allowed()
        return await handler(self._cluster, request, found)

    async def _stream(self, request: web.Request, found: Target) -> web.StreamResponse:
        if self._cluster.streams is None:
            raise errors.not_implemented(f"pods/{found.subresource}")
        pod = self._cluster.store.get(found.resource, found.namespace, found.name)
        return await self._cluster.streams.handle(request, pod, found.subresource)

    # --- discovery

    async def _healthy(self, request: web.Request) -> web.StreamResponse:
        if "verbose" in request.query:
            return web.Response(text=f"[+]ping ok\n{request.path[1:]} check passed\n")
        return web.Response(text="ok")

    async def _paths(self, request: web.Request) -> web.StreamResponse:
        return answer({"paths": discovery.paths(self._cluster.store.catalog)})

    async def _nothing(self, request: web.Request) -> web.StreamResponse:
        raise errors.PageNotFound

    async def _version(self, request: web.Request) -> web.StreamResponse:
        return answer(discovery.version(self._cluster.schema.kubernetes))

    async def _discover_core(self, request: web.Request) -> web.StreamResponse:
        return self._aggregated(request, core=True) or answer(discovery.core_versions(request.host))

    async def _discover_groups(self, request: web.Request) -> web.StreamResponse:
        return self._aggregated(request, core=False) or answer(discovery.group_list(self._cluster.store.catalog))

    def _aggregated(self, request: web.Request, *, core: bool) -> web.Response | None:
        for choice in request.headers.get("Accept", "").split(","):
            if "as=APIGroupDiscoveryList" in choice:
                form = "v2beta1" if "v=v2beta1" in choice else "v2"
                response = answer(discovery.aggregated(self._cluster.store.catalog, core=core, form=form))
                # the client looks for these parameters to tell the form of what it got
                kind = f"application/json;g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList"
                response.headers["Content-Type"] = kind
                return response
        return None

    async def _discover_group(self, request: web.Request) -> web.StreamResponse:
        body = discovery.group(self._cluster.store.catalog, request.match_info["group"])
        if not body["versions"]:
            raise errors.PageNotFound
        return answer(body)

    async def _discover_version(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        body = discovery.resource_list(self._cluster.store.catalog, info.get("group", ""), info["version"])
        if not body["resources"]:
            raise errors.PageNotFound
        return answer(body)

    async def _openapi_v2(self, request: web.Request) -> web.StreamResponse:
        if "protobuf" in request.headers.get("Accept", ""):
            return web.Response(body=openapi.V2_PROTOBUF, headers={"Content-Type": openapi.V2_PROTOBUF_TYPE})
        return answer(openapi.swagger(self._cluster.store.catalog))

    async def _openapi_v3(self, request: web.Request) -> web.StreamResponse:
        return answer(openapi.index(self._cluster.store.catalog))

    async def _openapi_document(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        catalog, group = self._cluster.store.catalog, info.get("group", "")
        if (group, info["version"]) not in discovery.groups(catalog):
            raise errors.PageNotFound
        return answer(openapi.document(catalog, self._cluster.schema, group, info["version"]))
