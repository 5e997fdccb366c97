"""Facts as real products give them, recorded from `kubectl get nodes -o json`, `docker ps` and `docker info`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kfold.targets.evidence import Evidence, Node, NodeContainer, Profile

LOCAL = "https://127.0.0.1:40123"
FAR = "https://34.90.1.2"

DEBIAN = "Debian GNU/Linux 12 (bookworm)"
KIND = Node("dev-control-plane", "kind://docker/dev/dev-control-plane", "containerd://1.7.18", DEBIAN)
KIND_WORKER = replace(KIND, name="dev-worker", provider="kind://docker/dev/dev-worker")
DESKTOP_KIND = Node("desktop-control-plane", "kind://docker/desktop/desktop-control-plane", "containerd://2.0.2")
K3S_LABEL = {"node.kubernetes.io/instance-type": "k3s"}
K3D = Node("k3d-dev-server-0", "k3s://k3d-dev-server-0", "containerd://1.7.17-k3s1", "K3s v1.30.2+k3s1", K3S_LABEL)
K3S = Node("workstation", "k3s://workstation", "containerd://1.7.17-k3s1", "Ubuntu 24.04 LTS", K3S_LABEL)
K3S_DOCKER = replace(K3S, runtime="docker://27.0.3")
RANCHER = Node(
    "lima-rancher-desktop", "k3s://lima-rancher-desktop", "docker://26.1.5", "Alpine Linux v3.20", K3S_LABEL
)
RANCHER_CONTAINERD = replace(RANCHER, runtime="containerd://1.7.17")
COLIMA = Node("colima", "k3s://colima", "docker://27.1.1", "Ubuntu 24.04 LTS", K3S_LABEL)
ORBSTACK = Node("orbstack", "", "docker://27.3.1", "OrbStack")
DOCKER_DESKTOP = Node("docker-desktop", "", "docker://27.2.0", "Docker Desktop")
MINIKUBE = Node("minikube", "", "docker://27.2.0", "Ubuntu 22.04.4 LTS", {"minikube.k8s.io/name": "minikube"})
MINIKUBE_OTHER = replace(MINIKUBE, name="p2", labels={"minikube.k8s.io/name": "p2"})
MINIKUBE_CONTAINERD = replace(MINIKUBE, runtime="containerd://1.7.21")
MICROK8S = Node("laptop", "", "containerd://1.6.28", "Ubuntu 22.04.4 LTS", {"microk8s.io/cluster": "true"})
SANDBOX = Node("kfold-sandbox", "kfold-sandbox://default-1a2b3c4d", "docker://28.0.1", DEBIAN)
GKE = Node("gke-a", "gce://project/europe-west4-a/gke-a", "containerd://1.7.19", "Container-Optimized OS from Google")
EKS = Node("ip-10-0-0-1", "aws:///eu-west-1a/i-0123456789", "containerd://1.7.11", "Amazon Linux 2023")
BARE = Node("node1", "", "containerd://1.7.13", "Ubuntu 22.04.4 LTS")
BARE_DOCKER = Node("node1", "", "docker://24.0.7", "Ubuntu 22.04.4 LTS")

KIND_CONTAINER = NodeContainer("dev-control-plane", "kind", "dev", 40123)
K3D_CONTAINER = NodeContainer("k3d-dev-serverlb", "k3d", "dev", 40123)
PROFILE = Profile("p2", "its certificate authority lies in /home/me/.minikube", "docker", "kvm2")


def evidence(context: str, **more: Any) -> Evidence:
    """What is known of a context; nothing but its name, as long as nothing more is said."""
    return Evidence(**{"context": context, "cluster": context, "server": FAR, "namespace": "default",
                       "kubeconfig": ("/home/me/.kube/config",), **more})  # fmt: skip
