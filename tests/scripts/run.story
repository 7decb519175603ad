# W-70, W-75, W-76, W-77: a run arrives whole; each result tells all that is known of it; what was
# settled is not called back.
peer sends packet 1 : RUN 1.1 of 3 bytes 10
expect event RUN 1.1 of 3
after 20us host settles-of-run 1.1 1 done
host releases-of-run 1.1 1
expect : ACK 1, RUN-RESULT 1.1 settled 1 released 1
peer sends packet 2 : RUN-WITHDRAW 1.1 bits 3
expect event WITHDRAWN 1.1 bits 2
after 20us host settles-of-run 1.1 2 failed cancelled
host releases-of-run 1.1 2
expect : ACK 1-2, RUN-RESULT 1.1 settled 3 released 3 #1 failed cancelled
