"""System tests of the demo: it ends intact, tells what it did, and leaves nothing behind."""

import os
import re
import signal
import unittest
from pathlib import Path

from world import World, await_true, program

DEADLINE_S = 240


def figure(text, name):
    """A number of the closing table."""
    found = re.search(rf"^  {re.escape(name)} +([\d,]+)", text, re.M)
    return int(found.group(1).replace(",", "")) if found else None


def command_lines_with(text):
    """Processes whose command line holds a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # gone in the meantime
    return found


class Demo(unittest.TestCase):
    def start(self, world, *arguments):
        env = {**os.environ, "TMPDIR": str(world.folder)}
        return world.spawn([program("ringwire-demo"), "--engine", program("ringwire-engine"),
                            *arguments], f"demo-{len(world.processes)}", env)

    def files(self, world, count, size_bytes):
        folder = world.folder / "source"
        folder.mkdir()
        for i in range(count):
            world.file(f"source/{i}.bin", size_bytes + i, i)
        (folder / "empty").touch()
        (folder / "name with blanks and ünïcode").write_text("x")
        return folder, count + 2

    def intact(self, world, sent, *arguments):
        demo = self.start(world, *arguments)
        code = demo.end(DEADLINE_S)
        text = demo.text()
        self.assertEqual(code, 0, text)
        for name, value in {"sent": sent, "done": sent, "failed": 0, "lost": 0, "corrupt": 0,
                            "intact": sent}.items():
            self.assertEqual(figure(text, name), value, text)
        self.assertIn("killed server-", text)
        self.assertIn("back in service", text)
        return text

    def test_many_small_files_arrive_intact_past_a_kill(self):
        with World() as world:
            folder, sent = self.files(world, 300, 20_000)
            self.intact(world, sent, str(folder))
            self.assertEqual(list(world.folder.glob("ringwire-demo-*")), [])

    def test_one_large_file_arrives_intact_past_a_kill(self):
        with World() as world:
            self.intact(world, 1, str(world.file("large.bin", 300_000_000)))

    def test_five_percent_of_loss_change_nothing(self):
        with World() as world:
            folder, sent = self.files(world, 100, 50_000)
            self.intact(world, sent, str(folder), "-o", "port.0.fault=loss=0.05,seed=1")

    def test_kept_clusters_answer_at_the_sockets_that_are_told(self):
        with World() as world:
            folder, sent = self.files(world, 30, 1_000)
            text = self.intact(world, sent, str(folder), "--keep")
            sockets = re.findall(r"^RINGWIRE_SOCKET=(.+)$", text, re.M)
            pids = [int(pid) for pid in re.search(r"kill((?: \d+)+);", text).group(1).split()]
            try:
                self.assertEqual(len(sockets), 4)
                for path in sockets:
                    world.socket = lambda _, path=path: path
                    self.assertTrue(world.status("any"), path)
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)

    def test_an_interrupted_demo_leaves_no_process_and_no_folder(self):
        with World() as world:
            folder, _ = self.files(world, 200, 1_000_000)
            demo = self.start(world, str(folder))
            await_true(lambda: "is up" in demo.text() or not demo.running(), "the cluster is up")
            demo.signal(signal.SIGINT)
            self.assertEqual(demo.end(), 1)
            self.assertEqual(list(world.folder.glob("ringwire-demo-*")), [])
            self.assertEqual(command_lines_with(f"{world.folder}/ringwire-demo-"), [])

    def test_a_killed_demo_leaves_no_process(self):
        with World() as world:
            folder, _ = self.files(world, 200, 1_000_000)
            demo = self.start(world, str(folder))
            await_true(lambda: "is up" in demo.text() or not demo.running(), "the cluster is up")
            demo.kill()
            await_true(lambda: not command_lines_with(f"{world.folder}/ringwire-demo-"),
                       "its engines and server programs are gone")


if __name__ == "__main__":
    unittest.main()
