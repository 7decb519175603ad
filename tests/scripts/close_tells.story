# W-29: who closes says so once.
host pings
expect : PING
host closes
expect : CLOSE shutdown
expect nothing for 1s
