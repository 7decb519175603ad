# W-24: a grant beyond a message's end closes the session.
host sends a bytes 70000
expect : ANNOUNCE 0.1 bytes 70000
peer sends : GRANT 0.1 62
expect dropped malformed
expect event CLOSED
expect event RESULT a unknown session_lost
expect : CLOSE bad_message
