# W-44: replies need no credit.
session slots 128
host sends a bytes 10 to s
host sends b bytes 10 to s : no-credit
host sends r bytes 10 reply
host sends q bytes 10 reply
expect : MESSAGE, MESSAGE flags 4, MESSAGE flags 4
peer sends : RESULT 0.1 settled released done, RESULT 1.1 settled released done, RESULT 2.1 settled released done, ACK 1
expect event RESULT a done
expect event RESULT r done
expect event RESULT q done
expect event CREDIT
expect within 80us : ACK 1
