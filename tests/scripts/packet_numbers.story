# W-4: a number that was taken in is dropped, and so is every one more than 8,127 below the newest;
# one that was damaged was never taken in, and may come again.
peer sends packet 1 : PING
expect taken
peer sends packet 1 : PING
expect dropped duplicate
peer sends packet 2 damaged : PING
expect dropped bad
peer sends packet 2 : PING
expect taken
expect within 80us : ACK 1-2
peer sends packet 9000 : PING
expect taken
peer sends packet 872 : PING
expect dropped old
peer sends packet 873 : PING
expect taken
expect within 80us : ACK 9000+873
