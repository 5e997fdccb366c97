"""Who may ask: the holder of the token. Access to this API is access to the Docker Engine's socket.

Without the token 401, but for what a real server tells anybody (the role system:public-info-viewer): that it is well, and
its version. A request that a browser makes for some web page carries that page's Origin: 403, so that no page can reach the
API even if it learned the token or the port.
"""

from __future__ import annotations

import hmac

from aiohttp import web

from kfold.sandbox.api import errors

PUBLIC = ("/healthz", "/livez", "/readyz", "/version", "/version/")


class Guard:
    """Checks each request against one bearer token."""

    def __init__(self, token: str) -> None:
        self._expected = token.encode()

    def check(self, request: web.Request) -> None:
        """Raises ApiError 401 or 403."""
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"https://{request.host}":
            raise errors.ApiError(403, "Forbidden", f"requests from the web page {origin} are forbidden")
        scheme, _, given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape").partition(b" ")
        if scheme.lower() != b"bearer" or not given:
            # what is no bearer token is none, as on the real server: anybody; a wrong one is refused everywhere
            if request.path in PUBLIC:
                return
        elif hmac.compare_digest(given, self._expected):
            return
        raise errors.unauthorized()
