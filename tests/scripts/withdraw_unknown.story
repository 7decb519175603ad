# W-18, W-28: the withdrawal of a message that never came uses its number up and is answered; the message itself,
# arriving late, is a repetition.
peer sends packet 2 : WITHDRAW 1.1
expect within 80us : ACK 2, RESULT 1.1 settled released failed cancelled
peer sends packet 1 : MESSAGE 1.1 bytes 10
expect taken
expect within 80us : ACK 1-2
