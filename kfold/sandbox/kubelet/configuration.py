"""What the engine is told to create for a Pod: pure functions from the manifest to the Engine API's container config."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from kfold.sandbox.api import quantity
from kfold.sandbox.kubelet.env import ConfigurationError, expand

Json = dict[str, Any]

LOGS = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}
"""Whatever driver the engine has by default: only files can be read back (and 10 MiB times 5 is a kubelet's default)."""

CLUSTER_DOMAIN = "cluster.local"


def sandbox_config(
    pod: Json,
    *,
    image: str,
    network: str,
    aliases: list[str],
    resolver: str,
    published: bool,
    labels: dict[str, str],
    mounts: list[Json],
) -> Json:
    """The container that holds the Pod's network and volumes.

    `resolver`: the cluster's DNS server, or empty. `published`: the Pod's ports are to be reached on this machine's
    loopback, each by a port that the engine chooses.
    """
    spec = pod["spec"]
    host: Json = {
        "IpcMode": "shareable",
        "LogConfig": {"Type": "none"},
        "Mounts": mounts,
        "NetworkMode": "host" if spec.get("hostNetwork") else network,
        "ExtraHosts": [f"{name}:{entry['ip']}" for entry in spec.get("hostAliases") or [] for name in entry["hostnames"]],
    }
    config: Json = {"Image": image, "Labels": labels, "HostConfig": host}
    if spec.get("hostNetwork"):
        if spec.get("dnsPolicy") == "ClusterFirstWithHostNet":
            host |= dns(pod, resolver)
        return config
    config["Hostname"] = (spec.get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")
    config["NetworkingConfig"] = {"EndpointsConfig": {network: {"Aliases": aliases}}}
    host |= dns(pod, resolver)
    bindings: Json = {}
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        if published:
            loopback = [{"HostIp": "127.0.0.1", "HostPort": ""}]
            bindings |= {f"{number}/tcp": loopback for number in _tcp_ports(container) if f"{number}/tcp" not in bindings}
        for port in container.get("ports") or []:
            if port.get("hostPort"):
                name = f"{port['containerPort']}/{port.get('protocol', 'TCP').lower()}"
                bindings[name] = [{"HostIp": host_address(port), "HostPort": str(port["hostPort"])}]
    config["ExposedPorts"] = {name: {} for name in bindings}
    host["PortBindings"] = bindings
    return config


def host_address(port: Json) -> str:
    """Where a hostPort is bound: an address of this machine's loopback, whatever the manifest says.

    Kubernetes' default is all addresses of the node; here that is the developer's machine, and its network must not reach
    the Pods. Other addresses of the loopback (127.0.0.2, ::1) are taken as they are.
    """
    asked = str(port.get("hostIP") or "")
    try:
        return asked if ip_address(asked).is_loopback else "127.0.0.1"
    except ValueError:
        return "127.0.0.1"


def _tcp_ports(container: Json) -> set[int]:
    """The ports that a container declares, and those that its probes and hooks name by number."""
    hooks = (container.get("lifecycle") or {}).values()
    actions = [*hooks, *(container.get(f"{kind}Probe") or {} for kind in ("startup", "readiness", "liveness"))]
    asked = [(action.get(way) or {}).get("port") for action in actions for way in ("httpGet", "tcpSocket")]
    declared = [port["containerPort"] for port in container.get("ports") or [] if port.get("protocol", "TCP") == "TCP"]
    return {int(port) for port in [*declared, *asked] if str(port).isdigit()}


def dns(pod: Json, resolver: str) -> Json:
    """Name server, search domains (so that `web` means the Service of the Pod's own namespace), and options.

    Without a `resolver` ndots is 1, not Kubernetes' 5: the engine's DNS knows `web.shop` as it is written, and names of the
    internet would be asked for under every search domain first, each a time-out on a machine without network.
    """
    own = pod["spec"].get("dnsConfig") or {}
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    namespace = pod["metadata"]["namespace"]
    search = [f"{namespace}.svc.{CLUSTER_DOMAIN}", f"svc.{CLUSTER_DOMAIN}", CLUSTER_DOMAIN]
    servers = [resolver] if resolver else []
    if policy in ("Default", "None"):
        search, servers = [], []
    options = [
        f"{option['name']}:{option['value']}" if option.get("value") else option["name"]
        for option in own.get("options") or []
    ]
    if not any(option.startswith("ndots") for option in options):
        options.append("ndots:5" if servers else "ndots:1")
    result: Json = {"DnsSearch": search + (own.get("searches") or []), "DnsOptions": options}
    if servers or own.get("nameservers"):
        result["Dns"] = servers + (own.get("nameservers") or [])
    return result


def container_config(
    pod: Json,
    container: Json,
    *,
    image: Json,
    variables: dict[str, str],
    sandbox: str,
    labels: dict[str, str],
    mounts: tuple[list[Json], list[str]],
) -> Json:
    """One container of the Pod, in the sandbox's namespaces. Raises ConfigurationError for what can never run."""
    spec = pod["spec"]
    joined = f"container:{sandbox}"
    host: Json = {
        "NetworkMode": joined,
        "IpcMode": "host" if spec.get("hostIPC") else joined,
        "LogConfig": LOGS,
        "Mounts": mounts[0],
        "Binds": mounts[1],
        **resources(container),
        **_security(spec, container),
    }
    if spec.get("hostPID"):
        host["PidMode"] = "host"
    elif spec.get("shareProcessNamespace"):
        host["PidMode"] = joined
    config: Json = {
        "Image": container["image"],
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Labels": labels,
        "Healthcheck": {"Test": ["NONE"]},  # Kubernetes has probes and ignores the image's HEALTHCHECK
        "Tty": bool(container.get("tty")),
        "OpenStdin": bool(container.get("stdin")),
        "StdinOnce": bool(container.get("stdinOnce")),
        "HostConfig": host,
    }
    if command := container.get("command"):
        config["Entrypoint"] = [expand(word, variables) for word in command]
    if arguments := container.get("args"):
        config["Cmd"] = [expand(word, variables) for word in arguments]
    if not command and not arguments and not _runs_something(image):
        raise ConfigurationError("no command specified: neither the image nor the Pod says what to run")
    if container.get("workingDir"):
        config["WorkingDir"] = container["workingDir"]
    if (user := _user(spec, container, image)) is not None:
        config["User"] = user
    return config


def _runs_something(image: Json) -> bool:
    config = image.get("Config") or {}
    return bool(config.get("Entrypoint") or config.get("Cmd"))


def _effective(spec: Json, container: Json, key: str) -> Any:
    """A securityContext field: the container's, else the Pod's."""
    for context in (container.get("securityContext") or {}, spec.get("securityContext") or {}):
        if context.get(key) is not None:
            return context[key]
    return None


def _user(spec: Json, container: Json, image: Json) -> str | None:
    user, group = _effective(spec, container, "runAsUser"), _effective(spec, container, "runAsGroup")
    if _effective(spec, container, "runAsNonRoot"):
        own = str((image.get("Config") or {}).get("User") or "0").split(":")[0]
        effective = own if user is None else str(user)
        if effective in ("0", "root"):
            raise ConfigurationError("container has runAsNonRoot and image will run as root")
        if not effective.isdigit():
            raise ConfigurationError(
                f"container has runAsNonRoot and image has non-numeric user ({effective}), cannot verify user is non-root"
            )
    if user is None and group is None:
        return None
    name = str((image.get("Config") or {}).get("User") or "0").split(":")[0] if user is None else str(user)
    return name if group is None else f"{name}:{group}"


def _security(spec: Json, container: Json) -> Json:
    own = container.get("securityContext") or {}
    whole = spec.get("securityContext") or {}
    result: Json = {}
    if own.get("privileged"):
        result["Privileged"] = True
    if own.get("readOnlyRootFilesystem"):
        result["ReadonlyRootfs"] = True
    if own.get("allowPrivilegeEscalation") is False:
        result["SecurityOpt"] = ["no-new-privileges:true"]
    capabilities = own.get("capabilities") or {}
    result |= {key: capabilities[name] for key, name in (("CapAdd", "add"), ("CapDrop", "drop")) if capabilities.get(name)}
    groups = [*(whole.get("supplementalGroups") or []), *([whole["fsGroup"]] if whole.get("fsGroup") else [])]
    if groups:
        result["GroupAdd"] = [str(group) for group in groups]
    return result


def resources(container: Json) -> Json:
    """Limits as the engine knows them: bytes of memory, billionths of a core, and shares for the CPU request."""
    result: Json = {}
    if memory := quantity.amount(container, "limits", "memory"):
        result["Memory"] = max(int(memory), 6 * 2**20)  # the engine's own least
    if cpu := quantity.amount(container, "limits", "cpu"):
        result["NanoCpus"] = int(cpu * 10**9)
    if request := quantity.amount(container, "requests", "cpu"):
        result["CpuShares"] = max(2, int(request * 1024))
    return result
