/* Send one message by key and say how it ended: hello_send [KEY [TEXT]] */
#include <stdio.h>
#include <string.h>

#include "ipc/ringwire.h"

int main(int count, char **words) {
  const char *key = count > 1 ? words[1] : "greeting";
  const char *text = count > 2 ? words[2] : "hello, ring";
  rw_client *client = NULL;
  rw_channel *channel = NULL;
  rw_ticket ticket = 0;
  rw_outcome outcome;
  const rw_target target = rw_target_key(key, strlen(key));
  if (rw_client_open(NULL, &client) != RW_OK || rw_channel_open(client, NULL, &channel) != RW_OK ||
      rw_send(channel, &target, text, strlen(text), NULL, &ticket) != RW_OK ||
      rw_wait(channel, ticket, RW_WAIT_FOREVER, &outcome) != RW_OK) {
    fprintf(stderr, "hello_send: %s\n", rw_last_error());
    rw_client_close(client);
    return 1;
  }
  printf("%s at %s (%s)\n", rw_ending_name(outcome.ending), outcome.node,
         rw_reason_name(outcome.reason));
  rw_client_close(client); /* closes the channel too */
  return outcome.ending == RW_ENDING_DONE ? 0 : 1;
}
