# W-21: the acknowledgement of a number that was never sent closes the session.
host pings
expect packet 1 : PING
peer sends : ACK 2
expect dropped malformed
expect event CLOSED
expect : CLOSE bad_message
