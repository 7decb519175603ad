"""Tests of ./dev that build nothing: its syntax, its verbs, its refusals."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("ROOT", Path(__file__).resolve().parents[2]))
DEV = str(ROOT / "dev")


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


class Dev(unittest.TestCase):
    def test_is_posix_sh(self):
        for shell in ("sh", "dash", "bash"):
            if shell == "sh" or shutil.which(shell):
                self.assertEqual(run(shell, "-n", DEV).stderr, "")

    def test_help_names_every_verb_that_the_script_knows(self):
        text = run(DEV, "help", cwd="/").stdout
        for verb in ("setup", "build", "test", "demo", "bench", "compare", "sim", "fuzz", "format",
                     "tidy", "install", "package"):
            self.assertRegex(text, rf"(?m)^  {verb}\b")

    def test_refuses_what_it_does_not_know_with_exit_code_2(self):
        for arguments in (["fly"], ["build", "fastest"], ["build", "debug", "more"], ["install"],
                          ["test", "--soon"]):
            with self.subTest(arguments):
                done = run(DEV, *arguments, cwd="/")
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("dev: ", done.stderr)

    def test_works_with_standard_input_closed(self):
        done = run("sh", "-c", f"'{DEV}' help <&-")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_an_ordinary_user_is_told_the_one_command_that_is_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, body in {"dpkg-query": "exit 1", "id": "echo 1000"}.items():
                path = Path(folder) / name
                path.write_text(f"#!/bin/sh\n{body}\n")
                path.chmod(0o755)
            done = run(DEV, "setup", env={"PATH": f"{folder}:{os.environ['PATH']}"})
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, r"apt-get install -y --no-install-recommends .*\bmeson\b")


if __name__ == "__main__":
    unittest.main()
