# W-34: a handle that is defined as two things closes the session.
peer sends : MESSAGE 1.1 by one as 1
expect event MESSAGE 1.1
peer sends : MESSAGE 2.1 by two as 1
expect dropped malformed
expect event CLOSED
expect : CLOSE bad_message
