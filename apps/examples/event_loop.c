/* Ringwire in an event loop: lines of standard input are sent, messages and outcomes are printed,
 * until standard input ends and everything sent has its outcome: event_loop [KEY] */
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ipc/ringwire.h"

/* Take everything that is there: only then the descriptor tells of what comes next. */
static int take_all(rw_channel *channel) {
  rw_message *message = NULL;
  rw_outcome outcomes[16];
  int result = 0;
  while ((result = rw_receive(channel, 0, &message)) == RW_OK) {
    printf("received: %.*s\n", (int)rw_message_bytes(message),
           (const char *)rw_message_data(message));
    rw_release(channel, message, RW_DONE);
  }
  if (result != RW_EAGAIN) return result;
  while ((result = rw_poll(channel, outcomes, 16)) > 0)
    for (int index = 0; index < result; ++index)
      printf("send %llu: %s\n", (unsigned long long)outcomes[index].ticket,
             rw_ending_name(outcomes[index].ending));
  fflush(stdout);
  return result;
}

int main(int count, char **words) {
  const char *key = count > 1 ? words[1] : "line";
  const rw_target target = rw_target_key(key, strlen(key));
  rw_client *client = NULL;
  rw_channel *channel = NULL;
  struct epoll_event event = {.events = EPOLLIN, .data = {.fd = STDIN_FILENO}};
  char line[4096];
  int reading = 1;
  int result = rw_client_open(NULL, &client);
  if (result == RW_OK) result = rw_channel_open(client, NULL, &channel);
  const int loop = epoll_create1(EPOLL_CLOEXEC);
  /* A regular file cannot be watched: it is always readable. */
  const int watched = epoll_ctl(loop, EPOLL_CTL_ADD, STDIN_FILENO, &event) == 0;
  if (result == RW_OK) {
    event.data.fd = rw_fd(channel);
    epoll_ctl(loop, EPOLL_CTL_ADD, event.data.fd, &event);
    result = take_all(channel);
  }
  while (result >= 0 && (reading || rw_outstanding(channel) > 0)) {
    const int readable = reading && !watched;
    const int seen = epoll_wait(loop, &event, 1, readable ? 0 : -1);
    if (readable || (seen == 1 && event.data.fd == STDIN_FILENO)) {
      const ssize_t bytes = read(STDIN_FILENO, line, sizeof line);
      if (bytes > 0) {
        result = rw_send(channel, &target, line, (size_t)bytes, NULL, NULL);
      } else {
        reading = 0;
        if (watched) epoll_ctl(loop, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
      }
    }
    if (result >= 0) result = take_all(channel);
  }
  if (result < 0) fprintf(stderr, "event_loop: %s\n", rw_last_error());
  close(loop);
  rw_client_close(client);
  return result < 0 ? 1 : 0;
}
