"""The node: Pods as containers on the Docker Engine.

A Pod is a sandbox container (the 129-byte program of `pause`), which holds its network and its volumes, and one container
for each container of the manifest, joined to it. All of them carry the label `dev.kfold.sandbox=NAME`.
"""

from kfold.sandbox.kubelet.cleaning import clean
from kfold.sandbox.kubelet.engine import Engine, EngineError, socket_path
from kfold.sandbox.kubelet.kubelet import NODE, Kubelet, prepare
from kfold.sandbox.kubelet.logs import LogOptions

__all__ = ["NODE", "Engine", "EngineError", "Kubelet", "LogOptions", "clean", "prepare", "socket_path"]
