"""The variables of Services that a kubelet gives to containers."""

from __future__ import annotations

from tests.engine import wait_until
from tests.sandbox.pods.conftest import Space
from tests.sandbox.services.conftest import Shop


def variables(space: Space, **spec: object) -> dict[str, str]:
    lines = space.output("env", **spec).splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_services_that_exist_are_told_as_variables(shop: Shop) -> None:
    space = shop.space
    ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "dns-udp", "port": 53, "protocol": "UDP"}]
    address = shop.service("my-web", ports=ports)
    shop.service("quiet", clusterIP="None")
    found = variables(space)
    mine = {name: value for name, value in found.items() if name.startswith(("MY_WEB", "QUIET"))}
    assert mine == {
        "MY_WEB_SERVICE_HOST": address,
        "MY_WEB_SERVICE_PORT": "80",
        "MY_WEB_SERVICE_PORT_HTTP": "80",
        "MY_WEB_SERVICE_PORT_DNS_UDP": "53",
        "MY_WEB_PORT": f"tcp://{address}:80",
        "MY_WEB_PORT_80_TCP": f"tcp://{address}:80",
        "MY_WEB_PORT_80_TCP_PROTO": "tcp",
        "MY_WEB_PORT_80_TCP_PORT": "80",
        "MY_WEB_PORT_80_TCP_ADDR": address,
        "MY_WEB_PORT_53_UDP": f"udp://{address}:53",
        "MY_WEB_PORT_53_UDP_PROTO": "udp",
        "MY_WEB_PORT_53_UDP_PORT": "53",
        "MY_WEB_PORT_53_UDP_ADDR": address,
    }
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"


def test_without_service_links_only_the_api_server_is_told(shop: Shop) -> None:
    shop.service("web")
    found = variables(shop.space, enableServiceLinks=False)
    assert not [name for name in found if name.startswith("WEB_")]
    assert "KUBERNETES_SERVICE_HOST" in found


def test_the_pods_own_variables_come_first_and_may_use_them(shop: Shop) -> None:
    address = shop.service("web")
    own = [{"name": "WEB_PORT", "value": "mine"}, {"name": "URL", "value": "http://$(WEB_SERVICE_HOST)/"}]
    found = variables(shop.space, container={"env": own})
    assert (found["WEB_PORT"], found["URL"]) == ("mine", f"http://{address}/")


def test_those_of_other_namespaces_are_not_told(shop: Shop) -> None:
    space = shop.space
    name = f"{space.name}-other"
    space.core.create_namespace({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    Shop(Space(space.api, space.cluster, name, space.image)).service("theirs")
    shop.service("mine")
    found = variables(space)
    assert "MINE_SERVICE_HOST" in found and "THEIRS_SERVICE_HOST" not in found
    space.core.delete_namespace(name)
    wait_until(lambda: name not in {entry.metadata.name for entry in space.core.list_namespace().items}, "its end")
