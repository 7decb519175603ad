# W-17: a message whose header breaks a rule ends at its sender, and is never sent.
host sends a bytes 10 flags 512
expect event RESULT a failed bad_message
host sends b bytes 10 key 1025
expect event RESULT b failed bad_message
expect nothing for 1s
