"""System tests of single features that docs/chmpx.md lists: where messages go, who takes them."""

import json
import os
import signal
import unittest
from pathlib import Path

from share_test import Actor
from world import World, await_true, build_folder, program, stop


def targets_of(done):
    """{node: ending} of a multi-target send with --json."""
    return {target["node"]: target["ending"]
            for target in json.loads(done.stdout)["sends"][0]["targets"]}


class Cluster(unittest.TestCase):
    """Tests that share one running cluster."""

    servers, secondaries, options = 3, 1, ()

    @classmethod
    def setUpClass(cls):
        cls.world = World(servers=cls.servers, slaves=1, secondaries=cls.secondaries)
        cls.addClassCleanup(cls.world.__exit__)
        for name in cls.world.ports:
            cls.world.start_engine(name, *cls.options)
        for name in cls.world.ports:
            cls.world.await_up(name)
            await_true(lambda n=name: [state for node, state in cls.world.nodes(n).items()
                                       if node in cls.world.servers] == ["serving"] * cls.servers,
                       f"{name} sees all servers serve")
        cls.world.serve_everywhere("--exec", "printf $RINGWIRE_ORIGIN_NODE")

    def send(self, *options, sender="c1", data=b"x"):
        done = self.world.ringwire(sender, "send", "--json", *options, data=data)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def node_of(self, *options, sender="c1"):
        return json.loads(self.send(*options, sender=sender).stdout)["sends"][0]["node"]


class Targets(Cluster):
    def replicas_of(self, key):
        done = self.world.ringwire("c1", "slots", "--key", key, "--json")
        return json.loads(done.stdout)["key"]["replicas"]

    def test_a_key_goes_to_its_owner_and_its_hash_does_too(self):
        for number in range(8):
            key = f"k{number}"
            owner = self.replicas_of(key)[0]
            asked = self.world.ringwire("c1", "slots", "--key", key, "--json")
            self.assertEqual(self.node_of("--key", key), owner)
            self.assertEqual(self.node_of("--hash", json.loads(asked.stdout)["key"]["hash"]), owner)

    def test_a_node_is_named(self):
        for name in self.world.servers:
            self.assertEqual(self.node_of("--node", name), name)

    def test_random_uses_all_servers(self):
        seen = {self.node_of("--random") for _ in range(2)}
        for _ in range(60):
            if seen == set(self.world.servers):
                return
            seen.add(self.node_of("--random"))
        self.fail(f"62 messages went to {seen} only")

    def test_replicas_are_all_owners(self):
        self.assertEqual(targets_of(self.send("--replicas", "--key", "k")),
                         dict.fromkeys(self.replicas_of("k"), "done"))

    def test_a_broadcast_reaches_every_server(self):
        self.assertEqual(targets_of(self.send("--broadcast")),
                         dict.fromkeys(self.world.servers, "done"))

    def test_a_server_sends_like_any_other_and_may_leave_itself_out(self):
        self.assertEqual(targets_of(self.send("--broadcast", "--exclude-self", sender="s1")),
                         {"s2": "done", "s3": "done"})
        self.assertEqual(self.node_of("--node", "s3", sender="s2"), "s3")

    def test_a_reply_comes_back_and_tells_that_the_origin_was_known(self):
        sent = json.loads(self.send("--key", "k", "--call").stdout)["sends"][0]
        self.assertEqual(sent["reply"]["data"], "c1")


class Programs(Cluster):
    servers, secondaries = 1, 0

    def test_services_are_apart(self):
        first = self.world.serve("s1", "--exec", "printf one", "--service", "one")
        second = self.world.serve("s1", "--exec", "printf two", "--service", "two")
        for service in ("one", "two"):
            sent = json.loads(self.send("--key", "k", "--call", "--service", service).stdout)
            self.assertEqual(sent["sends"][0]["reply"]["data"], service)
        first.kill()
        second.kill()

    def test_programs_of_a_node_share_its_messages(self):
        both = [self.world.serve("s1", "--exec", f"printf {name}", "--service", "shared")
                for name in ("x", "y")]
        seen = set()
        for number in range(100):
            sent = json.loads(self.send("--key", f"k{number}", "--call", "--service", "shared")
                              .stdout)["sends"][0]
            seen.add(sent["reply"]["data"])
            if seen == {"x", "y"}:
                break
        self.assertEqual(seen, {"x", "y"})
        for process in both:
            process.kill()

    def test_messages_wait_for_a_program_that_is_away(self):
        waiting = self.world.sender("c1", "--key", "k", "--service", "late", "/dev/null")
        await_true(lambda: self.world.status("c1")["messages"]["in_flight"] == 1, "it waits")
        late = self.world.serve("s1", "--sink", "--service", "late")
        self.assertEqual(waiting.end(), 0, waiting.text())
        late.kill()

    def test_levels_below_processed_do_not_wait_for_the_program(self):
        stopped = self.world.serve("s1", "--sink", "--service", "stopped")
        stopped.stop()
        for level in ("none", "accepted"):
            sent = json.loads(self.send("--key", "k", "--ack", level, "--service", "stopped")
                              .stdout)["sends"][0]
            self.assertEqual((sent["ending"], sent["level"]), ("done", level))
        stopped.kill()

    def test_memory_of_a_large_message_is_free_though_its_reader_sleeps(self):
        def held_bytes():
            """Of the engine's files that the server program still has open."""
            files = [os.stat(path) for path in Path(f"/proc/{reader.popen.pid}/fd").iterdir()
                     if "ringwire-extents" in os.readlink(path)]
            return sum(about.st_blocks * 512 for about in files)

        reader = self.world.serve("s1", "--sink", "--service", "large")
        self.send("--key", "k", "--service", "large", data=bytes(80_000_000))
        await_true(lambda: held_bytes() < 1_000_000, "its pages are free")
        reader.kill()


