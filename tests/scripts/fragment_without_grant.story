# W-14: a fragment of an announced message before its grant closes the session, unless it is one of the first 128 KiB:
# those are dropped as "not yet" as long as there is no memory for them.
peer sends : ANNOUNCE 1.1 bytes 200000
expect event ANNOUNCED 1.1 bytes 200000
expect within 80us : ACK 1
peer sends : FRAGMENT 1.1 #0
expect dropped early
peer sends : FRAGMENT 1.1 #112
expect dropped early
peer sends : FRAGMENT 1.1 #113
expect dropped malformed
expect event CLOSED
expect : CLOSE bad_message
