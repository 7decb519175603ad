# W-23: a fragment that overtakes its OPEN is dropped as "not yet": it is not acknowledged, so that it comes again.
peer sends packet 2 : FRAGMENT 1.1 #0 bytes 1152
expect dropped early
expect nothing for 1ms
peer sends packet 1 : OPEN 1.1 bytes 1152
expect event OPEN 1.1 bytes 1152
host accepts 1.1
expect within 80us : ACK 1
peer sends packet 3 : FRAGMENT 1.1 #0 bytes 1152
expect event COMPLETE 1.1 intact
expect within 80us : ACK 3+1
