# W-25, W-42: a CREDIT widens the window; one with less was overtaken and takes nothing away.
session slots 128
host sends a bytes 10 to s
host sends b bytes 10 to s : no-credit
expect : MESSAGE to s as 1
peer sends : CREDIT 1 messages 3 bytes 131072, ACK 1
expect event CREDIT
peer sends : CREDIT 1 messages 1 bytes 131072
host sends b bytes 10 to s
host sends c bytes 10 to s
host sends d bytes 10 to s : no-credit
expect : ACK 1-2, MESSAGE, MESSAGE
peer sends : RESULT 0.1 settled released done, RESULT 1.1 settled released done, RESULT 2.1 settled released done, ACK 1-2
expect event RESULT a done
expect event RESULT b done
expect event RESULT c done
expect event CREDIT
expect within 80us : ACK 1-3
