/* Answer requests with their own text and this node's name: answer [COUNT] */
#include <stdio.h>
#include <stdlib.h>

#include "ipc/ringwire.h"

int main(int count, char **words) {
  long left = count > 1 ? atol(words[1]) : -1; /* negative: until it is killed */
  rw_client *client = NULL;
  rw_channel *channel = NULL;
  rw_message *request = NULL;
  rw_status_t status = RW_OPTIONS(rw_status_t);
  char text[4096];
  int result = rw_client_open(NULL, &client);
  if (result == RW_OK) result = rw_status(client, &status);
  if (result == RW_OK) result = rw_channel_open(client, NULL, &channel);
  if (result == RW_OK) result = rw_serve(channel, NULL);
  while (result == RW_OK && left-- != 0) {
    result = rw_receive(channel, RW_WAIT_FOREVER, &request);
    if (result != RW_OK) break;
    int bytes = snprintf(text, sizeof text, "%s says: %.*s", status.node,
                         (int)rw_message_bytes(request), (const char *)rw_message_data(request));
    if (bytes >= (int)sizeof text) bytes = (int)sizeof text - 1;
    if (rw_message_flags(request) & RW_FLAG_CALL)
      result = rw_reply(channel, request, text, (size_t)bytes, NULL, NULL);
    if (result == RW_ESTALE) result = RW_OK; /* the engine went away meanwhile: asked again */
    const int released = rw_release(channel, request, RW_DONE);
    if (result == RW_OK) result = released;
  }
  if (result != RW_OK) fprintf(stderr, "answer: %s\n", rw_last_error());
  rw_client_close(client);
  return result == RW_OK ? 0 : 1;
}
