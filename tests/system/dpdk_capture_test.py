"""dpdk-dumpcap beside a live engine, and what tshark finds in its file: what an engine with
hugepages receives and sends, as it is on the wire. Needs root; borrows the hugepages it lacks."""

import ctypes
import os
import signal
import subprocess
import unittest
from pathlib import Path

from dpdk_world import DATA, MixedWorld, missing
from world import await_true, needs

HUGEPAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
# 64 MB for the engine, 20 MB for what is captured, and what DPDK takes to find neighbours.
PAGES = 64


def own_mounts():
    """A mount namespace for this process and its children: what is mounted goes with them."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_namespace, recursive_private = 0x20000, 0x4000 | 0x40000
    return libc.unshare(new_namespace) == 0 and \
        libc.mount(b"none", b"/", None, recursive_private, None) == 0


class Hugepages:
    """Borrowed from the machine where too few are free, and given back."""

    def __init__(self):
        self.before = None

    def __enter__(self):
        free = int((HUGEPAGES / "free_hugepages").read_text())
        if free < PAGES:
            self.before = (HUGEPAGES / "nr_hugepages").read_text()
            (HUGEPAGES / "nr_hugepages").write_text(str(int(self.before) + PAGES - free))
        return self

    def __exit__(self, *_):
        if self.before is not None:
            (HUGEPAGES / "nr_hugepages").write_text(self.before)

    @staticmethod
    def enough():
        return int((HUGEPAGES / "free_hugepages").read_text()) >= PAGES


class HugeWorld(MixedWorld):
    """One server with hugepages, one slave on kernel sockets."""

    def __init__(self):
        super().__init__(servers=1)
        self.prefix = f"rw{os.getpid()}huge"

    def eal(self, name):
        folder = self.folder / "huge"
        folder.mkdir()
        subprocess.run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", folder],
                       check=True)
        # A number that no process with a processor's number as its own has.
        return ("--lcores", "64@0", "-m", "64", "--huge-dir", str(folder), "--no-pci",
                "--log-level=error", f"--file-prefix={self.prefix}",
                "--vdev=net_af_packet0,iface=data", "--")

    def __exit__(self, *reason):
        super().__exit__(*reason)
        subprocess.run(["umount", "--lazy", self.folder / "huge"], check=False,
                       capture_output=True)


class DpdkCapture(unittest.TestCase):
    """What is captured is judged by tshark, with all of its checks on."""

    def found(self, capture, wanted):
        done = subprocess.run(
            ["tshark", "-r", capture, "-o", "ip.check_checksum:TRUE", "-o",
             "udp.check_checksum:TRUE", "-Y", wanted], capture_output=True, check=False,
            timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode().splitlines()

    def test_dumpcap_records_arp_ping_and_messages_as_tshark_wants_them(self):
        lacking = missing("tshark", "dpdk-dumpcap")
        needs(lacking is None, "dpdk_dumpcap", lacking)
        needs(HUGEPAGES.is_dir() and own_mounts(), "dpdk_dumpcap", "no hugepages of 2 MB here")
        with Hugepages() as pages:
            needs(pages.enough(), "dpdk_dumpcap",
                  "needs 128 MB of hugepages: `sysctl -w vm.nr_hugepages=64`")
            with HugeWorld() as world:
                self.capture(world)

    def capture(self, world):
        # Where DPDK keeps its run-time files, the engine's and dumpcap's.
        os.environ["RUNTIME_DIRECTORY"] = str(world.folder)
        world.start()
        world.serve_everywhere("--echo")
        address = world.link.address("s1", DATA)
        file = world.folder / "capture.pcapng"
        dumpcap = world.spawn(["dpdk-dumpcap", f"--file-prefix={world.prefix}", "-i",
                               "net_af_packet0", "-w", str(file)], "dumpcap")
        await_true(lambda: "Packets captured" in dumpcap.text() or not dumpcap.running(),
                   "dumpcap captures")
        self.assertTrue(dumpcap.running(), dumpcap.text())
        # Now, for heartbeats would ask again before the capture has begun.
        subprocess.run(world.link.inside("c1", "ip", "neigh", "flush", "all"), check=True)
        ping = subprocess.run(world.link.inside("c1", "ping", "-c", "3", "-i", "0.2", "-s", "1400",
                                                address),
                              capture_output=True, check=False, timeout=60)
        self.assertEqual(ping.returncode, 0, ping.stdout)
        body = world.file("body", 100_000).read_bytes()
        done = world.ringwire("c1", "send", "--key", world.key_of("s1"), "--call", data=body)
        self.assertEqual(done.stdout, body)
        dumpcap.signal(signal.SIGINT)
        self.assertEqual(dumpcap.end(), 0, dumpcap.text())
        self.assertTrue(world.engines["s1"].running(), world.engines["s1"].text())

        answers = self.found(file, f"arp.opcode == 2 && arp.src.proto_ipv4 == {address}")
        self.assertGreaterEqual(len(answers), 1, self.found(file, "arp"))
        self.assertEqual(len(self.found(file, f"icmp.type == 8 && ip.dst == {address}")), 3)
        # tshark pairs each reply with its request.
        self.assertEqual(len(self.found(
            file, f"icmp.type == 0 && ip.src == {address} && icmp.resp_to")), 3)
        # 100,000 bytes, each way.
        for direction in ("src", "dst"):
            self.assertGreater(len(self.found(file, f"udp && ip.{direction} == {address}")), 60)
        wrong = (f"ip.src == {address} && (ip.checksum.status == 0 || udp.checksum.status == 0 || "
                 "icmp.checksum.status == 0 || _ws.malformed || _ws.short)")
        self.assertEqual(self.found(file, wrong), [])


if __name__ == "__main__":
    unittest.main()
