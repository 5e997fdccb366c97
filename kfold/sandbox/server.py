"""The sandbox's one process: builds store, API, kubelet and controllers, and runs them until it is told to end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sqlite3
import ssl
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from kfold.errors import KfoldError
from kfold.sandbox.api.allocation import SERVICE_NETWORK
from kfold.sandbox.api.auth import Guard
from kfold.sandbox.api.cluster import Cluster
from kfold.sandbox.api.customresources import CustomResources
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.handlers import Api
from kfold.sandbox.api.ownership import FieldTracker
from kfold.sandbox.api.persistence import Persistence
from kfold.sandbox.api.resources import (
    CONFIGMAPS,
    NAMESPACES,
    PRIORITYCLASSES,
    ROOT_CA,
    SERVICES,
    STORAGECLASSES,
)
from kfold.sandbox.api.rules import KindRules
from kfold.sandbox.api.schema import Schema
from kfold.sandbox.api.store import Store
from kfold.sandbox.files import StateFiles, engine_name, own_home, write_private

if TYPE_CHECKING:
    from kfold.sandbox.kubelet import Kubelet

log = logging.getLogger(__name__)

NAMESPACES_AT_START = ("default", "kube-system", "kube-public", "kube-node-lease")

PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""The PriorityClasses that every cluster has."""

STORAGE_CLASS: Object = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "kfold.dev/sandbox",
}
"""The default class, named as kind and minikube name theirs."""

DNS_PLACE = 10
"""The place of the DNS server's address in the range of cluster IPs, as kubeadm has it: 10.96.0.10."""

CLOSE_SECONDS = 1.0
"""How long open requests (watches, followed logs) may go on when the server ends."""


def open_store(path: Path | None, cluster_ips: IPv4Network = SERVICE_NETWORK) -> tuple[Store, Schema]:
    """The store on its file (None: in memory), with the rules of the kinds and field ownership. Raises KfoldError."""
    schema = Schema()
    rules = KindRules(schema, network=cluster_ips)
    try:
        store = Store(Persistence(path), rules=rules, tracker=FieldTracker(schema))
    except (sqlite3.Error, ValueError) as error:
        text = f"the sandbox's objects cannot be read from {path}: {error}"
        raise KfoldError(text, hint="`kfold sandbox down` removes them with everything else of the sandbox") from error
    rules.allocator.services = lambda: store.peek_all(SERVICES)
    return store, schema


def bootstrap(store: Store, port: int, cluster_ips: IPv4Network = SERVICE_NETWORK, authority: str = "") -> None:
    """What every cluster has before anybody asks.

    Its namespaces (the UID of kube-system is its identity), its PriorityClasses and StorageClass, the certificate
    `authority` (PEM), its own Service, and that of its DNS.
    """
    for name in NAMESPACES_AT_START:
        if store.peek(NAMESPACES, None, name) is None:
            store.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for name, value in PRIORITIES.items():
        if store.peek(PRIORITYCLASSES, None, name) is None:
            body: Object = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
            store.create(PRIORITYCLASSES, body | {"value": value})
    if store.peek(STORAGECLASSES, None, STORAGE_CLASS["metadata"]["name"]) is None:
        store.create(STORAGECLASSES, STORAGE_CLASS)
    if authority:
        _publish_authority(store, authority)
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports: list[Object] = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]
    _own_service(store, "default", "kubernetes", labels, str(cluster_ips[1]), ports)
    labels = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    _own_service(store, "kube-system", "kube-dns", labels, str(cluster_ips[DNS_PLACE]), ports)


def _publish_authority(store: Store, authority: str) -> None:
    """Into kube-system; the controller of Namespaces copies it into the others."""
    body: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ROOT_CA, "namespace": "kube-system"}}
    body["data"] = {"ca.crt": authority}
    if store.peek(CONFIGMAPS, "kube-system", ROOT_CA) is None:
        store.create(CONFIGMAPS, body)
    else:
        store.update(CONFIGMAPS, body)


def _own_service(store: Store, namespace: str, name: str, labels: dict[str, str], address: str, ports: list[Object]) -> None:
    if store.peek(SERVICES, namespace, name) is None:
        metadata = {"name": name, "namespace": namespace, "labels": labels}
        spec = {"clusterIP": address, "ports": ports}
        store.create(SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


async def serve(name: str, files: StateFiles, port: int, token: str) -> None:
    """Serve until SIGTERM or SIGINT; then take back everything on the engine. Raises KfoldError if it cannot start.

    `port` on loopback; with `token` the only way in. The certificate and key are in `files`.
    """
    # heavy (the engine's client), and not needed to answer --help
    from kfold.sandbox.controllers import Controllers
    from kfold.sandbox.kubelet import Engine, Kubelet, prepare, socket_path
    from kfold.sandbox.streams import PodStreams

    engine = Engine(socket_path())
    await engine.open()
    try:
        network = await prepare(engine, engine_name(name, own_home()))
        store, schema = open_store(files.objects, network.cluster_ips)
    except BaseException:
        await engine.close()
        raise
    CustomResources(store).start()
    bootstrap(store, port, network.cluster_ips, files.certificate.read_text())
    kubelet = Kubelet(store, engine, engine_name(name, own_home()), network, str(network.cluster_ips[DNS_PLACE]))
    controllers = Controllers(store, kubelet)
    cluster = Cluster(store, schema, PodStreams(kubelet))
    runner = web.AppRunner(
        Api(cluster, Guard(token)).application(),
        access_log=None,
        # a client that hung up ends its watch at once
        handler_cancellation=True,
        shutdown_timeout=CLOSE_SECONDS,
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    try:
        await kubelet.start()
        await controllers.start()
        store.forget_history()
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=_tls(files)).start()
        log.info("the sandbox %s serves on 127.0.0.1:%d", name, port)
        telling = asyncio.create_task(_tell_services(files, port, kubelet))
        await ended.wait()
        log.info("ending")
        telling.cancel()
        await runner.cleanup()
        await controllers.stop()
        await kubelet.stop()
        await kubelet.clean()
    except OSError as error:
        raise KfoldError(f"the sandbox cannot serve on port {port}: {error}", hint="kfold sandbox status") from error
    finally:
        await runner.cleanup()
        # also after a failure: what the kubelet is making on the engine is made to its end, so that `down` finds it
        await kubelet.stop()
        await engine.close()
        store.close()


async def _tell_services(files: StateFiles, port: int, kubelet: Kubelet) -> None:
    """Write down for `status` how Services are done, as soon as that is decided."""
    await kubelet.services.settled()
    way = "proxy" if kubelet.services.resolver else "aliases"
    told = {"pid": os.getpid(), "port": port, "services": way, "services_problem": kubelet.services.problem}
    write_private(files.process, json.dumps(told))


def _tls(files: StateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    return context
