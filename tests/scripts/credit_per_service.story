# W-40, W-41: a sender stops at the window of a service (of 128 slots: one message); another service has its own credit.
session slots 128
host sends a bytes 10 to stuck
host sends b bytes 10 to stuck : no-credit
host sends c bytes 10 to other
expect : MESSAGE to stuck as 1, MESSAGE to other as 2
peer sends : ACK 1, RESULT 0.1 settled released done
expect event RESULT a done
expect event CREDIT
host sends d bytes 10 to stuck
expect : ACK 1, MESSAGE
peer sends : RESULT 1.1 settled released done, RESULT 0.2 settled released done, ACK 2
expect event RESULT
expect event RESULT
expect within 80us : ACK 1-2
