# W-32, W-34: a service's handle that was never defined closes the session.
peer sends : MESSAGE 1.1 to-handle 5
expect dropped malformed
expect event CLOSED
expect : CLOSE bad_message
