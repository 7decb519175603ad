/* Ringwire: the C ABI of the client library (C11). A program attaches to the engine of its node and
 * sends and receives messages of any size. docs/segment.md says what happens beneath; small
 * programs stand in apps/examples.
 *
 * Results are int: 0 or a positive count, or a negative RW_E... Nothing here aborts, throws,
 * prints, installs signal handlers or starts threads, and no call-back crosses it. Timeouts are in
 * ns: 0 = do not wait, negative = wait for ever. Options structs begin with their own size: set it
 * with RW_OPTIONS(type), zero the rest; NULL = defaults. An rw_client may be used by several
 * threads; an rw_channel by one thread at a time. */
#ifndef RINGWIRE_H
#define RINGWIRE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RW_API __attribute__((visibility("default")))
#else
#define RW_API
#endif

#define RW_ABI_VERSION 1
#define RW_MAX_KEY_BYTES 1024
#define RW_MAX_NAME_BYTES 63
#define RW_WAIT_FOREVER INT64_C(-1)

/* Errors. Stable numbers. */
enum rw_error {
  RW_OK = 0,
  RW_EINVAL = -1,    /* an argument breaks a rule */
  RW_ENOENGINE = -2, /* no engine at the socket path */
  RW_EDENIED = -3,   /* this user may not attach, or not use that */
  RW_EVERSION = -4,  /* library and engine do not fit; rw_last_error names both versions */
  RW_ETIMEOUT = -5,  /* nothing came within the timeout */
  RW_EAGAIN = -6,    /* would have to wait, and the timeout is 0 */
  RW_ENOMEM = -7,    /* no memory here or in the engine's budget */
  RW_ELIMIT = -8,    /* a configured limit is reached */
  RW_ETOOLARGE = -9, /* can never fit */
  RW_EFORK = -10,    /* the client or channel was opened before fork(): open your own */
  RW_ESTALE = -11,   /* handle of a message or ticket that is no longer known */
  RW_EIO = -12,      /* reading a file failed; errno tells why */
  RW_ESHORT = -13,   /* the file is shorter than the range asked for */
  RW_EFAILED = -14,  /* rw_call: the request failed (provably not handed out); see the outcome */
  RW_EUNKNOWN = -15, /* rw_call: the request may have been handed out; see the outcome */
  RW_ENOREPLY = -16, /* rw_call: processed, but without a reply */
  RW_ECLOSED = -17,  /* the engine ended this attachment; rw_last_error says why */
  RW_EROLE = -18,    /* a slave node serves nothing */
  RW_EBUSY = -19,    /* in use */
  RW_ESYSTEM = -20   /* a system call failed; errno tells why */
};

enum rw_level {
  RW_LEVEL_DEFAULT = 0,
  RW_LEVEL_NONE = 1,
  RW_LEVEL_ACCEPTED = 2,
  RW_LEVEL_PROCESSED = 3
};
enum rw_require { RW_REQUIRE_ALL = 0, RW_REQUIRE_MAJORITY = 1, RW_REQUIRE_ONE = 2 };
enum rw_order { RW_ORDER_KEY = 0, RW_ORDER_NONE = 1 };
enum rw_verdict { RW_DONE = 0, RW_RETRY = 1, RW_REFUSE = 2 };
enum rw_ending { RW_ENDING_DONE = 0, RW_ENDING_FAILED = 1, RW_ENDING_UNKNOWN = 2 };

/* Why a send ended; stable numbers (base/ids.h Reason). rw_reason_name gives the text. */
enum rw_reason {
  RW_REASON_NONE = 0,
  RW_REASON_TIMEOUT = 1,
  RW_REASON_CANCELLED = 2,
  RW_REASON_TOO_LARGE = 3,
  RW_REASON_DOWN = 4,
  RW_REASON_NO_NODE = 5,
  RW_REASON_NO_CONSUMER = 6,
  RW_REASON_QUEUE_FULL = 7,
  RW_REASON_REFUSED = 8,
  RW_REASON_MAX_DELIVERIES = 9,
  RW_REASON_ORIGIN_GONE = 10,
  RW_REASON_STALE = 11,
  RW_REASON_SESSION_LOST = 12,
  RW_REASON_SHUTDOWN = 13,
  RW_REASON_BAD_MESSAGE = 14,
  RW_REASON_NO_MEMORY = 15,
  RW_REASON_NOT_SERVING = 16,
  RW_REASON_UNPROCESSED = 17,
  RW_REASON_REQUIREMENT = 18
};

