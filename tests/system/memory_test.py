"""Memory files of huge pages, with the kernel set for them as long as the test runs."""

import os
import subprocess
import unittest
from pathlib import Path

from world import build_folder, needs

SETTING = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
TESTS = "MemoryFile.DISABLED_is_of_huge_pages_where_the_kernel_has_them"


class HugeFiles(unittest.TestCase):
    def test_large_files_are_of_huge_pages(self):
        needs(os.access(SETTING, os.W_OK), "huge_files", "setting shmem_enabled wants root")
        before = SETTING.read_text().partition("[")[2].partition("]")[0]
        self.addCleanup(SETTING.write_text, before)
        SETTING.write_text("advise")
        done = subprocess.run([build_folder() / "tests" / "ipc" / "ipc_test",
                               "--gtest_also_run_disabled_tests", f"--gtest_filter={TESTS}"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("[  PASSED  ] 1 test", done.stdout)


if __name__ == "__main__":
    unittest.main()
