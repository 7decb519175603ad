# W-18, W-28: who withdraws what never came says who it was: that is told once, whatever else comes of it.
peer sends packet 2 : WITHDRAW-NAMED 1.1 by a sequence 7 after 4
expect event NEVER-CAME sequence 7 after 4
expect within 80us : ACK 2, RESULT 1.1 settled released failed cancelled
peer sends packet 3 : WITHDRAW-NAMED 1.1 by a sequence 7 after 4
expect within 80us : ACK 2-3
peer sends packet 1 : MESSAGE 1.1 bytes 10
expect taken
expect within 80us : ACK 1-3
# What did come is told as any that is withdrawn.
peer sends packet 4 : MESSAGE 2.1 bytes 10 sequence 8 after 7
expect event MESSAGE 2.1 bytes 10
peer sends packet 5 : WITHDRAW-NAMED 2.1 by a sequence 8 after 7
expect event WITHDRAWN 2.1
