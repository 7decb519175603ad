# W-52: with the first time-out the content is repeated, with every later one a PING goes; the session never gives up.
host sends a bytes 10 level none
expect packet 1 : MESSAGE 0.1
expect within 20ms packet 2 : MESSAGE 0.1
expect within 40ms packet 3 : PING
expect within 40ms packet 4 : PING
peer sends : ACK 2
expect event SENT a
