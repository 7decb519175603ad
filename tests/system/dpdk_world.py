"""A mixed cluster in network namespaces of its own: engines with DPDK ports (net_af_packet on one
end of a veth pair) and engines on kernel sockets, on one link; their control plane on another.
Needs root; no hugepages, and nothing of the machine's network. `dpdk_world.py --demo` shows it.
"""

import os
import subprocess
import sys

from world import World, await_true, program

EAL = ("-l", "0", "--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--no-shconf",
       "--log-level=error")
DATA, CONTROL = "10.99.1", "10.99.0"


def missing(*tools):
    """What a mixed cluster lacks here, or None; `tools` are wanted besides."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    for tool in ("ip", "ethtool", "ping", *tools):
        if subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True,
                          check=False).returncode != 0:
            return f"needs {tool}: apt-get install iproute2 ethtool iputils-ping " + " ".join(tools)
    return None


def do(*words):
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=20)


class Link:
    """Namespaces, each with `data` and `ctl`, joined by a bridge each in one more."""

    def __init__(self, names):
        tag = f"rw{os.getpid()}"
        self.hub = f"{tag}hub"
        self.spaces = {name: f"{tag}{name}" for name in names}

    def __enter__(self):
        do("ip", "netns", "add", self.hub)
        for bridge in ("data", "ctl"):
            do("ip", "-n", self.hub, "link", "add", bridge, "type", "bridge")
            do("ip", "-n", self.hub, "link", "set", bridge, "up")
        for number, space in enumerate(self.spaces.values(), 1):
            do("ip", "netns", "add", space)
            do("ip", "-n", space, "link", "set", "lo", "up")
            for kind in ("data", "ctl"):
                self.join(space, kind, f"{kind}{number}")
            do("ip", "-n", space, "address", "add", f"{CONTROL}.{number}/24", "dev", "ctl")
        return self

    def __exit__(self, *_):
        for space in (self.hub, *self.spaces.values()):
            subprocess.run(["ip", "netns", "delete", space], check=False, capture_output=True)

    def join(self, space, kind, far):
        """A cable between a namespace and the bridge of that kind."""
        do("ip", "-n", space, "link", "add", kind, "type", "veth", "peer", "name", far, "netns",
           self.hub)
        # A bridge hands on what a sender left to its NIC: there is none.
        do("ip", "netns", "exec", space, "ethtool", "-K", kind, "tx", "off", "gso", "off", "tso",
           "off")
        do("ip", "-n", self.hub, "link", "set", far, "master", kind, "up")
        do("ip", "-n", space, "link", "set", kind, "up")

    def remove_data(self, name):
        """The device itself goes, with its cable."""
        do("ip", "-n", self.spaces[name], "link", "delete", "data")

    def return_data(self, name):
        self.join(self.spaces[name], "data", f"data{list(self.spaces).index(name) + 1}")

    def address(self, name, on):
        return f"{on}.{list(self.spaces).index(name) + 1}"

    def give_kernel(self, name):
        """The data address of `name` to its kernel."""
        do("ip", "-n", self.spaces[name], "address", "add", f"{self.address(name, DATA)}/24", "dev",
           "data")

    def set_data(self, name, state):
        """Unplugs ("down") or plugs in ("up") the cable of the data plane."""
        do("ip", "-n", self.hub, "link", "set", f"data{list(self.spaces).index(name) + 1}", state)

    def inside(self, name, *command):
        return ["ip", "netns", "exec", self.spaces[name], *command]


class MixedWorld(World):
    """Servers on DPDK, slaves on kernel sockets."""

    def __init__(self, servers=2, slaves=1, workers=1):
        super().__init__(servers=servers, slaves=slaves)
        self.workers = workers
        self.ports = {name: (3100, 3200) for name in self.servers + self.slaves}
        self.link = Link(self.servers + self.slaves)

    def __enter__(self):
        self.link.__enter__()
        for name in self.slaves:
            self.link.give_kernel(name)
        return self

    def __exit__(self, *reason):
        super().__exit__(*reason)
        self.link.__exit__(*reason)

    def configuration(self, name):
        members = ", ".join(f'"{server}"' for server in self.servers)
        seeds = ", ".join(f'"{self.link.address(server, CONTROL)}:3100"' for server in self.servers)
        role = "server" if name in self.servers else "slave"
        return (f'[cluster]\nname = "test"\nsecondaries = {self.secondaries}\n'
                f'members = [{members}]\nseeds = [{seeds}]\n\n'
                f'[node]\nname = "{name}"\nrole = "{role}"\nstate = "{self.folder}/state-{name}"\n'
                f'workers = {self.workers}\ncontrol = "{self.link.address(name, CONTROL)}:3100"\n'
                f'socket = "{self.socket(name)}"\n\n'
                f'[[port]]\naddress = "{self.link.address(name, DATA)}"\nmtu = 1500\n')

    def eal(self, name):
        lcores = [f"{lcore}@{lcore % os.cpu_count()}" for lcore in range(self.workers)]
        return ("--lcores", ",".join(lcores), *EAL[2:], f"--file-prefix=rw{os.getpid()}{name}",
                f"--vdev=net_af_packet0,iface=data,qpairs={self.workers}", "--")

    def start_engine(self, name, *options):
        eal = self.eal(name) if name in self.servers else ()
        command = self.link.inside(name, program("ringwire-engine"), *eal, "-f",
                                   self.write_configuration(name), *options)
        self.engines[name] = self.spawn(command, f"engine-{name}")
        return self.engines[name]


class MemifWorld(World):
    """Two servers on the two ends of one net_memif pair: no root, no hugepages, no network. s1 has
    the end that the other connects to; where it is alone, somebody else may."""

    def __init__(self, servers=2):
        super().__init__(servers=servers, slaves=0)

    @property
    def memif(self):
        return self.folder / "memif.sock"

    def configuration(self, name):
        text = super().configuration(name)
        own = text.index("[[port]]")
        return (f'{text[:own]}[[port]]\naddress = "{DATA}.{self.servers.index(name) + 1}"\n'
                'mtu = 9000\n')

    def start_engine(self, name, *options):
        role = "server" if name == "s1" else "client"
        eal = (*EAL, f"--file-prefix=rw{os.getpid()}{name}",
               f"--vdev=net_memif0,role={role},socket={self.memif},socket-abstract=no,"
               "rsize=10,bsize=9216")
        self.engines[name] = self.spawn(
            [program("ringwire-engine"), *eal, "--", "-f", self.write_configuration(name),
             *options], f"engine-{name}-{len(self.processes)}")
        if name == "s1":
            await_true(self.memif.exists, "the server end of the memif pair is there")
        return self.engines[name]


def demo():
    lacking = missing()
    if lacking:
        sys.exit(f"demo --dpdk: {lacking}")
    with MixedWorld() as world:
        print("two server nodes on DPDK ports (net_af_packet), one slave node on kernel sockets")
        world.start()
        world.serve_everywhere("--echo")
        done = same = 0
        for number in range(100):
            body = os.urandom(1 + number * number * 100)
            answer = world.ringwire("c1", "send", "--key", f"k{number}", "--call", data=body)
            done += answer.returncode == 0
            same += answer.stdout == body
        for name in world.servers:
            ping = subprocess.run(world.link.inside("c1", "ping", "-c", "3", "-i", "0.2",
                                                    world.link.address(name, DATA)),
                                  capture_output=True, check=False, timeout=20)
            print(f"{name} {world.link.address(name, DATA)}:",
                  ping.stdout.decode().strip().splitlines()[-1])
        print(f"calls 100, answered {done}, intact {same}, lost {100 - same}")
    return 0 if same == 100 else 1


if __name__ == "__main__":
    sys.exit(demo())
