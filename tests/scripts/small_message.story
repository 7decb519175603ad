# W-12, W-13, W-20, W-27: a small message arrives whole in one frame; its result says that it is
# settled and released in one; the acknowledgement rides along.
peer sends packet 1 : MESSAGE 1.1 bytes 100 to echo key 8
expect event MESSAGE 1.1 bytes 100 to echo
after 20us host settles 1.1 done
host releases 1.1
expect : ACK 1, RESULT 1.1 settled released done
