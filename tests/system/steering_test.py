"""Receive steering by rules (rte_flow), on a kernel that has what net_tap makes rules of: that of
user-mode Linux, which runs as an ordinary process and user. Its root is this machine's file system,
read-only; its network, its devices and /dev/shm are its own. An engine does not fit: its memory
alone takes half a minute there.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from world import build_folder, needs

KERNEL = "linux.uml"
MODULES = ("veth", "tun", "ipv6", "sch_multiq", "cls_flower", "act_skbedit", "sch_ingress")
# Five seconds on a machine of its own. Each system call in there is two switches of context out
# here: far more beside busy loops.
BOOT_AND_RUN_S = 540


def modules_in_order(folder):
    """Paths of MODULES and of what they need, each behind what it needs."""
    needed = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needed[Path(path).stem] = [*reversed(others.split()), path]
    return dict.fromkeys(str(folder / one) for name in MODULES for one in needed[name])


def boot_script(modules):
    test = Path(__file__).resolve()
    return "\n".join((
        "#!/bin/sh",
        "export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/dev/shm TMPDIR=/dev/shm",
        "mount -t proc proc /proc && mount -t sysfs sysfs /sys",
        "mkdir -p /dev/shm /dev/net && mount -t tmpfs tmpfs /dev/shm",
        "ip link set lo up",
        *(f"insmod {shlex.quote(module)}" for module in modules),
        f"cd {shlex.quote(str(test.parent))}",
        f"export PYTHONDONTWRITEBYTECODE=1 RINGWIRE_BUILD={shlex.quote(str(build_folder()))}",
        f"{shlex.quote(sys.executable)} {shlex.quote(str(test))} Inside",
        'echo "the inside ended with $?"',
        "echo o >/proc/sysrq-trigger",
        "exec tail -f /dev/null\n"))


class DpdkSteering(unittest.TestCase):
    def test_a_kernel_that_takes_rules_gives_each_worker_its_own_packets(self):
        lane = "dpdk_steering_rules"
        found = sorted(Path("/usr/lib/uml/modules").glob("*/modules.dep"))
        needs(shutil.which(KERNEL) and shutil.which("insmod") and found, lane,
              "needs a kernel with classifiers: apt-get install user-mode-linux kmod (amd64)")
        with tempfile.TemporaryDirectory(prefix="ringwire-test-") as folder:
            script = Path(folder) / "init"
            script.write_text(boot_script(modules_in_order(found[-1].parent)))
            script.chmod(0o755)
            with subprocess.Popen(
                    [KERNEL, "mem=1200M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/",
                     "ro", f"init={script}", f"uml_dir={folder}", "quiet", "con=null",
                     "con0=null,fd:1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": folder},
                    start_new_session=True) as kernel:
                try:
                    told = kernel.communicate(timeout=BOOT_AND_RUN_S)[0].decode(errors="replace")
                finally:  # its helpers would outlive it
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(kernel.pid, signal.SIGKILL)
        needs("the inside ended with" in told or "Run /" in told, lane,
              f"{KERNEL} does not start here: {told.strip().splitlines()[-1:]}")
        self.assertIn("the inside ended with 0", told, told)
        self.assertIn("Ran 1 test", told)


class Inside(unittest.TestCase):
    """Runs in there."""

    def test_each_queue_of_a_tap_gets_its_udp_port_over_ipv4_and_ipv6(self):
        done = subprocess.run(
            [build_folder() / "tests" / "conformance" / "conformance_dpdk_test",
             "--gtest_filter=DpdkSteering.a_tap*"],
            capture_output=True, check=False, timeout=BOOT_AND_RUN_S)
        told = done.stdout.decode(errors="replace")
        self.assertEqual(done.returncode, 0, told + done.stderr.decode(errors="replace"))
        for interface in ("rwsteer", "rwsteer6"):
            self.assertIn(f"{interface}: the kernel's rules steer", told)


if __name__ == "__main__":
    unittest.main()
