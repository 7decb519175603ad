/* The header is C11, and every name of it is in the library. */
#include "ipc/ringwire.h"

int abi_names_linked(void);

typedef void (*any_function)(void);

int abi_names_linked(void) {
  const rw_client_options options = RW_OPTIONS(rw_client_options);
  const any_function all[] = {(any_function)rw_client_open,
                              (any_function)rw_client_close,
                              (any_function)rw_channel_open,
                              (any_function)rw_channel_close,
                              (any_function)rw_target_key,
                              (any_function)rw_target_hash,
                              (any_function)rw_target_random,
                              (any_function)rw_target_broadcast,
                              (any_function)rw_target_replicas,
                              (any_function)rw_target_replicas_hash,
                              (any_function)rw_target_node,
                              (any_function)rw_target_origin,
                              (any_function)rw_send,
                              (any_function)rw_loan,
                              (any_function)rw_send_loan,
                              (any_function)rw_loan_cancel,
                              (any_function)rw_send_file,
                              (any_function)rw_wait,
                              (any_function)rw_poll,
                              (any_function)rw_outcome_targets,
                              (any_function)rw_cancel,
                              (any_function)rw_outstanding,
                              (any_function)rw_flush,
                              (any_function)rw_call,
                              (any_function)rw_call_start,
                              (any_function)rw_serve,
                              (any_function)rw_unserve,
                              (any_function)rw_receive,
                              (any_function)rw_receive_many,
                              (any_function)rw_message_data,
                              (any_function)rw_message_bytes,
                              (any_function)rw_message_key,
                              (any_function)rw_message_hash,
                              (any_function)rw_message_flags,
                              (any_function)rw_message_attempt,
                              (any_function)rw_message_ticket,
                              (any_function)rw_message_origin,
                              (any_function)rw_message_origin_node,
                              (any_function)rw_message_service,
                              (any_function)rw_reply,
                              (any_function)rw_release,
                              (any_function)rw_fd,
                              (any_function)rw_status,
                              (any_function)rw_status_nodes,
                              (any_function)rw_hash,
                              (any_function)rw_admin,
                              (any_function)rw_free,
                              (any_function)rw_error_name,
                              (any_function)rw_error_text,
                              (any_function)rw_reason_name,
                              (any_function)rw_ending_name,
                              (any_function)rw_last_error,
                              (any_function)rw_default_socket,
                              (any_function)rw_version};
  int linked = options.struct_bytes == sizeof options;
  for (unsigned index = 0; index < sizeof all / sizeof all[0]; ++index) linked += all[index] != 0;
  return linked;
}
