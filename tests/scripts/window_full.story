# W-50, W-51: bytes in flight never exceed what the peer's port announced; acknowledgements go beside it.
session queue 4096
host sends a bytes 60000
expect : OPEN 0.1 bytes 60000
expect : FRAGMENT 0.1 #0
expect : FRAGMENT 0.1 #1
expect : FRAGMENT 0.1 #2
expect in-flight 4096
expect nothing
peer sends : PING
expect within 80us : ACK 1
expect nothing
