# W-24: a grant beyond a message's end closes the session.
session queue 2400
host sends a bytes 70000
expect : ANNOUNCE 0.1 bytes 70000
expect : FRAGMENT 0.1 #0 bytes 1152
peer sends : GRANT 0.1 62
expect dropped malformed
expect event CLOSED
expect event RESULT a unknown session_lost
expect : CLOSE bad_message
