"""Who may ask: the holder of the token. Access to this API is access to the Docker Engine's socket.

Without a token 401, but for what a real server tells anybody (the role system:public-info-viewer): that it is well, and
its version. A request that a browser makes for some web page carries that page's Origin: 403, so that no page can reach the
API even if it learned the token or the port.
"""

from __future__ import annotations

import hmac

from aiohttp import web

from kfold.sandbox.api import errors, tokens
from kfold.sandbox.api.documents import Object, at
from kfold.sandbox.api.resources import SERVICEACCOUNTS
from kfold.sandbox.api.store import Store

PUBLIC = ("/healthz", "/livez", "/readyz", "/version", "/version/")

ADMINISTRATOR: Object = {
    "username": "kubernetes-admin",
    "groups": ["kubeadm:cluster-admins", "system:authenticated"],
}
"""Who the holder of the sandbox's own token is (the user of a kubeadm cluster's kubeconfig)."""


class Guard:
    """Checks each request against one bearer token, and the tokens of service accounts that it signed."""

    def __init__(self, token: str) -> None:
        self.secret = token.encode()

    def check(self, request: web.Request, store: Store) -> Object:
        """Who asks (UserInfo); empty for anybody, who may ask for `PUBLIC` alone. Raises ApiError 401 or 403."""
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"https://{request.host}":
            raise errors.ApiError(403, "Forbidden", f"requests from the web page {origin} are forbidden")
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            # what is no bearer token is none, as on the real server: anybody; a wrong one is refused everywhere
            if request.path in PUBLIC:
                return {}
        elif user := self.user(given, store):
            return user
        raise errors.unauthorized()

    def user(self, token: str, store: Store) -> Object | None:
        """UserInfo of who has this token; None for a token that is none."""
        given = token.encode("utf-8", "surrogateescape")
        if hmac.compare_digest(given, self.secret):
            return ADMINISTRATOR
        claims = tokens.claims_of(self.secret, token) if token.isascii() else None
        if claims is None:
            return None
        of = claims["kubernetes.io"]
        account = store.peek(SERVICEACCOUNTS, of["namespace"], of["serviceaccount"]["name"])
        # an account made anew under the same name is another one
        return tokens.user_of(claims) if at(account, "metadata", "uid") == of["serviceaccount"]["uid"] else None