/* Bits of rw_message_flags. */
enum rw_flag {
  RW_FLAG_REDELIVERED = 1,
  RW_FLAG_DEGRADED = 2,
  RW_FLAG_REPLY = 4,
  RW_FLAG_BROADCAST = 8,
  RW_FLAG_REPLICA = 16,
  RW_FLAG_MERGE = 32,
  RW_FLAG_CALL = 64,
  RW_FLAG_SHARED = 128 /* read where its sender has it, which may change what stands there */
};

typedef struct rw_client rw_client;
typedef struct rw_channel rw_channel;
typedef struct rw_message rw_message; /* a received message; owned by its channel until released */
typedef uint64_t rw_ticket;           /* names a send of one channel; 0 = none */

/* Where a message came from: opaque; valid as long as the engine that gave it runs. */
typedef struct rw_origin {
  uint64_t opaque[8];
} rw_origin;

/* Where to. Made by the rw_target_... calls; holds pointers to the caller's key, node and service,
 * which must live until the send call returns. */
typedef struct rw_target {
  uint32_t kind;
  uint32_t exclude_self; /* set to 1: multi-target sends leave this node out */
  uint64_t hash;
  const void *key;
  size_t key_bytes;
  const char *node;
  const char *service; /* NULL or "" = the default service; may be set by the caller */
  rw_origin origin;
} rw_target;

typedef struct rw_client_options {
  size_t struct_bytes;
  const char *socket; /* NULL: RINGWIRE_SOCKET, else the default path */
  const char *label;  /* shown by `ringwire attachments`; NULL: the program's name */
  int64_t
      connect_timeout_ns; /* 0: fail at once when there is no engine (default); negative: wait */
  int64_t
      reconnect_ns; /* how long calls wait for a restarted engine; 0 = 30 s, negative = for ever */
} rw_client_options;

typedef struct rw_channel_options {
  size_t struct_bytes;
  uint32_t submission_entries; /* 0 = default; powers of two */
  uint32_t delivery_entries;
  uint32_t release_entries;
  uint32_t batch;  /* 1: what is sent, answered and released is shown to the engine up to 32 at a
                      time: at the latest when a call on this channel looks for messages or
                      outcomes, waits, or by rw_flush. For who handles many small messages */
  int64_t spin_ns; /* busy-polling before yielding in waits; 0 = default, negative = none */
} rw_channel_options;

typedef struct rw_send_options {
  size_t struct_bytes;
  uint32_t level;     /* rw_level; default processed */
  uint32_t require;   /* rw_require; multi-target sends */
  uint32_t order;     /* rw_order */
  uint32_t priority;  /* 0 .. 255, higher first */
  int64_t timeout_ns; /* of the message, until its outcome; 0 = none */
  int64_t wait_ns;    /* how long the call may wait for room; 0 = for ever, negative = not at all */
  uint32_t no_wait;   /* 1: fail at once when no node serves it or a queue is full */
  uint32_t share; /* 1: a consumer on this node, of this user, that asks for it too, may read the
                     payload where it is, without a copy. Its memory is used again only when that
                     consumer has released the message, perhaps later than the outcome. */
} rw_send_options;

typedef struct rw_serve_options {
  size_t struct_bytes;
  const char *service; /* NULL or "" = the default service */
  uint32_t order;      /* rw_order */
  uint32_t prefetch;   /* messages held at once at most; 0 = default */
  uint32_t share;      /* 1: payloads that their senders share are read where those have them
                          (RW_FLAG_SHARED): a sender that writes there meanwhile is seen doing so */
  uint32_t reserved;
} rw_serve_options;

typedef struct rw_outcome {
  rw_ticket ticket;
  uint32_t ending; /* rw_ending */
  uint32_t reason; /* rw_reason */
  uint32_t level;  /* rw_level reached */
  uint32_t attempts;
  char node[64]; /* where it ended; "" if nowhere */
} rw_outcome;

typedef struct rw_loan_t {
  void *data; /* write the payload here */
  size_t bytes;
  uint64_t opaque[4];
} rw_loan_t;

typedef struct rw_node_status {
  char name[64];
  uint32_t state; /* 1 up, 2 serving, 3 suspended, 4 returning, 5 joining, 6 leaving, 7 out, 8 down,
                     9 hung */
  uint32_t role;  /* 0 server, 1 slave */
} rw_node_status;

