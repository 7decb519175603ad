# W-5, W-6: a damaged fragment leaves nothing behind that counts; the right one is placed after it.
peer sends packet 1 : OPEN 1.1 bytes 1500
expect event OPEN 1.1 bytes 1500
host accepts 1.1
peer sends packet 2 damaged : FRAGMENT 1.1 #0 bytes 1152
expect dropped bad
peer sends packet 3 : FRAGMENT 1.1 #1 bytes 348
expect taken
expect within 80us : ACK 3+1
peer sends packet 4 : FRAGMENT 1.1 #0 bytes 1152
expect event COMPLETE 1.1 intact
expect within 80us : ACK 3-4+1
