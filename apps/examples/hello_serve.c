/* Receive messages of this server node and print them: hello_serve [COUNT] */
#include <stdio.h>
#include <stdlib.h>

#include "ipc/ringwire.h"

int main(int count, char **words) {
  long left = count > 1 ? atol(words[1]) : -1; /* negative: until it is killed */
  rw_client *client = NULL;
  rw_channel *channel = NULL;
  rw_message *message = NULL;
  int result = rw_client_open(NULL, &client);
  if (result == RW_OK) result = rw_channel_open(client, NULL, &channel);
  if (result == RW_OK) result = rw_serve(channel, NULL);
  while (result == RW_OK && left-- != 0) {
    result = rw_receive(channel, RW_WAIT_FOREVER, &message);
    if (result != RW_OK) break;
    size_t key_bytes = 0;
    const char *key = rw_message_key(message, &key_bytes);
    printf("%.*s: %.*s\n", (int)key_bytes, key, (int)rw_message_bytes(message),
           (const char *)rw_message_data(message));
    fflush(stdout);
    result = rw_release(channel, message, RW_DONE); /* only now it is processed */
  }
  if (result != RW_OK) fprintf(stderr, "hello_serve: %s\n", rw_last_error());
  rw_client_close(client);
  return result == RW_OK ? 0 : 1;
}
