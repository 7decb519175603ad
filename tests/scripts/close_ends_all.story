# W-29: a CLOSE ends the session and every open message; it is not answered.
host sends a bytes 10
expect : MESSAGE 0.1
peer sends : CLOSE shutdown
expect taken
expect event CLOSED
expect event RESULT a unknown session_lost
expect closed
host sends b bytes 10 : closed
expect nothing for 1s
