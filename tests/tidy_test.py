"""Tests of tests/tidy.py and tests/count.py: each rule finds its breach and lets its twin pass."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import count  # noqa: E402
import tidy  # noqa: E402


def findings(path, text):
    return [message for _, message in tidy.check_file(path, text)]


def findings_in_header(path, body, head="// A room. Cold.\n"):
    return findings(path, f"{head}#pragma once\n{body}\n")


class Rules(unittest.TestCase):
    # (path, line that breaks a rule there, word of the message, path where the line is fine)
    TABLE = [
        ("ring/view.h", '#include "ipc/layout.h"', "may not include ipc", "engine/worker/worker.h"),
        ("base/hash.h", '#include "ring/view.h"', "may not include ring", "ring/placement.h"),
        ("engine/wire/frame.h", '#include "engine/transport/session.h"', "may not include",
         "engine/transport/sender.h"),
        ("engine/node/node.h", '#include "apps/cli/main.h"', "may not include", "apps/cli/top.h"),
        ("apps/cli/main.cc", '#include "tests/sim/network.h"', "may not include",
         "tests/sim/world.cc"),
        ("ring/view.h", '#include "view.h"', "from the top", "docs/view.h"),
        ("engine/worker/worker.cc", "#include <rte_mbuf.h>", "DPDK", "engine/port/dpdk_port.cc"),
        ("engine/node/node.cc", "#include <openssl/ssl.h>", "OpenSSL", "tls/context.cc"),
        ("ring/view.cc", "#include <thread>", "handed the bytes", "engine/node/node.cc"),
        ("engine/wire/frame.cc", "#include <sys/socket.h>", "handed the bytes",
         "engine/port/socket_port.cc"),
        ("engine/worker/worker.cc", "auto t = std::chrono::steady_clock::now();", "reads a clock",
         "apps/cli/main.cc"),
        ("ring/view.cc", "clock_gettime(CLOCK_MONOTONIC, &ts);", "reads a clock",
         "engine/node/clock.h"),
        ("engine/port/socket_port.cc", "t = __rdtsc();", "reads a clock", "perf/micro/copy.cc"),
        ("ring/view.cc", "std::atomic<int> count;", "std::atomic", "ipc/spsc_queue.h"),
        ("ipc/client.cc", "std::atomic_ref<int> head(x);", "std::atomic", "ipc/doorbell.cc"),
        ("ipc/spsc_queue.h", "std::atomic_thread_fence(std::memory_order_acquire);", "fence",
         None),
        ("ipc/spsc_queue.h", "volatile int x;", "volatile", None),
        ("base/bytes.h", "asm(\"nop\");", "assembly", None),
        ("ipc/spsc_queue.h", "x.load(std::memory_order_seq_cst);", "seq_cst", "ipc/doorbell.h"),
        ("ring/view.cc", "#if 0", "dead code", None),
        ("ring/view.cc", "if (false) {}", "dead code", None),
        ("ring/view.cc", "// TODO: later", "without an issue", None),
        ("ring/view.cc", "x = 1; ", "trailing", None),
        ("ring/view.cc", "x" * 101, "columns", None),
        ("ring/RingView.cc", "", "snake_case", "ring/ring_view.cc"),
        ("ring/utils.cc", "", "says nothing", "ring/ring_utils.cc"),
    ]

    def test_each_breach_is_found_and_its_twin_passes(self):
        for path, line, word, fine in self.TABLE:
            with self.subTest(path=path, line=line[:60]):
                found = [m for m in findings_in_header(path, line) if word in m]
                self.assertEqual(len(found), 1, found)
                if fine:
                    self.assertEqual(findings_in_header(fine, line), [])

    def test_hot_files_may_not_hold_slow_words(self):
        for line in ("std::function<void()> f;", "std::string s;", "#include <iostream>",
                     "std::shared_ptr<int> p;", "throw 1;", "std::mutex m;", "p = malloc(3);",
                     'printf("x");'):
            with self.subTest(line=line):
                hot = findings_in_header("engine/worker/turn.h", line, "// A turn. Hot.\n")
                self.assertEqual(len(hot), 1, hot)
                self.assertIn("hot file", hot[0])
                self.assertEqual(findings_in_header("engine/worker/turn.h", line), [])

    def test_string_view_is_fine_in_a_hot_file(self):
        self.assertEqual(
            findings_in_header("engine/worker/t.h", "std::string_view s;", "// Hot.\n"), [])

    def test_comments_and_literals_are_not_code(self):
        self.assertEqual(findings("ring/view.cc", '// volatile\n/* std::atomic\n */ x = "asm";\n'),
                         [])
        self.assertEqual(findings("ring/view.cc", "x = 1'000'000; volatile int y; z = 2'0;\n"),
                         ["volatile: use an atomic access with the order that it needs"])

    def test_a_later_with_an_issue_passes(self):
        self.assertEqual(findings("ring/view.cc", "// TODO(#12): more\n"), [])

    def test_a_header_needs_a_guard_and_a_head_comment(self):
        self.assertEqual(len(findings("ring/view.h", "int x;\n")), 2)
        self.assertEqual(findings("ipc/ringwire.h", "/* C. */\n#ifndef A_H\n#define A_H\n#endif\n"),
                         [])

    def test_a_tree_is_read_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for path, text in {"tests/a_test.cc": "int x; \n",
                               "ring/view.h": "int x;\n"}.items():
                (root / path).parent.mkdir(exist_ok=True)
                (root / path).write_text(text)
            found = tidy.check_tree(root)
            self.assertEqual([f.split(":")[0] for f in found],
                             ["ring/view.h", "ring/view.h", "tests/a_test.cc"])


def record(result, stdout="", returncode=0, stderr=""):
    return {"name": "ringwire:unit / base", "result": result, "stdout": stdout,
            "stderr": stderr, "returncode": returncode}


class Counting(unittest.TestCase):
    GTEST = "[==========] 7 tests ran.\n[  PASSED  ] 5 tests.\n"
    # (what is told, records, ALLOW_SKIP, (passed, failed, skipped))
    TABLE = [
        ("a plain program is one", [record("OK")], set(), (1, 0, 0)),
        ("a plain failure is one", [record("FAIL", returncode=1)], set(), (0, 1, 0)),
        ("gtest counts cases", [record("OK", GTEST)], set(), (5, 0, 0)),
        ("gtest failures count", [record("FAIL", GTEST + "[  FAILED  ] 2 tests, listed below:\n",
                                         1)], set(), (5, 2, 0)),
        ("a crash after the cases is a failure", [record("FAIL", GTEST, -11)], set(), (5, 1, 0)),
        ("a time-out is a failure", [record("TIMEOUT")], set(), (0, 1, 0)),
        ("a runner's closing line counts", [record("OK", "x\n4 passed, 0 failed, 0 skipped\n")],
         set(), (4, 0, 0)),
        ("unittest counts", [record("OK", stderr="Ran 6 tests in 0.1s\n\nOK\n")], set(),
         (6, 0, 0)),
        ("unittest failures count",
         [record("FAIL", "", 1, "Ran 6 tests in 0.1s\n\nFAILED (failures=1, errors=2)\n")], set(),
         (3, 3, 0)),
        ("a lane that cannot run fails", [record("SKIP", "LANE dpdk: cannot run: no memif\n", 77)],
         set(), (0, 1, 0)),
        ("an allowed lane is skipped", [record("SKIP", "LANE dpdk: cannot run: no memif\n", 77)],
         {"dpdk"}, (0, 0, 1)),
        ("77 without a word is the test's own lane", [record("SKIP", "", 77)], {"base"},
         (0, 0, 1)),
        ("skipped gtest cases need a lane",
         [record("OK", GTEST + "[  SKIPPED ] 2 tests, listed below:\n")], set(), (5, 2, 0)),
        ("skipped gtest cases of an allowed lane",
         [record("OK", "LANE root: cannot run: not root\n" + GTEST
                 + "[  SKIPPED ] 2 tests, listed below:\n")], {"root"}, (5, 0, 2)),
    ]

    def test_table(self):
        for told, records, allowed, expected in self.TABLE:
            with self.subTest(told):
                self.assertEqual(count.total(records, allowed)[:3], expected)

    def test_the_closing_line_has_one_form(self):
        self.assertEqual(count.closing_line(3, 0, 0), "3 passed, 0 failed")

    def test_a_failure_names_its_cases_and_shows_its_end(self):
        failed = record("FAIL", "[  FAILED  ] Foo.bar (3 ms)\n[  FAILED  ] 1 test, listed\n",
                        stderr="FAIL: test_a (demo_test.Demo)\n" + "line\n" * 100)
        told = count.failure(failed)
        self.assertEqual(told[1:3], ["  case Foo.bar", "  case test_a"])
        self.assertEqual(told[-1], "  | line")
        self.assertEqual(len(told), 3 + count.TOLD_LINES)
        self.assertEqual(count.closing_line(3, 1, 2), "3 passed, 1 failed, 2 skipped")


if __name__ == "__main__":
    unittest.main()
