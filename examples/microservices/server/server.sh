#!/bin/sh
# Serves /www on port 8080.
httpd -f -p 8080 -h /www &
server=$!

# The first process of a container ignores SIGTERM unless it says otherwise: stopping it would take 30 seconds.
trap 'kill $server; exit 0' TERM INT

echo "quotes-server listens on port 8080"
wait $server
