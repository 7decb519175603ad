# W-2: datagrams of any length and content are no frames: dropped, counted, nothing else changes.
# (Empty, one byte, a byte too short, another version, kind 0, kind 3, flags, reserved bits, packet
# number 0 and 2^62, and 64 KiB of zeros.) W-62: each is counted as bad.
peer sends raw
expect dropped bad
peer sends raw 11
expect dropped bad
peer sends raw zeros 35
expect dropped bad
peer sends raw zeros 36
expect dropped bad
peer sends raw 21 0 0 0  b 0 0 0 0 0 0 0  1 0 0 0 0 0 0 0  0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
expect dropped bad
peer sends raw 10 0 0 0  b 0 0 0 0 0 0 0  1 0 0 0 0 0 0 0  0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
expect dropped bad
peer sends raw 13 0 0 0  b 0 0 0 0 0 0 0  1 0 0 0 0 0 0 0  0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
expect dropped bad
peer sends raw 11 1 0 0  b 0 0 0 0 0 0 0  1 0 0 0 0 0 0 0  0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
expect dropped bad
peer sends raw 11 0 1 0  b 0 0 0 0 0 0 0  1 0 0 0 0 0 0 0  0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
expect dropped bad
peer sends raw zeros 65507
expect dropped bad
peer sends packet 0 : PING
expect dropped bad
peer sends packet 4611686018427387904 : PING
expect dropped bad
expect nothing for 1s
expect open