class ColdMemory(Cluster):
    """No engine has received anything yet: memory for what comes has to be committed first."""

    servers, secondaries = 2, 1

    def test_a_large_message_is_sent_once_however_long_its_memory_takes(self):
        for name in self.world.servers:
            self.world.serve(name, "--sink", "--service", "large")
        path = self.world.file("large.bin", 300_000_000)
        self.send("--key", "k", "--service", "large", str(path))
        counted = [self.world.status(name)["messages"] for name in self.world.ports]
        sums = {what: sum(one[what] for one in counted)
                for what in ("taken", "done", "retried", "received", "delivered", "duplicates")}
        self.assertEqual(sums, {"taken": 1, "done": 1, "retried": 0, "received": 1,
                                "delivered": 1, "duplicates": 0})


class StoppedPrograms(Cluster):
    servers, secondaries, options = 1, 0, ("-o", "limits.hold=300ms")

    def told(self, what):
        return json.loads(self.world.ringwire("s1", what, "--json").stdout)

    def late_releases(self):
        return sum(drop["count"] for drop in self.told("drops")["drops"]
                   if drop["reason"] == "late_releases")

    def test_what_it_holds_goes_to_another_and_its_late_release_is_refused(self):
        # Stopped while it holds: one that is stopped before may be given nothing any more.
        reader = Actor(self.world, build_folder() / "tests" / "system" / "share_program")
        self.addCleanup(reader.kill)
        self.assertEqual(reader.ask("serve", "held", 0), "ok")
        sender = self.world.sender("c1", "--key", "k", "--service", "held",
                                   self.world.file("held.bin", 300_000))
        self.assertEqual(reader.ask("receive"), "copied 300000 mixed")
        stop(reader.popen)
        other = self.world.spawn([program("ringwire"), "serve", "--socket", self.world.socket("s1"),
                                  "--sink", "--service", "held"], "other")
        self.assertEqual(sender.end(), 0, sender.text())
        self.assertEqual(self.late_releases(), 0)
        reader.popen.send_signal(signal.SIGCONT)
        self.assertEqual(reader.ask("look"), "mixed")
        self.assertEqual(reader.ask("release"), "ok")
        await_true(lambda: self.late_releases() == 1, "its release comes, late")
        # It serves again: alone, it gets the next.
        other.kill()
        sender = self.world.sender("c1", "--key", "k", "--service", "held",
                                   self.world.file("next.bin", 200_000))
        self.assertEqual(reader.ask("receive"), "copied 200000 mixed")
        self.assertEqual(reader.ask("release"), "ok")
        self.assertEqual(sender.end(), 0, sender.text())


class RandomDelivery(Cluster):
    servers, secondaries, options = 2, 0, ("-o", "cluster.type=random")

    def test_the_key_does_not_choose_the_node(self):
        seen = set()
        for _ in range(60):
            seen.add(self.node_of("--key", "one"))
            if seen == {"s1", "s2"}:
                return
        self.fail(f"60 messages of one key went to {seen} only")


class Addresses(unittest.TestCase):
    def moves_a_file(self, edit):
        """In a cluster whose configurations are edited by `edit(text, control, data)`."""
        with World(servers=2, slaves=1) as world:
            for name, (control, data) in world.ports.items():
                text = edit(world.configuration(name), control, data)
                world.engines[name] = world.spawn(
                    [program("ringwire-engine"), "-f", world.write_configuration(name, text)], name)
            for name in world.ports:
                world.await_up(name)
            world.serve_everywhere()
            path = world.file("a.bin", 5_000_000)
            done = world.ringwire("c1", "send", "--key", world.key_of("s2"), str(path))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(world.saved_contents(), [path.read_bytes()])

    def test_a_cluster_runs_over_ipv6(self):
        self.moves_a_file(lambda text, control, data:
                          text.replace("127.0.0.1:", "[::1]:").replace('"127.0.0.1"', '"::1"'))

    def test_nodes_dial_what_is_advertised(self):
        # The seeds know one server only: the other one is found by what it advertises.
        def edit(text, control, data):
            seed = text.split('seeds = ["')[1].split('"')[0]
            lines = [f'seeds = ["{seed}"]' if line.startswith("seeds") else line
                     for line in text.splitlines()]
            return "\n".join(lines).replace(
                f'control = "127.0.0.1:{control}"',
                f'control = "0.0.0.0:{control}"\nadvertise = "127.0.0.1:{control}"').replace(
                'address = "127.0.0.1"', 'address = "0.0.0.0"\nadvertise = "127.0.0.1"') + "\n"
        self.moves_a_file(edit)


if __name__ == "__main__":
    unittest.main()