typedef struct rw_status_t {
  size_t struct_bytes;
  char node[64];
  char engine_version[32];
  uint32_t attached;   /* 1 while connected */
  uint32_t state;      /* as in rw_node_status */
  uint32_t node_count; /* all nodes known */
  uint32_t worker_count;
  uint64_t epoch;
  uint64_t incarnation[2];
  uint64_t max_message_bytes;
} rw_status_t;

/* An options struct with its size set and everything else at its default. */
#ifdef __cplusplus
#define RW_OPTIONS(type)                  \
  ([] {                                   \
    type options_{};                      \
    options_.struct_bytes = sizeof(type); \
    return options_;                      \
  }())
#else
#define RW_OPTIONS(type) \
  { .struct_bytes = sizeof(type) }
#endif

/* Errors of every call that takes a client or channel, beside those named with it: RW_EINVAL (an
 * argument is NULL or breaks a rule), RW_EFORK (opened before fork), RW_ENOMEM (no memory: nothing
 * was done, and the same call may be made again). Of every call that takes a channel, too, if the
 * engine has gone meanwhile: RW_ENOENGINE (not back within reconnect_ns), RW_EAGAIN or RW_ETIMEOUT
 * (not back within the call's own time), RW_EVERSION (back, and does not fit), RW_ECLOSED. */

/* --- attach --- */
/* RW_ENOENGINE: nobody listens, or does not answer. RW_EDENIED: not this user. RW_EVERSION.
 * RW_ELIMIT: [limits] attachments. RW_ETIMEOUT: it does not accept. RW_ESYSTEM: no socket. */
RW_API int rw_client_open(const rw_client_options *options, rw_client **client);
RW_API void rw_client_close(rw_client *client); /* closes its channels too; never fails */
/* RW_EINVAL: entries that are no power of two. RW_ELIMIT: as many channels as the engine allows.
 * RW_ENOENGINE, RW_EVERSION, RW_ECLOSED. */
RW_API int rw_channel_open(rw_client *client, const rw_channel_options *options,
                           rw_channel **channel);
RW_API void rw_channel_close(rw_channel *channel); /* never fails */

/* --- where to --- */
RW_API rw_target rw_target_key(const void *key, size_t bytes);
RW_API rw_target rw_target_hash(uint64_t hash);
RW_API rw_target rw_target_random(void);
RW_API rw_target rw_target_broadcast(void);
RW_API rw_target rw_target_replicas(const void *key, size_t bytes);
RW_API rw_target rw_target_replicas_hash(uint64_t hash);
RW_API rw_target rw_target_node(const char *name);
RW_API rw_target rw_target_origin(const rw_origin *origin);

/* --- send. Returns 0 and a ticket; the outcome comes by rw_wait or rw_poll ---
 * An error means that nothing was sent. RW_EINVAL: a target, option or key that breaks a rule, or a
 * node that is not known here. RW_ETOOLARGE: over the message limit or the quota. RW_EAGAIN,
 * RW_ETIMEOUT: no room within wait_ns, or the messages that arrived must be received first.
 * RW_ELIMIT: too many services. rw_send_loan: RW_ESTALE, no such loan; the loan stays the caller's.
 * rw_send_file: RW_EIO, RW_ESHORT. */
RW_API int rw_send(rw_channel *channel, const rw_target *target, const void *data, size_t bytes,
                   const rw_send_options *options, rw_ticket *ticket);
RW_API int rw_loan(rw_channel *channel, size_t bytes, rw_loan_t *loan);
RW_API int rw_send_loan(rw_channel *channel, const rw_target *target, rw_loan_t *loan,
                        const rw_send_options *options, rw_ticket *ticket);
RW_API void rw_loan_cancel(rw_channel *channel, rw_loan_t *loan);
RW_API int rw_send_file(rw_channel *channel, const rw_target *target, int fd, uint64_t offset,
                        uint64_t bytes, const rw_send_options *options, rw_ticket *ticket);

/* --- how sends ended ---
 * RW_ESTALE: a ticket that is not known, or whose outcome was given already. RW_EAGAIN,
 * RW_ETIMEOUT: no outcome within the time. rw_poll: 0 when there is none. */
RW_API int rw_wait(rw_channel *channel, rw_ticket ticket, int64_t timeout_ns, rw_outcome *outcome);
RW_API int rw_poll(rw_channel *channel, rw_outcome *outcomes, int max);
/* Targets of a multi-target send whose outcome rw_wait or rw_poll returned last with that ticket.
 */
RW_API int rw_outcome_targets(rw_channel *channel, rw_ticket ticket, rw_outcome *targets, int max);
RW_API int rw_cancel(rw_channel *channel, rw_ticket ticket);
/* Show the engine all that a channel with `batch` has kept back. Needed only before the thread
 * turns to something else for long. */
