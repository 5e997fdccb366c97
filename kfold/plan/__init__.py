"""Config + Facts -> Plan: steps, their order, their reverse, and why. Pure: no files, no processes, no sockets."""
