"""The outside world behind small interfaces: engine, node, registry, cluster, host, and fakes of them."""
