# W-18: the withdrawal of a message that a host holds is told to it; its result ends the message.
peer sends : MESSAGE 1.1 bytes 10
expect event MESSAGE 1.1 bytes 10
peer sends : WITHDRAW 1.1
expect event WITHDRAWN 1.1
expect within 80us : ACK 1-2
host settles 1.1 done
host releases 1.1
expect : RESULT 1.1 settled released done
