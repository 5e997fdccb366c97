"""kfold: the developer loop for Kubernetes as a doit task graph, every step compiled with its reverse."""
