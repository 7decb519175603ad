# W-40, W-41: 128 KiB of payload may be open in a class before any CREDIT; one byte more closes the session.
peer sends : OPEN 1.1 bytes 65536
expect event OPEN 1.1
peer sends : OPEN 2.1 bytes 65536
expect event OPEN 2.1
peer sends : OPEN 3.1 bytes 1
expect dropped malformed
expect event CLOSED
expect : CLOSE bad_message
