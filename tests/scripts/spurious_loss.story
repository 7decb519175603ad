# W-22: a packet that was declared lost and is acknowledged later shows reordering: from then on three packets
# are not enough.
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
peer sends : ACK 1-5
expect event SENT a
host sends b bytes 10 level none
expect packet 6 : MESSAGE
host pings
expect packet 7 : PING
host pings
expect packet 8 : PING
host pings
expect packet 9 : PING
peer sends : ACK 7-9+1-5
expect nothing
peer sends : ACK 1-9
expect event SENT b
expect nothing for 1s
