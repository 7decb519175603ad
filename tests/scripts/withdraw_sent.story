# W-18, W-28: a withdrawal is repeated when it was lost, until a RESULT has come; then never again. It names the
# message by its identity, for its header was not acknowledged.
host sends a bytes 10
expect packet 1 : MESSAGE 0.1 bytes 10
host withdraws a
expect packet 2 : WITHDRAW-NAMED 0.1 sequence 1 after 0
expect within 20ms packet 3 : WITHDRAW-NAMED 0.1 sequence 1 after 0
peer sends : RESULT 0.1 settled released failed cancelled, ACK 3
expect event RESULT a failed cancelled
expect within 80us : ACK 1
expect nothing for 1s
