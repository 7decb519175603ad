# W-33, W-34: an index means another attachment with the next generation (2,048 + 1). A late message that names
# the older generation is dropped as "not yet".
peer sends : MESSAGE 1.1 by old as 1
expect event MESSAGE 1.1
peer sends : MESSAGE 2.1 by new as 2049
expect event MESSAGE 2.1
peer sends : MESSAGE 3.1 by-handle 1
expect dropped early
peer sends : MESSAGE 3.1 by-handle 2049
expect event MESSAGE 3.1
expect within 80us : ACK 4+1-2
