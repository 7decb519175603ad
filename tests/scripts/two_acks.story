# W-7: a frame holds at most one ACK; the second closes the session.
host pings
expect : PING
peer sends : ACK 1, ACK 1
expect dropped malformed
expect event CLOSED
expect closed
expect : CLOSE bad_message
