/* Ask by key and print the reply: call [KEY [QUESTION]] */
#include <stdio.h>
#include <string.h>

#include "ipc/ringwire.h"

int main(int count, char **words) {
  const char *key = count > 1 ? words[1] : "question";
  const char *text = count > 2 ? words[2] : "who is there?";
  rw_client *client = NULL;
  rw_channel *channel = NULL;
  rw_message *reply = NULL;
  const rw_target target = rw_target_key(key, strlen(key));
  rw_send_options options = RW_OPTIONS(rw_send_options);
  options.timeout_ns = 10LL * 1000 * 1000 * 1000; /* of the request, wherever it is */
  int result = rw_client_open(NULL, &client);
  if (result == RW_OK) result = rw_channel_open(client, NULL, &channel);
  if (result == RW_OK)
    result = rw_call(channel, &target, text, strlen(text), &options, &reply, NULL);
  if (result == RW_OK) {
    printf("%.*s\n", (int)rw_message_bytes(reply), (const char *)rw_message_data(reply));
    result = rw_release(channel, reply, RW_DONE);
  }
  if (result != RW_OK) fprintf(stderr, "call: %s: %s\n", rw_error_name(result), rw_last_error());
  rw_client_close(client);
  return result == RW_OK ? 0 : 1;
}
