# W-24: a smaller grant than before was overtaken and is ignored: what it had let flow is still granted.
host sends a bytes 70000
expect : ANNOUNCE 0.1 bytes 70000
peer sends : GRANT 0.1 2, ACK 1
expect : FRAGMENT 0.1 #0 bytes 1152
expect : FRAGMENT 0.1 #1 bytes 1152
peer sends : GRANT 0.1 1, ACK 2-3
expect taken
peer sends : GRANT 0.1 3
expect : FRAGMENT 0.1 #2 bytes 1152
peer sends : RESULT 0.1 settled released failed no_memory, ACK 1-4
expect event RESULT a failed no_memory
expect within 80us : ACK 1-4
