"""A world of real processes for the system tests: engines, server programs and commands from the
build folder, in a temporary folder, on free ports of the loopback. Waits on conditions with a
deadline, never for a while. Everything ends with the test, however the test ends.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

# Generous: a busy machine is slow, and only a broken one lets a deadline pass.
DEADLINE_S = 60

PROGRAMS = ("ringwire", "ringwire-engine", "ringwire-demo")


def needs(what, lane, reason):
    """Skips the rest of a test here unless `what`, in the words that the count of lanes knows."""
    if not what:
        print(f"LANE {lane}: cannot run: {reason}", file=sys.stderr)
        raise unittest.SkipTest(reason)


def build_folder():
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("RINGWIRE_BUILD", root / "build" / "release"))


def program(name):
    """The path of a built program, wherever in apps/ it lies."""
    for found in [build_folder() / "apps" / name, *build_folder().glob(f"apps/*/{name}")]:
        if found.is_file():
            return str(found)
    raise FileNotFoundError(f"{name} is not built in {build_folder()}/apps")


def await_true(condition, what, deadline_s=DEADLINE_S):
    """Returns the condition's first true value; fails when the deadline passes."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)  # the pause between two looks, not a wait for something to happen
    raise AssertionError(f"not within {deadline_s} s: {what}")


def die_with_parent():
    prctl_set_death_signal = 1
    ctypes.CDLL(None).prctl(prctl_set_death_signal, signal.SIGKILL)


def free_ports(count):
    """Pairs of TCP and UDP ports that nobody used just now."""
    with contextlib.ExitStack() as stack:
        ports = []
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) * count:
            bound = stack.enter_context(socket.socket(socket.AF_INET, kind))
            bound.bind(("127.0.0.1", 0))
            ports.append(bound.getsockname()[1])
        return list(zip(ports[::2], ports[1::2]))


def stop(popen):
    """SIGSTOP, and waits until every thread has stopped: a busy one runs on for a while."""
    def stopped():
        with contextlib.suppress(FileNotFoundError):  # a thread that ended meanwhile
            return all("State:\tT" in status.read_text() for status in
                       Path(f"/proc/{popen.pid}/task").glob("*/status"))
    popen.send_signal(signal.SIGSTOP)
    await_true(stopped, "every thread has stopped")


class Process:
    """A process of the world with its output in a file."""

    def __init__(self, command, log, env=None):
        self.log = Path(log)
        self.command = command
        with open(self.log, "ab") as output:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                          stderr=output, env=env, preexec_fn=die_with_parent)

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def stop(self):
        stop(self.popen)

    def kill(self):
        if self.running():
            self.popen.send_signal(signal.SIGKILL)
        return self.popen.wait()

    def end(self, deadline_s=DEADLINE_S):
        """Waits for its end; returns the exit code."""
        try:
            return self.popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.command[0]} did not end within {deadline_s} s:\n"
                                 + self.text()) from None

    def text(self):
        return self.log.read_text(errors="replace")


