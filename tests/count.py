"""Sums test cases over meson's JSON test logs and prints the one closing line.

A GoogleTest or unittest program counts as its cases, a runner that prints a closing line `N passed,
N failed[, N skipped]` as that, any other program as one. A program that failed counts at least one
failure, whatever it printed.

A test that cannot run here says so, by exiting 77 or by printing `LANE name: cannot run: reason`.
Such a lane is a failure unless ALLOW_SKIP (comma separated) names it.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

LANE = re.compile(r"LANE ([\w.-]+): cannot run: (.+)")
GTEST = re.compile(r"^\[  (PASSED|FAILED|SKIPPED) {1,2}\] (\d+) tests?\b", re.M)
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
UNITTEST_PART = re.compile(r"\b(failures|errors|skipped|unexpected successes)=(\d+)")


FAILED_CASE = re.compile(r"^(?:FAIL|ERROR): (\S+)|^\[  FAILED  \] ([A-Za-z_]\S*)", re.M)
# Of a failed program's output, which is whole in meson's log: enough to see what went wrong.
TOLD_LINES = 60


class Count:
    """Cases of one program: passed, failed, skipped, and the lanes it could not run."""

    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped
        self.lanes = []


def printed_cases(text):
    """The cases that a program's output tells of, or None if it tells none."""
    gtest = GTEST.findall(text)
    if gtest:
        # A repeated or sharded program prints several summaries: all count.
        sums = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
        for verdict, cases in gtest:
            sums[verdict] += int(cases)
        return Count(sums["PASSED"], sums["FAILED"], sums["SKIPPED"])
    closing = CLOSING.findall(text)
    if closing:
        passed, failed, skipped = closing[-1]
        return Count(int(passed), int(failed), int(skipped or 0))
    ran = UNITTEST_RAN.search(text)
    if ran:
        last = text[ran.end():]
        parts = {name: int(cases) for name, cases in UNITTEST_PART.findall(last)}
        skipped = parts.pop("skipped", 0)
        failed = sum(parts.values())
        return Count(int(ran.group(1)) - failed - skipped, failed, skipped)
    return None


def count_program(record):
    """record: one line of meson's testlog.json."""
    text = (record.get("stdout") or "") + "\n" + (record.get("stderr") or "")
    result = record["result"]
    lanes = sorted(set(LANE.findall(text)))
    count = printed_cases(text)
    if result == "SKIP" or record.get("returncode") == 77:
        count = Count()
        lanes = lanes or [(record["name"].split(" / ")[-1], "exit code 77 without a reason")]
    elif count is None:
        count = Count(passed=1) if result in ("OK", "EXPECTEDFAIL") else Count(failed=1)
    elif result not in ("OK", "EXPECTEDFAIL") and count.failed == 0:
        count.failed += 1  # crashed, timed out, or exited badly after its last case
    if count.skipped and not lanes:
        lanes = [(record["name"].split(" / ")[-1], "skipped cases without a reason")]
    # Skipped cases are accounted for by lane: each lane counts once if no case count is known.
    count.skipped = max(count.skipped, len(lanes))
    count.lanes = lanes
    return count


def total(records, allowed):
    """Returns passed, failed, skipped, and the lines about lanes."""
    passed = failed = skipped = 0
    lines = []
    for record in records:
        count = count_program(record)
        passed += count.passed
        failed += count.failed
        refused = [lane for lane in count.lanes if lane[0] not in allowed]
        for name, reason in count.lanes:
            verdict = "FAILED, not in ALLOW_SKIP" if name not in allowed else "skipped, allowed"
            lines.append(f"lane {name}: {verdict}: {reason}")
        if refused:
            failed += count.skipped
        else:
            skipped += count.skipped
    return passed, failed, skipped, lines


def failure(record):
    """The lines that tell of a failed program: which cases, and the end of what it printed."""
    text = (record.get("stdout") or "") + "\n" + (record.get("stderr") or "")
    cases = dict.fromkeys(one or other for one, other in FAILED_CASE.findall(text))
    lines = [f"failed: {record['name']} ({record['result'].lower()})"]
    lines += [f"  case {case}" for case in cases]
    return lines + [f"  | {line}" for line in text.strip().splitlines()[-TOLD_LINES:]]


def closing_line(passed, failed, skipped):
    line = f"{passed} passed, {failed} failed"
    return line + f", {skipped} skipped" if skipped else line


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=0, help="further checks that ran")
    parser.add_argument("--failed-checks", type=int, default=0, help="of these, how many failed")
    parser.add_argument("logs", nargs="+", type=Path, help="meson's testlog JSON files")
    arguments = parser.parse_args()
    allowed = {name.strip() for name in os.environ.get("ALLOW_SKIP", "").split(",") if name.strip()}
    records, lost = [], 0
    for log in arguments.logs:
        if not log.exists():
            print(f"{log}: not written, so that run failed as a whole")
            lost += 1
            continue
        records += [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
    passed, failed, skipped, lines = total(records, allowed)
    for record in records:
        if record["result"] not in ("OK", "EXPECTEDFAIL", "SKIP"):
            print("\n".join(failure(record)))
    for line in lines:
        print(line)
    passed += max(arguments.checks - arguments.failed_checks, 0)
    failed += arguments.failed_checks + lost
    if passed + failed + skipped == 0:
        print("no test ran at all")
        failed = 1
    print(closing_line(passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
