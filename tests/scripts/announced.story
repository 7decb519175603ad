# W-13, W-14, W-24: a message above 64 KiB is announced; no fragment may come before the grant, which follows the
# reservation of the whole size.
peer sends : ANNOUNCE 1.1 bytes 70000
expect event ANNOUNCED 1.1 bytes 70000
expect within 80us : ACK 1
after 5ms host accepts 1.1
expect : GRANT 1.1 61
peer sends : FRAGMENT 1.1 #60 bytes 880
expect taken
expect within 80us : ACK 1-2
