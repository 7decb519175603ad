# W-28: what is known to have arrived is withdrawn by its number alone, and so is what nobody may wait for.
host sends a bytes 10
expect packet 1 : MESSAGE 0.1 bytes 10
peer sends : ACK 1
host withdraws a
expect packet 2 : WITHDRAW 0.1
host sends b bytes 10 flags 1
expect packet 3 : MESSAGE 1.1 bytes 10
host withdraws b
expect packet 4 : WITHDRAW 1.1
