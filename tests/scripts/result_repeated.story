# W-23, W-27, W-52: a result whose packet is not acknowledged is repeated with a time-out, in a new packet, until
# it is.
peer sends packet 1 : MESSAGE 1.1 bytes 10
expect event MESSAGE 1.1 bytes 10
host settles 1.1 done
host releases 1.1
expect packet 1 : ACK 1, RESULT 1.1 settled released done
expect within 10ms packet 2 : RESULT 1.1 settled released done
peer sends packet 2 : ACK 2
expect nothing for 1s
