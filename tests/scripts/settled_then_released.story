# W-27: the result may come in two parts: settled first, released later.
peer sends packet 1 : MESSAGE 1.1 bytes 10
expect event MESSAGE 1.1 bytes 10
host settles 1.1 done
expect : ACK 1, RESULT 1.1 settled done
after 1ms host releases 1.1
expect : RESULT 1.1 settled released done
