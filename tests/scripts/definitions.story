# W-30, W-31, W-32: attachment and service are defined with each message until a packet that named them
# was acknowledged; then the handles alone go.
host sends a bytes 10 to echo level none
expect packet 1 : MESSAGE 0.1 as 1 to echo as 1
host sends b bytes 10 to echo level none
expect packet 2 : MESSAGE 1.1 as 1 to echo as 1
peer sends : ACK 1-2
expect event SENT a
expect event SENT b
host sends c bytes 10 to echo level none
expect packet 3 : MESSAGE by-handle 1 to-handle 1
peer sends : ACK 1-3
expect event SENT c
