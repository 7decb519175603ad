"""System tests of DPDK ports: engines that own a device. Virtual devices, no hugepages, no PCI."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from dpdk_world import DATA, EAL, MixedWorld, missing
from world import World, program, run

class DpdkStart(unittest.TestCase):
    def engine(self, eal, *options, code):
        with tempfile.TemporaryDirectory(prefix="ringwire-test-") as folder:
            own = ("-o", f"node.state={folder}/state", "-o", f"node.socket={folder}/s.sock",
                   "-o", "node.control=127.0.0.1:0")
            done = run("ringwire-engine", *eal, "--", *own, *options)
            self.assertEqual(done.returncode, code, done.stderr)
            return done.stderr.decode(errors="replace")

    def test_what_is_wrong_is_named_with_what_mends_it(self):
        address = ("-o", "port.address=10.99.0.1")
        memif = "--vdev=net_memif0,role=client,socket=/tmp/rw-nobody.sock,socket-abstract=no"
        for eal, options, code, says in (
                (EAL, (), 2, "address of its own"),
                (EAL, address, 2, "DPDK has none"),
                ((*EAL, "--vdev=net_null0", "--vdev=net_null1"), address, 2,
                 "net_null0, net_null1"),
                ((*EAL, "--vdev=net_null0"), (*address, "-o", "port.device=net_tap7"), 2,
                 "it has net_null0"),
                ((*EAL, "--vdev=net_foo0"), address, 2, "apt-get install librte-net-foo23"),
                ((*EAL, memif), address, 1, "The side with role=server"),
                (("-l", "4000", "--no-pci"), address, 2, "--lcores"),
                ((*EAL, "--vdev=net_null0"), (*address, "-o", "node.workers=2"), 2,
                 "one for each worker"),
                ((*EAL, "--vdev=net_null0"), (*address, "-o", "port.kind=socket"), 2,
                 "EAL arguments: dpdk.eal"),
        ):
            with self.subTest(says):
                self.assertIn(says, self.engine(eal, *options, code=code))

    def test_print_eal_shows_what_dpdk_would_get(self):
        given = ("-l", "0", "--vdev=net_tap0,iface=a b", "--no-huge")
        done = run("ringwire-engine", *given, "--", "--print-eal", "-o", "port.address=10.99.0.1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.decode(), "-l 0 '--vdev=net_tap0,iface=a b' --no-huge\n")
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write('[dpdk]\neal = ["--no-huge", "-m", "64"]\n'
                       '[[port]]\naddress = "10.99.0.1"\n')
            file.flush()
            done = run("ringwire-engine", "-f", file.name, "--print-eal")
        self.assertEqual(done.stdout.decode(), "--no-huge -m 64\n", done.stderr)

    def test_an_engine_runs_on_a_device_and_keeps_its_other_threads_off_the_worker_core(self):
        before = os.sched_getaffinity(0)
        with World(servers=1, slaves=0) as world:
            engine = world.spawn(
                [program("ringwire-engine"), *EAL, f"--file-prefix=rw{os.getpid()}",
                 "--vdev=net_null0", "--", "-f", world.write_configuration("s1"), "-o",
                 "port.kind=auto", "-o", "port.address=10.99.0.1"], "engine")
            world.engines["s1"] = engine
            world.await_up("s1")
            allowed = {}
            for task in Path(f"/proc/{engine.popen.pid}/task").iterdir():
                allowed[(task / "comm").read_text().strip()] = os.sched_getaffinity(int(task.name))
            self.assertEqual(allowed["rw-worker-0"], {0})
            self.assertEqual(allowed["rw-manager"], before)
            self.assertEqual(allowed["ringwire-engine"], before)


class DpdkCluster(unittest.TestCase):
    """Two servers on DPDK ports and a slave on kernel sockets are one cluster, on one link."""

    def ping(self, world, name, *options):
        return subprocess.run(
            world.link.inside("c1", "ping", "-c", "5", "-i", "0.2", "-W", "5", *options,
                              world.link.address(name, DATA)),
            capture_output=True, check=False, timeout=60)

    def test_a_kernel_host_pings_the_engine(self):
        with MixedWorld() as world:
            for name in world.servers:
                world.start_engine(name)
            for name in world.servers:
                world.await_up(name)
                for options in ((), ("-s", "1400")):
                    done = self.ping(world, name, *options)
                    self.assertEqual(done.returncode, 0, done.stdout)
                    self.assertIn(b" 0% packet loss", done.stdout)

    def test_messages_of_all_sizes_go_both_ways_between_all_nodes(self):
        with MixedWorld() as world:
            world.start()
            world.serve_everywhere("--echo")
            for sender in ("c1", *world.servers):
                for owner in world.servers:
                    key = world.key_of(owner)
                    for size in (1, 1_400, 1_500, 100_000, 3_000_000):
                        body = world.file("body", size, seed=size).read_bytes()
                        done = world.ringwire(sender, "send", "--key", key, "--call", data=body)
                        self.assertEqual(done.returncode, 0, done.stderr)
                        self.assertEqual(done.stdout, body, f"{sender} -> {owner}, {size} bytes")

    def test_nothing_processed_is_lost_when_a_dpdk_engine_is_killed(self):
        with MixedWorld() as world:
            world.start()
            world.serve_everywhere()
            key = world.key_of("s1")
            first = world.ringwire("c1", "send", "--key", key, data=b"before")
            self.assertEqual(first.returncode, 0, first.stderr)
            self.assertEqual(world.saved_contents(), [b"before"])
            world.engines["s1"].kill()
            second = world.ringwire("c1", "send", "--key", key, data=b"after")
            self.assertEqual(second.returncode, 0, second.stderr)
            # In place of the first, if a busy machine had made its owner look dead for a moment.
            self.assertIn(b"after", world.saved_contents())


if __name__ == "__main__":
    if "DpdkStart" not in sys.argv and missing():
        print(f"LANE dpdk_cluster: cannot run: {missing()}")
        sys.exit(77)
    unittest.main()
