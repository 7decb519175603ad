"""The simulated world runs the engine's very objects: both programs link the same archives. And the
pure ones call no clock, random source, thread or socket: their undefined symbols say so."""

import os
import re
import subprocess
import unittest
from pathlib import Path

BUILD = Path(os.environ["BUILD"])
PURE = ("ring/libring.a", "engine/wire/libwire.a", "engine/transport/libtransport.a",
        "engine/control/libringwire_control.a", "engine/port/libringwire_port_sim.a")
SHARED = PURE + ("engine/worker/libworker.a", "ipc/libringwire_ipc_engine.a")
PROGRAMS = ("tests/sim/ringwire-sim", "apps/engine/ringwire-engine")
FORBIDDEN = re.compile(
    r"^(clock_\w+|gettimeofday|time|times|ftime|nanosleep|usleep|sleep|timerfd_\w+"
    r"|rand|rand_r|random|srandom?|[dejlmn]rand48|getrandom|getentropy|arc4random\w*"
    r"|pthread_\w+|thrd_\w+|mtx_\w+|sem_\w+|fork|vfork|clone|futex|sched_\w+"
    r"|socket|bind|connect|listen|accept4?|send|sendto|sendm?msg|recv|recvfrom|recvm?msg"
    r"|epoll_\w+|poll|ppoll|select|pselect|open(at)?(64)?|read|write|pread|pwrite|ioctl|syscall"
    r"|_ZNSt6chrono.*now.*|_ZNSt13random_device.*|_ZNSt6thread.*|_ZNSt18condition_variable.*)"
    r"(@.*)?$")


def symbols(archive, kind):
    text = subprocess.run(["nm", kind, "-P", str(BUILD / archive)], capture_output=True, text=True,
                          check=True).stdout
    return {line.split()[0] for line in text.splitlines() if len(line.split()) > 1}


def archives_of(program):
    """What the build links the program from."""
    text = (BUILD / "build.ninja").read_text()
    rule = re.search(r"^build " + re.escape(program) + r": \w+ (.*)$", text, re.M)
    return set(re.findall(r"\S+\.a\b", rule.group(1))) if rule else set()


class Objects(unittest.TestCase):
    def test_the_world_links_what_the_engine_links(self):
        for program in PROGRAMS:
            missing = set(SHARED) - archives_of(program)
            self.assertEqual(missing, set(), f"{program} does not link them")

    def test_pure_objects_call_nothing_from_outside(self):
        for archive in PURE:
            undefined = symbols(archive, "-u")
            self.assertTrue(undefined, archive)
            found = sorted(name for name in undefined if FORBIDDEN.match(name))
            self.assertEqual(found, [], archive)

    def test_the_list_would_notice(self):
        undefined = symbols("ipc/libringwire_ipc_engine.a", "-u")
        self.assertTrue([name for name in undefined if FORBIDDEN.match(name)])


if __name__ == "__main__":
    unittest.main()
