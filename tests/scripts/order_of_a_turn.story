# W-45: within a turn go acknowledgement, ping, results, withdrawals, then messages by priority.
host sends w bytes 10
expect : MESSAGE 0.1
peer sends : MESSAGE 1.1 bytes 10
expect event MESSAGE 1.1
host settles 1.1 done
host releases 1.1
host withdraws w
host sends low bytes 10
host sends high bytes 10 priority 1
host pings
expect : ACK 1, PING, RESULT 1.1, WITHDRAW-NAMED 0.1, MESSAGE sequence 3, MESSAGE sequence 2
peer sends : ACK 1-2, RESULT 0.1 settled released failed cancelled, RESULT 1.1 settled released done, RESULT 2.1 settled released done
expect event RESULT w failed cancelled
expect event RESULT
expect event RESULT
expect within 80us : ACK 1-2
