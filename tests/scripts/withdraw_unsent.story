# W-18: a message of which nothing was put into a packet just ends.
session queue 65536
host sends a bytes 10
host withdraws a
expect event RESULT a failed cancelled
expect nothing for 1s
