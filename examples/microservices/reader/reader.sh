#!/bin/sh
# Asks the server for its quote once a second, by the name of its Service.
. /app/client.sh

# The first process of a container ignores SIGTERM unless it says otherwise: stopping it would take 30 seconds.
trap 'exit 0' TERM INT

while true; do
    if answer=$(quote "$SERVER_ADDRESS"); then
        echo "The server says: $answer"
    else
        echo "No answer from $SERVER_ADDRESS yet"
    fi
    # A shell takes a signal only between two commands, so it must not wait for sleep itself.
    sleep 1 &
    wait $!
done
