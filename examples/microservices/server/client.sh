# To be read by a shell script (". client.sh"): how to ask the quotes server.

# quote ADDRESS: prints the quote that the server at ADDRESS (host:port) has now.
quote() {
    # Not `wget -T 2`: Debian's busybox-static (1.35) dies of that option by SIGSEGV.
    timeout 2 wget -q -O - "http://$1/quote.txt"
}
