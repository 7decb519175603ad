# W-19: a small message of level none ends when its packet is acknowledged.
host sends a bytes 10 level none
expect : MESSAGE 0.1 bytes 10
peer sends : ACK 1
expect event SENT a
expect nothing for 1s