class World:
    """Use with `with`. Folders, configurations and processes of one test."""

    def __init__(self, servers=3, slaves=1, secondaries=1):
        self.folder = Path(tempfile.mkdtemp(prefix="ringwire-test-"))
        self.processes = []
        self.servers = [f"s{i + 1}" for i in range(servers)]
        self.slaves = [f"c{i + 1}" for i in range(slaves)]
        names = self.servers + self.slaves
        self.ports = dict(zip(names, free_ports(len(names))))
        self.secondaries = min(secondaries, servers - 1)
        self.engines = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.signal(signal.SIGCONT)
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- engines ---

    def configuration(self, name):
        control, data = self.ports[name]
        members = ", ".join(f'"{server}"' for server in self.servers)
        seeds = ", ".join(f'"127.0.0.1:{self.ports[server][0]}"' for server in self.servers)
        role = "server" if name in self.servers else "slave"
        return (f'[cluster]\nname = "test"\ntype = "hash"\nsecondaries = {self.secondaries}\n'
                f'members = [{members}]\nseeds = [{seeds}]\n\n'
                f'[node]\nname = "{name}"\nrole = "{role}"\nstate = "{self.folder}/state-{name}"\n'
                f'control = "127.0.0.1:{control}"\nsocket = "{self.socket(name)}"\nworkers = 1\n\n'
                f'[[port]]\nkind = "socket"\naddress = "127.0.0.1"\nudp_base = {data}\n')

    def socket(self, name):
        return str(self.folder / f"{name}.sock")

    def write_configuration(self, name, text=None):
        path = self.folder / f"{name}.toml"
        path.write_text(text or self.configuration(name))
        return str(path)

    def start_engine(self, name, *options):
        """Starts an engine without waiting for it."""
        engine = self.spawn([program("ringwire-engine"), "-f", self.write_configuration(name),
                             *options], f"engine-{name}")
        self.engines[name] = engine
        return engine

    def start(self):
        """Starts every engine, and waits until every server is in service for every slave."""
        for name in self.ports:
            self.start_engine(name)
        for name in self.ports:
            self.await_up(name)
        return self

    def await_up(self, name):
        def up():
            if not self.engines[name].running():
                raise AssertionError(f"engine {name} ended:\n{self.engines[name].text()}")
            status = self.status(name)
            return status and status["state"] in ("up", "serving") and \
                status["nodes"]["known"] >= len(self.servers)
        await_true(up, f"{name} is up and knows all servers")

    def status(self, name):
        """What the node says of itself; None while it has no engine. On a machine so busy that an
        answer comes too late (exit code 4), asks again."""
        no_engine, timed_out = 3, 4
        def ask():
            done = self.ringwire(name, "status", "--json")
            if done.returncode in (0, no_engine):
                return done
            if done.returncode != timed_out:
                raise AssertionError(f"status of {name}: {done.returncode}: {done.stderr}")
        done = await_true(ask, f"{name} answers")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def nodes(self, name):
        """State of every node as `name` sees it."""
        done = self.ringwire(name, "nodes", "--json")
        if done.returncode != 0:
            return {}
        return {node["name"]: node["state"] for node in json.loads(done.stdout)["nodes"]}

    # --- programs ---

    def spawn(self, command, log_name, env=None):
        process = Process(command, self.folder / f"{log_name}.log", env)
        self.processes.append(process)
        return process

    def serve(self, name, *options):
        """A server program beside an engine; waits until the engine knows its service."""
        before = self.consumers(name)
        process = self.spawn([program("ringwire"), "serve", "--socket", self.socket(name),
                              *(options or ("--save", str(self.saved(name))))],
                             f"serve-{name}-{len(self.processes)}")
        await_true(lambda: self.consumers(name) > before, f"a server program is attached to {name}")
        return process

    def serve_everywhere(self, *options):
        return {name: self.serve(name, *options) for name in self.servers}

    def channels_opened(self, name):
        """Channels of the programs that are there, or messages taken if those are more."""
        told = json.loads(self.ringwire(name, "attachments", "--json").stdout)
        now = sum(len(one["channels"]) for one in told["attachments"])
        return max(now, self.status(name)["messages"]["taken"])

    def consumers(self, name):
        done = self.ringwire(name, "attachments", "--json")
        if done.returncode != 0:
            return 0
        return sum(group["consumers"] for group in json.loads(done.stdout).get("groups", []))

    def saved(self, name):
        return self.folder / f"saved-{name}"

    def saved_contents(self):
        """The contents of every finished file that a server program saved."""
        contents = []
        for name in self.servers:
            if self.saved(name).exists():
                contents += [path.read_bytes() for path in self.saved(name).rglob("*")
                             if path.is_file() and not path.name.startswith(".")]
        return contents

    def ringwire(self, name, *arguments, data=None, deadline_s=DEADLINE_S):
        """Runs a command against an engine to its end."""
        return run("ringwire", arguments[0], "--socket", self.socket(name), *arguments[1:],
                   data=data, deadline_s=deadline_s)

    def sender(self, name, *arguments):
        """Starts `ringwire send` without waiting for its end."""
        return self.spawn([program("ringwire"), "send", "--socket", self.socket(name), *arguments],
                          f"send-{len(self.processes)}")

    def slot(self, key):
        """What the first slave knows of a key: its replicas in their order, and who serves it."""
        done = self.ringwire((self.slaves + self.servers)[0], "slots", "--key", key, "--json")
        return json.loads(done.stdout)["key"]

    def key_owner(self, key):
        """The server that serves a key, as the first slave sees it."""
        return self.slot(key)["serving"]

    def key_of(self, owner):
        """A key whose first replica is `owner`, once that serves it: of who serves now alone, one
        that stands in for another that is just starting would be taken for the owner."""
        for number in range(1000):
            key = f"key-{number}"
            if self.slot(key)["replicas"][0] == owner:
                await_true(lambda: self.key_owner(key) == owner, f"{owner} serves {key}")
                return key
        raise AssertionError(f"{owner} is the first replica of none of 1,000 keys")

    def file(self, name, size_bytes, seed=0):
        """A file of bytes that repeat nowhere soon."""
        path = self.folder / name
        pattern = b"".join((seed * 1_000_003 + i * 2_654_435_761 & 0xffffffff).to_bytes(4, "little")
                           for i in range(65_537))
        path.write_bytes((pattern * (size_bytes // len(pattern) + 1))[:size_bytes])
        return path


def run(name, *arguments, data=None, deadline_s=DEADLINE_S, env=None):
    return subprocess.run([program(name), *arguments], input=data or b"", capture_output=True,
                          timeout=deadline_s, check=False, env=env, preexec_fn=die_with_parent)
