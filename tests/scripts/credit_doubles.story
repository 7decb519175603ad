# W-43: a class that used its window and released as many messages as it holds gets it doubled.
session slots 128
peer sends : MESSAGE 1.1 bytes 10
expect event MESSAGE 1.1
host settles 1.1 done
host releases 1.1
expect : ACK 1, CREDIT 0 messages 2, RESULT 1.1 settled released done
peer sends : ACK 1