RW_API int rw_flush(rw_channel *channel);
RW_API int rw_outstanding(rw_channel *channel); /* sends without an outcome */

/* Send and wait for the reply. On RW_OK release *reply. `outcome` may be NULL. Errors of rw_send,
 * and RW_EFAILED, RW_EUNKNOWN, RW_ENOREPLY, which say how it ended. */
RW_API int rw_call(rw_channel *channel, const rw_target *target, const void *data, size_t bytes,
                   const rw_send_options *options, rw_message **reply, rw_outcome *outcome);
/* Send as a call without waiting: the reply arrives by rw_receive with its ticket. */
RW_API int rw_call_start(rw_channel *channel, const rw_target *target, const void *data,
                         size_t bytes, const rw_send_options *options, rw_ticket *ticket);

/* --- receive ---
 * rw_serve: RW_EROLE, on a slave node; RW_EBUSY, served by this channel already; RW_ELIMIT.
 * rw_unserve: RW_ESTALE. rw_receive, rw_receive_many: RW_EAGAIN, RW_ETIMEOUT, nothing came. The
 * rw_message_... calls take a message that was not released, and do not fail. */
RW_API int rw_serve(rw_channel *channel, const rw_serve_options *options);
RW_API int rw_unserve(rw_channel *channel, const char *service);
RW_API int rw_receive(rw_channel *channel, int64_t timeout_ns, rw_message **message);
/* Up to max messages without waiting longer than for the first. Returns the count, or an error. */
RW_API int rw_receive_many(rw_channel *channel, int64_t timeout_ns, rw_message **messages, int max);
RW_API const void *rw_message_data(const rw_message *message);
RW_API size_t rw_message_bytes(const rw_message *message);
RW_API const void *rw_message_key(const rw_message *message, size_t *bytes);
RW_API uint64_t rw_message_hash(const rw_message *message);
RW_API uint32_t rw_message_flags(const rw_message *message);
RW_API uint32_t rw_message_attempt(const rw_message *message);
RW_API rw_ticket rw_message_ticket(const rw_message *message); /* of a reply: the call; else 0 */
RW_API rw_origin rw_message_origin(const rw_message *message);
RW_API const char *rw_message_origin_node(const rw_message *message);
RW_API const char *rw_message_service(const rw_message *message);
/* Answer a call. Does not release the message. Errors of rw_send; RW_ESTALE: the message was
 * released, or its engine is gone: it comes again from the next. */
RW_API int rw_reply(rw_channel *channel, const rw_message *message, const void *data, size_t bytes,
                    const rw_send_options *options, rw_ticket *ticket);
/* RW_ESTALE: released before. RW_EINVAL: no such verdict. Of an engine that is gone: RW_OK. */
RW_API int rw_release(rw_channel *channel, rw_message *message, int verdict);

/* --- event loops: readable when rw_receive or rw_poll may have something. Call them with timeout 0
 * until they say RW_EAGAIN (or 0) before waiting on it again. RW_ESYSTEM: no descriptor left --- */
RW_API int rw_fd(rw_channel *channel);

/* --- about --- */
RW_API int rw_status(rw_client *client, rw_status_t *status);
RW_API int rw_status_nodes(rw_client *client, rw_node_status *nodes, int max);
RW_API uint64_t rw_hash(const void *data, size_t bytes);
/* Ask the engine (the command line's door): a JSON request, a JSON answer (free with rw_free).
 * RW_ENOENGINE, RW_EDENIED, RW_ETIMEOUT, RW_ETOOLARGE (the request), RW_ESYSTEM, RW_ECLOSED. */
RW_API int rw_admin(const char *socket, const char *request, char **answer, int *exit_code);
/* The same; RW_ETIMEOUT after timeout_ns without an answer. rw_admin waits for 10 s. */
RW_API int rw_admin_within(const char *socket, const char *request, int64_t timeout_ns,
                           char **answer, int *exit_code);
RW_API void rw_free(void *memory);
RW_API const char *rw_error_name(int error);
RW_API const char *rw_error_text(int error);
RW_API const char *rw_reason_name(uint32_t reason);
RW_API const char *rw_ending_name(uint32_t ending);
RW_API const char *rw_last_error(void); /* of this thread: one sentence with the details */
RW_API const char *rw_default_socket(char *buffer,
                                     size_t bytes); /* where rw_client_open would look */
RW_API const char *rw_version(void);

#ifdef __cplusplus
}
#endif

#endif
