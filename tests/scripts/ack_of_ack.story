# W-20: a frame with only an ACK or padding wants no acknowledgement.
host pings
expect : PING
peer sends : ACK 1
expect taken
peer sends : PADDING, PADDING
expect taken
expect nothing for 1s
