# W-11: a repetition is ignored, also after its release; a newer generation of the same slot is a new message,
# but only after the older one was released: before, it closes the session.
peer sends : MESSAGE 3.1 bytes 5
expect event MESSAGE 3.1 bytes 5
peer sends : MESSAGE 3.1 bytes 5
expect taken
host settles 3.1 done
host releases 3.1
expect within 10us : ACK 1-2, RESULT 3.1 settled released done
peer sends : MESSAGE 3.1 bytes 5, ACK 1
expect taken
peer sends : MESSAGE 3.2 bytes 6
expect event MESSAGE 3.2 bytes 6
expect within 80us : ACK 1-4
peer sends : MESSAGE 3.3 bytes 7
expect dropped malformed
expect event CLOSED
expect : CLOSE bad_message
