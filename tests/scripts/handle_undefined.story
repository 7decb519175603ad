# W-34: a handle that was never defined closes the session.
peer sends : MESSAGE 1.1 by-handle 5
expect dropped malformed
expect event CLOSED
expect : CLOSE bad_message
