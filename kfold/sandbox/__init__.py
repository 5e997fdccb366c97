"""A Kubernetes API server on loopback whose Pods are containers on the local Docker Engine.

A development stand-in, and a program of its own (`python -m kfold.sandbox`): kfold reaches it through a kubeconfig,
as it reaches any cluster, and nothing else of kfold is imported here but `kfold.errors`.

What it does, it does as the real API server does: server-side apply with managedFields, resourceVersion and watch,
deletion with preconditions, finalizers and propagation. What it is not: it has one node, no authorization (one token,
which may do everything), no admission webhooks, no network policies, no schedulers or quotas, no etcd. It binds to
loopback only.
"""
