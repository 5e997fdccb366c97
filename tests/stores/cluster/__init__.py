"""The cluster store: kubeconfig, HTTP, and the contract that fake and real clusters keep."""
