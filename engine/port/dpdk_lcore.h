// DPDK's numbers for threads: what has one keeps buffers at hand without taking a lock. Any thread;
// cold.
#pragma once

namespace ringwire::port {

/// Gives the number back that DPDK's start gave to the calling thread, which need not be one of
/// those that poll.
void leave_main_lcore();

/// Takes, for as long as the calling thread lives, the number of an lcore that the EAL arguments
/// named and that no other thread of ours has; DPDK's own thread of that number sleeps for ever.
/// (rte_thread_register would do, but a process that calls it can have no others beside it, and
/// dpdk-dumpcap is one.) Where none is left that is what is done all the same.
void take_lcore();

}  // namespace ringwire::port
