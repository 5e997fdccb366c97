"""What a Pod asks of the kubelet that runs it."""

from __future__ import annotations

from typing import Protocol

from kfold.sandbox.api.store import Store
from kfold.sandbox.kubelet.engine import Engine
from kfold.sandbox.kubelet.exits import Exits
from kfold.sandbox.kubelet.messages import Messages
from kfold.sandbox.kubelet.proxy import ServiceProxy
from kfold.sandbox.kubelet.recorder import Recorder


class Node(Protocol):
    """What a Pod asks of the kubelet."""

    store: Store
    engine: Engine
    exits: Exits
    recorder: Recorder
    label: str
    network: str
    address: str
    pause: str
    messages: Messages
    publishes: bool
    services: ServiceProxy

    def ended(self, uid: str) -> None: ...
