# W-20, W-21: every ACK repeats all that the window knows, newest first; a gap is told at once.
peer sends packet 1 : PING
peer sends packet 2 : PING
peer sends packet 5 : PING
expect : ACK 5+1-2
peer sends packet 9 : PING
expect : ACK 9+5+1-2
peer sends packet 4 : PING
expect : ACK 9+4-5+1-2
