"""Text -> Config. Pure: no files, no processes, no sockets; whoever calls reads the text and asks the questions."""
