# W-15: an opened message that is refused ends as failed with the reason, released; its fragments are ignored.
peer sends : ANNOUNCE 1.1 bytes 9000000000000
expect event ANNOUNCED 1.1 bytes 9000000000000
host refuses 1.1 too_large
expect : ACK 1, RESULT 1.1 settled released failed too_large
peer sends : FRAGMENT 1.1 #0
expect taken
expect within 80us : ACK 1-2
