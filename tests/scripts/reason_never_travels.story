# W-27: that a session was lost is never told by a peer.
host sends a bytes 10
expect : MESSAGE 0.1
peer sends : RESULT 0.1 settled unknown session_lost
expect dropped malformed
expect event CLOSED
expect event RESULT a unknown session_lost
expect : CLOSE bad_message
