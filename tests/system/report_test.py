"""System tests: what the reports of a running node and the refusals of an engine say."""

import json
import os
import shutil
import subprocess
import unittest

from world import await_true, program, run, stop, World


class RandomCluster(unittest.TestCase):
    def test_slots_says_that_any_serving_node_takes_a_key(self):
        with World(servers=2, slaves=0, secondaries=0) as world:
            for name in world.servers:
                world.start_engine(name, "-o", "cluster.type=random")
            for name in world.servers:
                world.await_up(name)
            await_true(lambda: list(world.nodes("s1").values()) == ["serving"] * 2, "both serve")
            shown = world.ringwire("s1", "slots", "--key", "k").stdout.decode()
            self.assertIn("any node that serves: s1, s2", shown)
            self.assertNotIn("nobody", shown)
            self.assertNotIn("0.00 %", shown)
            asked = json.loads(world.ringwire("s1", "slots", "--hash", "7", "--json").stdout)
            self.assertEqual(asked["key"]["serving_any"], ["s1", "s2"])
            self.assertNotIn("key", asked["key"])


class HashCluster(unittest.TestCase):
    def test_slots_of_a_hash_shows_no_key(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            shown = world.ringwire("s1", "slots", "--hash", "7").stdout.decode()
            self.assertIn("hash      0x0000000000000007\n", shown)
            self.assertNotIn("key ", shown)
            self.assertIn("serving   s1\n", shown)

    def test_status_says_when_no_program_serves(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            self.assertIn(b"no program serves here", world.ringwire("s1", "status").stdout)
            waiting = world.sender("s1", "--key", "k", "--service", "s", "/dev/null")
            await_true(lambda: world.status("s1")["services_without_consumer"] == ["s"],
                       "a message waits for a program")
            serving = world.serve("s1", "--sink", "--service", "s")
            self.assertEqual(waiting.end(), 0, waiting.text())
            status = world.status("s1")
            self.assertEqual((status["consumers"], status["services_without_consumer"]), (1, []))
            self.assertEqual(status["workers"][0]["port"]["handed_over"], 0)
            self.assertNotIn(b"no program serves", world.ringwire("s1", "status").stdout)
            serving.kill()


class Refused(unittest.TestCase):
    """A configuration that is wrong exits 2, whoever finds it out; what is in use exits 1."""

    def test_every_refused_configuration_exits_2(self):
        for option, says in (("limits.memory=1MiB", b"is too small"),
                             ("allow.users=no-such-user", b"no-such-user"),
                             ("port.address=no-such-interface", b"no-such-interface"),
                             ("cluster.without_majority=refuse", b"only \"serve\""),
                             ("cluster.seeds=127.0.0.1:1", b"list the names"),
                             ("port.kind=dpdk", b"needs a device"),
                             ("node.socket=/" + "x" * 120, b"107 bytes")):
            with self.subTest(option), World(servers=1, slaves=0) as world:
                state = f"node.state={world.folder}/state"
                done = run("ringwire-engine", "-o", state, "-o", option)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(says, done.stderr)
                checked = run("ringwire-engine", "--check", "-o", option)
                self.assertEqual(checked.returncode, 2, checked.stderr)

    def test_what_only_a_start_finds_out_exits_2_too(self):
        for option, says in (("node.control=192.0.2.1:3100", b"no address of this machine"),
                             ("node.control=no-such-host.invalid:3100", b"is no address"),
                             ("port.address=192.0.2.1", b"192.0.2.1")):
            with self.subTest(option), World(servers=1, slaves=0) as world:
                done = run("ringwire-engine", "-o", f"node.state={world.folder}/state", "-o",
                           f"node.socket={world.socket('s1')}", "-o", "port.udp_base=0", "-o",
                           "node.control=127.0.0.1:0", "-o", "port.address=127.0.0.1", "-o",
                           option)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(says, done.stderr)

    def test_a_second_node_of_a_living_ones_name_ends(self):
        with World(servers=2, slaves=0) as world:
            world.start()
            own = ("node.name=s1", f"node.state={world.folder}/other",
                   f"node.socket={world.folder}/other.sock", "node.control=127.0.0.1:0",
                   "port.0.udp_base=0")
            second = world.start_engine("s2", *[word for one in own for word in ("-o", one)])
            self.assertEqual(second.end(), 1, second.text())
            self.assertIn("is called s1 already", second.text())
            self.assertEqual(world.nodes("s2"), {"s1": "serving", "s2": "serving"})

    def test_both_sides_of_a_refusal_name_the_other_and_the_reason(self):
        with World(servers=2, slaves=0) as world:
            first = world.start_engine("s1")
            second = world.start_engine("s2", "-o", "cluster.secondaries=0")
            said = "(secondaries)"
            await_true(lambda: said in first.text() and said in second.text(), "both say it")
            lines = [line for line in (first.text() + second.text()).splitlines() if said in line]
            for line in lines:
                self.assertRegex(line, r"node s[12] at 127\.0\.0\.1")


class Users(unittest.TestCase):
    NOBODY = 65534

    def ask(self, world, socket, user):
        """Exit code of `ringwire status`, as that user where this one may become another."""
        command = world.folder / "ringwire"
        as_user = {"user": user, "group": user, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run([command, "status", "--socket", socket], capture_output=True,
                              check=False, cwd="/", **as_user)

    def test_a_named_user_gets_in_and_another_does_not(self):
        with World(servers=1, slaves=0) as world:
            # A copy that the other user can start, wherever the build lies.
            shutil.copy(program("ringwire"), world.folder / "ringwire")
            (world.folder / "ringwire").chmod(0o755)
            world.folder.chmod(0o711)
            folder = f"{world.folder}/made"
            options = ["-o", f"node.socket={folder}/a.sock", "-o", f"allow.users={self.NOBODY}"]
            engine = world.start_engine("s1", *options)
            await_true(lambda: "ready" in engine.text(), "the engine is ready")
            named = self.ask(world, f"{folder}/a.sock", self.NOBODY)
            self.assertEqual(named.returncode, 0, named.stderr)
            if os.geteuid() == 0:
                other = self.ask(world, f"{folder}/a.sock", self.NOBODY - 1)
                self.assertEqual(other.returncode, 1, other.stderr)
                self.assertIn(b"allow", other.stderr)
            self.assertNotIn("cannot reach", engine.text())

    @unittest.skipUnless(os.geteuid() == 0, "only root may become another user")
    def test_what_one_users_programs_hold_leaves_another_its_memory(self):
        with World(servers=1, slaves=0) as world:
            shutil.copy(program("ringwire"), world.folder / "ringwire")
            (world.folder / "ringwire").chmod(0o755)
            world.folder.chmod(0o711)
            engine = world.start_engine("s1", "-o", "limits.memory=512MiB", "-o",
                                        "limits.hold=never", "-o", f"allow.users={self.NOBODY}")
            await_true(lambda: "ready" in engine.text(), "the engine is ready")
            hoarder = subprocess.Popen(
                [world.folder / "ringwire", "serve", "--socket", world.socket("s1"), "--service",
                 "hoard", "--sink"], cwd="/", user=self.NOBODY, group=self.NOBODY,
                extra_groups=[], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            self.addCleanup(hoarder.wait)
            self.addCleanup(hoarder.kill)
            await_true(lambda: world.consumers("s1") == 1, "the hoarder serves")
            stop(hoarder)

            def is_full():
                drops = json.loads(world.ringwire("s1", "drops", "--json").stdout)["drops"]
                return "quota_receiving_bytes" in [drop["reason"] for drop in drops]
            payload = world.file("large", 20 << 20)
            for _ in range(40):
                sent = world.sender("s1", "--service", "hoard", "--key", "k", "--ack", "accepted",
                                    str(payload))
                await_true(lambda s=sent: is_full() or not s.running(), "it is taken or put off")
                if is_full():
                    break
            self.assertTrue(is_full(), "what a user may have is limited")
            # One of the hoarder's waits for memory: another user's does not wait behind it.
            world.serve("s1", "--sink", "--service", "modest")
            payload = world.file("smaller", 8 << 20)
            done = world.ringwire("s1", "send", "--service", "modest", "--key", "k", "--timeout",
                                  "30s", str(payload))
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_a_closed_folder_is_warned_of(self):
        with World(servers=1, slaves=0) as world:
            engine = world.start_engine("s1", "-o", f"allow.users={self.NOBODY}")
            await_true(lambda: "ready" in engine.text(), "the engine is ready")
            self.assertIn(f"{world.folder} is closed to them", engine.text())


if __name__ == "__main__":
    unittest.main()
