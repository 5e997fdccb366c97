#!/bin/sh
# Prints the greeting once a second.

# The first process of a container ignores SIGTERM unless it says otherwise: stopping it would take 30 seconds.
trap 'exit 0' TERM INT

while true; do
    cat /app/greeting.txt
    # A shell takes a signal only between two commands, so it must not wait for sleep itself.
    sleep 1 &
    wait $!
done
