"""What becomes of an engine's programs: many of them, killed ones, a restarted engine."""

import json
import resource
import subprocess
import unittest

from world import World, await_true, build_folder, die_with_parent, program


class Life(unittest.TestCase):
    def setUp(self):
        # 300 channels have about eight descriptors each.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.world = World(servers=1, slaves=0, secondaries=0)
        self.addCleanup(self.world.__exit__)
        self.world.start_engine("s1")
        self.world.await_up("s1")

    def test_what_a_killed_program_held_is_back_at_once(self):
        """Prints the times (asked for: 100 ms); fails only if something does not come back."""
        done = subprocess.run([build_folder() / "tests" / "system" / "kill_times",
                               self.world.socket("s1"), "20"], capture_output=True, check=False,
                              timeout=400, preexec_fn=die_with_parent)
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual(told.pop("rounds"), 20)
        for what, times in told.items():
            print(f"after kill -9, {what[:-3]}: median {times['p50'] / 1e6:.2f} ms, "
                  f"max {times['max'] / 1e6:.2f} ms of 20")

    def test_a_program_of_hundreds_of_threads(self):
        """Each has a channel; at one worker, and at three, where its queues are smaller."""
        for workers in (1, 3):
            with self.subTest(workers=workers):
                self.world.engines["s1"].kill()
                self.world.start_engine("s1", "-o", f"node.workers={workers}")
                self.world.await_up("s1")
                before = self.held()
                done = subprocess.run([build_folder() / "tests" / "system" / "many_threads",
                                       self.world.socket("s1"), "300", "20"], capture_output=True,
                                      check=False, timeout=400, preexec_fn=die_with_parent)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(json.loads(done.stdout),
                                 {"received": 6000, "done": 6000, "wrong": 0})
                await_true(lambda: self.held() == before, f"all is back: {before}")

    def held(self):
        status = self.world.status("s1")
        channels = [term["bytes"] for term in status["memory"]["terms"]
                    if term["name"] == "channels"]
        return status["attachments"], channels, status["messages"]["in_flight"]

    def test_a_hundred_programs_come_back_to_a_restarted_engine(self):
        for number in range(100):
            self.world.spawn([program("ringwire"), "serve", "--socket", self.world.socket("s1"),
                              "--sink", "--service", f"of-{number % 10}"], f"serve-{number}")
        await_true(lambda: self.world.consumers("s1") == 100, "a hundred serve", 240)
        self.world.engines["s1"].kill()
        self.world.start_engine("s1")
        self.world.await_up("s1")
        await_true(lambda: self.world.consumers("s1") == 100, "a hundred serve again", 240)
        done = self.world.ringwire("s1", "send", "--key", "k", "--service", "of-3", data=b"x")
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
