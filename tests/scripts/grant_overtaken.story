# W-14, W-24: only one announced message goes ahead of its grant. A smaller grant than before was overtaken and is
# ignored: what it had let flow is still granted.
session queue 2400
host sends a bytes 70000
host sends b bytes 70000
expect : ANNOUNCE 0.1 bytes 70000, ANNOUNCE 1.1 bytes 70000
expect : FRAGMENT 0.1 #0 bytes 1152
peer sends : RESULT 0.1 settled released failed no_memory, ACK 1-2
expect event RESULT a failed no_memory
expect within 80us : ACK 1
peer sends : GRANT 1.1 2, ACK 1-3
expect : FRAGMENT 1.1 #0 bytes 1152
expect : FRAGMENT 1.1 #1 bytes 1152
peer sends : GRANT 1.1 1, ACK 1-5
expect taken
peer sends : GRANT 1.1 3
expect : FRAGMENT 1.1 #2 bytes 1152
peer sends : RESULT 1.1 settled released failed no_memory, ACK 1-6
expect event RESULT b failed no_memory
expect within 80us : ACK 1-5
