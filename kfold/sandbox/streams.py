"""pods/log, pods/exec and their like: requests of the API that end at a container, handed to the kubelet."""

from __future__ import annotations

from aiohttp import web

from kfold.sandbox.api import errors
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.requests import flag, number
from kfold.sandbox.kubelet import Kubelet, LogOptions
from kfold.sandbox.portforward import forward


class PodStreams:
    """The API's `Streams`: everything is done by the kubelet, here it is only addressed."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet

    async def handle(self, request: web.Request, pod: Object, subresource: str) -> web.StreamResponse:
        """Raises ApiError 400 for a container that is none, 501 for a stream that the kubelet does not have."""
        if subresource == "log":
            if request.method != "GET":
                raise errors.method_not_allowed()
            return await self._log(request, pod)
        if subresource == "portforward":
            return await forward(request, pod, lambda port: self._kubelet.reach(pod, port))
        open_stream = getattr(self._kubelet, "open_" + subresource, None)
        if open_stream is None:
            raise errors.not_implemented(f"pods/{subresource}")
        response: web.StreamResponse = await open_stream(request, pod)
        return response

    async def _log(self, request: web.Request, pod: Object) -> web.StreamResponse:
        pieces = self._kubelet.open_log(pod, log_options(request))
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        first = True
        try:
            if flag(request.query, "follow"):
                # at once: a container that says nothing for now is followed all the same
                await response.prepare(request)
                first = False
            async for piece in pieces:
                if first:
                    await response.prepare(request)
                    first = False
                await response.write(piece)
            if first:
                await response.prepare(request)
            await response.write_eof()
        except ConnectionError:
            pass  # the client is gone: nothing to tell it
        return response


def log_options(request: web.Request) -> LogOptions:
    """The query of pods/log. Raises ApiError 400 for a number that is none, 422 for a negative one."""
    query = request.query
    numbers = {name: number(query, name) for name in ("tailLines", "limitBytes", "sinceSeconds")}
    for name, value in numbers.items():
        if value is not None and (value < 0 or (value == 0 and name != "tailLines")):
            text = f"{name}: Invalid value: {value}: must be greater than {0 if name != 'tailLines' else 'or equal to 0'}"
            raise errors.ApiError(422, "Invalid", f'PodLogOptions "{request.path}" is invalid: {text}')
    return LogOptions(
        container=query.get("container", ""),
        follow=flag(query, "follow"),
        previous=flag(query, "previous"),
        timestamps=flag(query, "timestamps"),
        tail_lines=numbers["tailLines"],
        limit_bytes=numbers["limitBytes"],
        since_seconds=numbers["sinceSeconds"],
        since_time=query.get("sinceTime", ""),
    )
