"""Tokens of service accounts: what `kubectl create token` gets, and what a request then may come with.

Signed JSON web tokens with the claims that a real cluster puts in (pkg/serviceaccount/claims.go). Nothing is stored: a token
holds until it expires, or until its account is another one. The sandbox has no authorization: it lets do everything, like
the token that signs it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

from kfold.sandbox.api.documents import Object

AUDIENCE = "https://kubernetes.default.svc.cluster.local"
"""Who issues tokens, and who takes those that name nobody else."""


def issue(secret: bytes, account: Object, audiences: list[str], seconds: int, bound: Object | None) -> tuple[str, float]:
    """A token for a ServiceAccount and the moment (since the epoch) when it expires."""
    metadata, now = account["metadata"], int(time.time())
    of: Object = {"namespace": metadata["namespace"]}
    of["serviceaccount"] = {key: metadata[key] for key in ("name", "uid")}
    if bound:
        of[str(bound.get("kind", "")).lower()] = {key: bound.get(key) for key in ("name", "uid")}
    claims = {
        "aud": audiences or [AUDIENCE],
        "exp": now + seconds,
        "iat": now,
        "iss": AUDIENCE,
        "jti": str(uuid.uuid4()),
        "kubernetes.io": of,
        "nbf": now,
        "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
    }
    head = _encoded(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    signed = f"{head}.{_encoded(json.dumps(claims).encode())}"
    return f"{signed}.{_signature(secret, signed)}", now + seconds


def claims_of(secret: bytes, token: str) -> Object | None:
    """What a token says that was signed with `secret`, has not expired and is meant for this server; None for any other."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(secret, signed).encode()):
        return None
    body = signed.partition(".")[2]
    claims: Object = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims if claims["exp"] > time.time() and AUDIENCE in claims["aud"] else None


def user_of(claims: Object) -> Object:
    """UserInfo of who has such a token."""
    of: Any = claims["kubernetes.io"]
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{of['namespace']}", "system:authenticated"]
    extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
    return {"username": claims["sub"], "uid": of["serviceaccount"]["uid"], "groups": groups, "extra": extra}


def _signature(secret: bytes, signed: str) -> str:
    return _encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
