"""A hostile program beside two well-behaved ones, on a real engine: whatever it does to its queues,
its files and the socket, the others lose nothing and keep their order, the engine lives and has
everything back afterwards, and each attachment that it ended for a reason is counted.
"""

import json
import os
import signal
import subprocess
import unittest
from pathlib import Path

from share_test import Actor
from world import World, await_true, build_folder, die_with_parent, program, stop

# Rounds of each attack, and whether each round of it must end with the attachment ended.
ATTACKS = {
    "indices": (30, True),
    "races": (6, True),
    "lengths": (30, True),
    "releases": (10, False),
    "replies": (10, False),
    "descriptors": (40, True),
    "halves": (40, True),
    "calls": (4, False),
    "silence": (10, False),
    "files": (12, False),
    "greed": (3, False),
    "hoard": (1, False),
}
OTHER_USER = 61234


def tool(name):
    return str(build_folder() / "tests" / "system" / name)


class Hostile(unittest.TestCase):
    """One engine, one honest pair, and one attack after the other."""

    options = ()
    before_engine = ()  # of its command line

    @classmethod
    def setUpClass(cls):
        cls.world = World(servers=1, slaves=0, secondaries=0)
        cls.addClassCleanup(cls.world.__exit__)
        cls.engine = cls.world.spawn(
            [*cls.before_engine, program("ringwire-engine"), "-f",
             cls.world.write_configuration("s1"), "-o", "limits.memory=1GiB",
             "-o", "limits.program_grace=100ms", *cls.options],
            "engine-s1")
        cls.world.engines["s1"] = cls.engine
        cls.world.await_up("s1")

    def setUp(self):
        self.before = self.held()
        self.pair = None

    # --- what the engine has and says ---

    def told(self, what):
        def ask():
            self.assertTrue(self.engine.running(), self.engine.text())
            done = self.world.ringwire("s1", what, "--json")
            return json.loads(done.stdout) if done.returncode == 0 else None
        return await_true(ask, f"the engine says its {what}", 120)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.engine.popen.pid}/fd"))

    def held(self):
        """What programs have of the engine."""
        status = self.told("status")
        channels = [term["bytes"] for term in status["memory"]["terms"]
                    if term["name"] == "channels"]
        return {"attachments": status["attachments"], "channels": channels,
                "in_flight": status["messages"]["in_flight"]}

    def counted(self):
        return {drop["reason"]: drop["count"] for drop in self.told("drops")["drops"]}

    # --- programs ---

    def start_pair(self):
        log = self.world.folder / f"pair-{self.id()}.log"
        with open(log, "wb") as output:
            self.pair = subprocess.Popen([tool("honest_pair"), self.world.socket("s1")],
                                         stdin=subprocess.PIPE, stdout=output,
                                         stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        self.addCleanup(self.pair.kill)
        self.pair_log = log
        self.await_progress()

    def progress(self):
        self.assertIsNone(self.pair.poll(), self.pair_log.read_text())
        return self.pair_log.read_text().count("\n")

    def await_progress(self):
        """The pair gets at least another hundred messages through."""
        seen = self.progress()
        await_true(lambda: self.progress() > seen + 1, "the honest pair goes on", 120)

    def end_pair(self):
        self.pair.stdin.close()
        self.assertEqual(self.pair.wait(120), 0, self.pair_log.read_text())
        told = json.loads(self.pair_log.read_text().splitlines()[-1])
        self.assertGreater(told["sent"], 100)
        self.assertEqual(told, {"sent": told["sent"], "done": told["sent"], "other": 0,
                                "received": told["sent"], "wrong": 0},
                         "\n".join(line for line in self.pair_log.read_text().splitlines()
                                   if line.startswith("wanted")))

    def attack(self, name, rounds, seed=1, die=False):
        command = [tool("hostile_program"), self.world.socket("s1"), name, str(rounds), str(seed)]
        return subprocess.Popen(command + (["--die"] if die else []), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, preexec_fn=die_with_parent)

    # --- what must hold ---

    def assert_sound(self):
        """The engine lives, has all back, and its books are right."""
        self.assertTrue(self.engine.running(), self.engine.text())
        await_true(lambda: self.held() == self.before, f"all is back: {self.before}")
        messages = self.told("status")["messages"]
        self.assertEqual(messages["taken"], messages["done"] + messages["failed"]
                         + messages["unknown"] + messages["in_flight"])

    def survives(self, name):
        rounds, ends = ATTACKS[name]
        before = self.counted()
        self.start_pair()
        attacker = self.attack(name, rounds)
        said, errors = attacker.communicate(timeout=240)
        self.assertEqual(attacker.returncode, 0, errors)
        self.await_progress()
        self.end_pair()
        self.assert_sound()
        told = json.loads(said)
        if ends:
            self.assertEqual(told["ended"], rounds)
            counted = {reason: count - before.get(reason, 0)
                       for reason, count in self.counted().items()}
            self.assertEqual(self.ended_since(before), rounds, counted)
        return {reason: count - before.get(reason, 0) for reason, count in self.counted().items()}

    def ended_since(self, before):
        now = self.counted()
        return sum(now.get(reason, 0) - before.get(reason, 0)
                   for reason in ("malformed", "broken_queues"))


class HostilePrograms(Hostile):
    def test_indices_that_jump(self):
        self.survives("indices")

    def test_entries_that_change_while_they_are_read(self):
        self.survives("races")

    def test_entries_that_lie(self):
        self.survives("lengths")

    def test_releases_of_what_it_does_not_have(self):
        self.assertGreater(self.survives("releases").get("bad_releases", 0), 0)

    def test_replies_that_are_forged(self):
        self.survives("replies")

    def test_descriptors_that_nobody_asked_for(self):
        descriptors = self.descriptors()
        self.assertGreater(self.survives("descriptors").get("surplus_descriptors", 0), 0)
        await_true(lambda: self.descriptors() <= descriptors, "its descriptors are closed")

    def test_half_messages(self):
        self.survives("halves")

    def test_floods_of_calls(self):
        self.survives("calls")

    def test_answers_that_are_not_read(self):
        self.survives("silence")

    def test_files_that_are_not_what_they_should_be(self):
        self.survives("files")

    def test_greed(self):
        self.survives("greed")

    def test_hoarding_of_files(self):
        told = self.survives("hoard")
        self.assertGreater(told.get("quota_files", 0) + told.get("quota_descriptors", 0), 0)

    def test_every_attack_is_listed(self):
        listed = subprocess.run([tool("hostile_program"), "--list"], capture_output=True,
                                check=True, text=True).stdout.split()
        self.assertEqual(listed, sorted(ATTACKS))

    def test_killed_in_the_middle_of_each(self):
        descriptors = self.descriptors()
        self.start_pair()
        for seed in range(3):
            for name in ATTACKS:
                attacker = self.attack(name, 0, seed, die=True)
                attacker.communicate(timeout=120)
                self.assertEqual(attacker.returncode, -signal.SIGKILL, name)
        self.await_progress()
        self.end_pair()
        self.assert_sound()
        await_true(lambda: self.descriptors() <= descriptors, "its descriptors are closed")


class FewDescriptors(Hostile):
    """An engine that may open 400 files: 300 for programs, 150 for any one of them."""

    before_engine = ("sh", "-c", 'ulimit -n 400; exec "$@"', "sh")

    def test_one_program_does_not_get_all(self):
        told = self.survives("hoard")
        self.assertEqual(told.get("quota_descriptors"), 1)
        self.assertNotIn("no_descriptor", {reason for reason, count in told.items() if count})


class StoppedBeside(Hostile):
    """A server program is stopped for longer than `hold` while others attack."""

    options = ("-o", "limits.hold=300ms")
    beside = ("indices", "races", "lengths", "releases", "files", "greed")

    def test_what_it_held_goes_to_another_and_its_late_release_is_refused(self):
        self.start_pair()
        reader = Actor(self.world, tool("share_program"))
        self.addCleanup(reader.kill)
        self.assertEqual(reader.ask("serve", "held", 0), "ok")
        sender = self.world.sender("s1", "--key", "k", "--service", "held",
                                   self.world.file("held.bin", 300_000))
        self.assertEqual(reader.ask("receive"), "copied 300000 mixed")
        stop(reader.popen)
        attackers = {name: self.attack(name, ATTACKS[name][0], 11) for name in self.beside}
        other = self.world.serve("s1", "--sink", "--service", "held")
        self.assertEqual(sender.end(240), 0, sender.text())
        for name, attacker in attackers.items():
            _, errors = attacker.communicate(timeout=300)
            self.assertEqual(attacker.returncode, 0, f"{name}: {errors}")
        late = self.counted().get("late_releases", 0)
        reader.popen.send_signal(signal.SIGCONT)
        self.assertEqual(reader.ask("look"), "mixed")
        self.assertEqual(reader.ask("release"), "ok")
        await_true(lambda: self.counted().get("late_releases", 0) == late + 1, "it comes, late")
        self.await_progress()
        self.end_pair()
        reader.kill()
        other.kill()
        self.assert_sound()


class AllAtOnce(Hostile):
    """Every attack at the same time, of another user where this one may become one."""

    options = ("-o", f"allow.users={OTHER_USER}") if os.geteuid() == 0 else ()

    def attack(self, name, rounds, seed=1, die=False):
        if os.geteuid() != 0:
            return super().attack(name, rounds, seed, die)
        copy = Path(self.world.folder) / "hostile_program"
        if not copy.exists():
            copy.write_bytes(Path(tool("hostile_program")).read_bytes())
            copy.chmod(0o755)
            self.world.folder.chmod(0o711)
        return subprocess.Popen([copy, self.world.socket("s1"), name, str(rounds), str(seed)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
                                user=OTHER_USER, group=OTHER_USER, extra_groups=[])

    def test_the_honest_pair_goes_on(self):
        self.start_pair()
        attackers = {name: self.attack(name, rounds, 7) for name, (rounds, _) in ATTACKS.items()}
        for name, attacker in attackers.items():
            _, errors = attacker.communicate(timeout=300)
            self.assertEqual(attacker.returncode, 0, f"{name}: {errors}")
        self.await_progress()
        self.end_pair()
        self.assert_sound()


if __name__ == "__main__":
    unittest.main()
