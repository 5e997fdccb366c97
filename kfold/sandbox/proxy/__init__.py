"""The program in the sandbox's one Services container: cluster IPs that lead to ready Pods, and the cluster's DNS.

It does what kube-proxy and CoreDNS do, in user space, so nothing on this machine needs root: the container owns the whole
range of cluster IPs, and every Pod's name server. Standard library only, and nothing else of kfold: it runs by this
machine's own Python, mounted read-only, in a container that has nothing besides. What it is to do comes as tables, one JSON
document a line on stdin, each whole; what became of each is said in one line on stdout. It keeps its last table when stdin
is left alone, so Services work on while the sandbox's server is away.

A table:
    serial    echoed when the table has been applied
    forward   [{"protocol": "TCP"|"UDP", "address", "port", "targets": [[address, port], ...], "sticky": bool}, ...]
    names     {"web.shop.svc.cluster.local": [address, ...], ...}
    aliases   {"db.shop.svc.cluster.local": "db.example.org", ...}, of ExternalName Services
    services  {"_http._tcp.web.shop.svc.cluster.local": [[port, name], ...], ...}, for SRV questions
"""
