# W-19: a longer one of level none ends by the RESULT that its receiver's transport gives when all has arrived.
peer sends : OPEN 1.1 bytes 1152 level none
expect event OPEN 1.1 bytes 1152
host accepts 1.1
peer sends : FRAGMENT 1.1 #0 bytes 1152
expect event COMPLETE 1.1 intact
expect : ACK 1-2, RESULT 1.1 settled done
