# W-14: a fragment of an announced message before its grant closes the session.
peer sends : ANNOUNCE 1.1 bytes 70000
expect event ANNOUNCED 1.1 bytes 70000
peer sends : FRAGMENT 1.1 #0
expect dropped malformed
expect event CLOSED
expect : CLOSE bad_message
