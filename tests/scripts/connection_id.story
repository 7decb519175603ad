# W-3: a frame with an unknown connection id is dropped before anything else is looked at.
peer sends to-connection 12 : PING
expect dropped bad
peer sends : PING
expect taken
expect within 80us : ACK 2
