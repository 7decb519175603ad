# W-22, W-23: three packets later acknowledged, one is lost: what was in it goes in a new packet.
host sends a bytes 10 level none
expect packet 1 : MESSAGE 0.1
host pings
expect packet 2 : PING
host pings
expect packet 3 : PING
host pings
expect packet 4 : PING
peer sends : ACK 2-4
expect packet 5 : MESSAGE 0.1 bytes 10
peer sends : ACK 5
expect event SENT a
expect nothing for 1s
