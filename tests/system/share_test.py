"""Delivery by reference between real programs (docs/segment.md, S-52 to S-55): some are killed,
stopped or of another user."""

import os
import shutil
import signal
import subprocess
import unittest

from world import World, await_true, build_folder, die_with_parent, needs

NONE, ACCEPTED, PROCESSED = 1, 2, 3
BYTES = 300_000


class Actor:
    """A share_program beside the engine."""

    def __init__(self, world, program, user=None, socket=None):
        as_user = {"user": user, "group": user, "extra_groups": []} if user is not None else {}
        env = {"RINGWIRE_SOCKET": socket or world.socket("s1")}
        self.popen = subprocess.Popen([str(program)], stdin=subprocess.PIPE, text=True, env=env,
                                      stdout=subprocess.PIPE, preexec_fn=die_with_parent, cwd="/",
                                      **as_user)

    def tell(self, *words):
        self.popen.stdin.write(" ".join(map(str, words)) + "\n")
        self.popen.stdin.flush()

    def ask(self, *words):
        self.tell(*words)
        return self.answer()

    def answer(self):
        return self.popen.stdout.readline().strip()

    def kill(self):
        self.popen.kill()
        self.popen.wait()
        self.popen.stdin.close()
        self.popen.stdout.close()


class Share(unittest.TestCase):
    NOBODY = 65534

    @classmethod
    def setUpClass(cls):
        cls.world = World(servers=1, slaves=0, secondaries=0)
        cls.addClassCleanup(cls.world.__exit__)
        # A copy that another user can start, wherever the build lies.
        cls.world.folder.chmod(0o711)
        cls.program = cls.world.folder / "share_program"
        shutil.copy(build_folder() / "tests" / "system" / "share_program", cls.program)
        cls.program.chmod(0o755)
        cls.world.start_engine("s1", "-o", "limits.hold=300ms", "-o", f"allow.users={cls.NOBODY}")
        cls.world.await_up("s1")

    def actor(self, user=None):
        made = Actor(self.world, self.program, user)
        self.addCleanup(made.kill)
        return made

    def reader(self, user=None, share=1):
        """A consumer of a service of this test's own."""
        made = self.actor(user)
        self.assertEqual(made.ask("serve", self._testMethodName, share), "ok")
        return made

    def send(self, sender, level=PROCESSED, fill="a", size_bytes=BYTES):
        ticket = sender.ask("send", self._testMethodName, size_bytes, level, fill)
        self.assertTrue(ticket.isdigit(), ticket)
        return ticket

    def shared(self):
        return self.world.status("s1")["messages"]["shared"]

    def test_a_reader_sees_what_its_sender_writes_meanwhile(self):
        before, reader, sender = self.shared(), self.reader(), self.actor()
        ticket = self.send(sender)
        self.assertEqual(reader.ask("receive"), f"shared {BYTES} a")
        self.assertEqual(sender.ask("write", ticket, "b"), "ok")
        self.assertEqual(reader.ask("look"), "b")
        self.assertEqual(reader.ask("release"), "ok")
        self.assertEqual(sender.ask("wait", ticket), "done")
        self.assertEqual(self.shared(), before + 1)

    def test_memory_is_not_used_again_before_the_release(self):
        reader, sender = self.reader(), self.actor()
        first = self.send(sender, NONE)
        self.assertEqual(sender.ask("wait", first), "done")
        self.assertEqual(reader.ask("receive"), f"shared {BYTES} a")
        for fill in "bcdefg":
            self.assertEqual(sender.ask("wait", self.send(sender, NONE, fill)), "done")
        self.assertEqual(reader.ask("look"), "a")
        for fill in "bcdefg":
            self.assertEqual(reader.ask("release"), "ok")
            self.assertEqual(reader.ask("receive"), f"shared {BYTES} {fill}")
        self.assertEqual(reader.ask("release"), "ok")

    def test_a_copy_when_one_side_does_not_ask(self):
        reader, sender = self.reader(share=0), self.actor()
        ticket = self.send(sender)
        self.assertEqual(reader.ask("receive"), f"copied {BYTES} a")
        self.assertEqual(sender.ask("write", ticket, "b"), "ok")
        self.assertEqual(reader.ask("look"), "a")
        reader.ask("release")

    def test_a_copy_for_another_user(self):
        needs(os.geteuid() == 0, "other_users", "becoming another user wants root")
        reader, sender = self.reader(self.NOBODY), self.actor()
        ticket = self.send(sender)
        self.assertEqual(reader.ask("receive"), f"copied {BYTES} a")
        self.assertEqual(sender.ask("write", ticket, "b"), "ok")
        self.assertEqual(reader.ask("look"), "a")
        reader.ask("release")

    def test_two_programs_of_a_user_that_is_not_the_engines(self):
        needs(os.geteuid() == 0, "other_users", "becoming another user wants root")
        reader, sender = self.reader(self.NOBODY), self.actor(self.NOBODY)
        self.send(sender)
        self.assertEqual(reader.ask("receive"), f"shared {BYTES} a")
        reader.ask("release")

    def test_a_sender_that_is_killed_leaves_what_is_read(self):
        reader, sender = self.reader(), self.actor()
        for fill in "abc":
            self.send(sender, PROCESSED, fill)
        self.assertEqual(reader.ask("receive"), f"shared {BYTES} a")
        sender.kill()
        pid = sender.popen.pid
        await_true(lambda: str(pid) not in self.world.ringwire("s1", "attachments").stdout.decode(),
                   "the engine knows of the death")
        self.assertEqual(reader.ask("look"), "a")
        # What was not yet handed out is handed out now, from memory that its program left behind.
        for fill in "bc":
            self.assertEqual(reader.ask("release"), "ok")
            self.assertEqual(reader.ask("receive"), f"shared {BYTES} {fill}")
        self.assertEqual(reader.ask("release"), "ok")

    def test_a_reader_that_is_killed_passes_it_on(self):
        first, sender = self.reader(), self.actor()
        ticket = self.send(sender)
        self.assertEqual(first.ask("receive"), f"shared {BYTES} a")
        second = self.reader()
        first.kill()
        self.assertEqual(second.ask("receive"), f"shared {BYTES} a")
        self.assertEqual(second.ask("release"), "ok")
        self.assertEqual(sender.ask("wait", ticket), "done")

    def test_a_stopped_reader_keeps_the_memory_and_nobody_waits(self):
        first, sender = self.reader(), self.actor()
        ticket = self.send(sender)
        self.assertEqual(first.ask("receive"), f"shared {BYTES} a")
        first.popen.send_signal(signal.SIGSTOP)
        second = self.reader()
        self.assertEqual(second.ask("receive"), f"shared {BYTES} a")
        self.assertEqual(second.ask("release"), "ok")
        self.assertEqual(sender.ask("wait", ticket), "done")
        # The sender goes on, in other memory.
        again = self.send(sender, PROCESSED, "z")
        self.assertEqual(second.ask("receive"), f"shared {BYTES} z")
        first.popen.send_signal(signal.SIGCONT)
        self.assertEqual(first.ask("look"), "a")
        self.assertEqual(second.ask("release"), "ok")
        self.assertEqual(sender.ask("wait", again), "done")


if __name__ == "__main__":
    unittest.main()
