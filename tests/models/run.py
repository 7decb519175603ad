#!/usr/bin/env python3
"""Checks the Promela models exhaustively with spin: every state that can be reached, within the
bounds that each row names. Then breaks one rule after the other (-DBUG=n) and wants spin to find
each, so that "no errors" means something. `run.py --full` searches wider bounds (minutes).

One verdict line per check; the closing line counts them. Exit code 1 if one is not as expected, 77
if spin or a C compiler is missing."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEMORY_MB = 4_000  # a search that wants more fails
SECONDS = 900  # one search; far above what it takes, so that a slow machine is no failure
DEPTH = 2_000_000

# (model, bounds): no error in any reachable state. Quick: a few seconds each.
QUICK = [
    ("register", "EPOCHS=1 BALLOTS=2 CRASHES=1"),
    ("register", "EPOCHS=2 BALLOTS=1 CRASHES=1"),
    ("handover", "CRASHES=0 ABORTS=1"),
    ("handover", "CRASHES=1 ABORTS=1"),
]
FULL = [
    ("register", "EPOCHS=1 BALLOTS=3 CRASHES=1"),
    ("handover", "CRASHES=2 ABORTS=1"),
]
# (model, bounds with one broken rule, what it is): an error must be found. The last of each model
# breaks none: it shows that the search reaches the end of the story.
BUGS = [
    ("register", "BALLOTS=3 BUG=1", "answers leave before the record is durable"),
    ("register", "BALLOTS=3 BUG=2", "votes for ballots older than promised"),
    ("register", "BALLOTS=3 BUG=3", "votes of a majority of the old voters do"),
    ("register", "BALLOTS=2 BUG=4", "votes of a majority of the new voters do"),
    ("register", "BALLOTS=3 BUG=5", "votes that promises tell are ignored"),
    ("register", "BALLOTS=1 BUG=6", "a view is acted on before it is durable"),
    ("register", "BALLOTS=2 BUG=7", "the goal, where all know the last epoch"),
    ("handover", "BUG=1", "the old owner resumes while its decree is under way"),
    ("handover", "BUG=2", "it does not wait for what is out"),
    ("handover", "BUG=3", "no changes are sent after the bulk copy"),
    ("handover", "BUG=4", "it hands out what it held itself"),
    ("handover", "BUG=5", "a restarted node serves under the view it stopped in"),
    ("handover", "BUG=6", "an abort forgets what has moved"),
    ("handover", "BUG=7 CRASHES=0", "predecessors are not looked at"),
    ("handover", "BUG=8", "the new owner serves before the commit"),
    ("handover", "BUG=9 CRASHES=0", "the goal, where all has moved and all is done"),
]


def search(model, bounds, optimise):
    """Builds and runs one verifier. Gives (errors, states, complete, what spin said of it)."""
    with tempfile.TemporaryDirectory() as folder:
        return search_in(folder, model, bounds, optimise)


def search_in(folder, model, bounds, optimise):
    defines = [f"-D{bound}" for bound in bounds.split()]
    steps = [["spin", "-a", *defines, str(HERE / f"{model}.pml")],
             ["cc", optimise, "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB}", "-o", "pan",
              "pan.c"]]
    for step in steps:
        done = subprocess.run(step, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return None, 0, False, (done.stdout + done.stderr).strip()
    try:
        done = subprocess.run(["./pan", f"-m{DEPTH}", "-E"], cwd=folder, capture_output=True,
                              text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None, 0, False, f"not ended after {SECONDS} s"
    text = done.stdout
    errors = re.search(r"errors: (\d+)", text)
    states = re.search(r"([\d.e+]+) states, stored", text)
    complete = "Search not completed" not in text and "max search depth" not in text
    found = re.search(r"pan:\d+: (.*)", text)
    return (int(errors.group(1)) if errors else None, int(float(states.group(1))) if states else 0,
            complete, found.group(1) if found else text[-300:])


def verdict(check):
    """(came out as it should, the line that says so)"""
    model, bounds, wants_error, what = check
    start = time.monotonic()
    # What stops at its first error is sooner built without optimisation than run with it.
    errors, states, complete, said = search(model, bounds, "-O0" if wants_error else "-O2")
    if wants_error:
        # A count of errors alone would also be a broken model: it must be an assertion of ours.
        good = errors is not None and errors > 0 and "assertion violated" in said
        result = "found" if good else "NOT FOUND"
    else:
        good = errors == 0 and complete and states > 1_000
        result = "no errors" if good else "FAILED"
    line = (f"{model:9} {bounds:29} {result}: {what}{states:,} states, "
            f"{time.monotonic() - start:.1f} s")
    return good, line if good else f"{line}\n  | {said}"


def main(arguments):
    if not shutil.which("spin") or not shutil.which("cc"):
        print("LANE models: cannot run: spin and a C compiler are needed")
        return 77
    rows = QUICK + (FULL if "--full" in arguments else [])
    checks = [(model, bounds, False, "every state, ") for model, bounds in rows]
    checks += [(model, bounds, True, f"{what}, after ") for model, bounds, what in BUGS]
    passed = 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        for good, line in pool.map(verdict, checks):
            print(line, flush=True)
            passed += good
    print(f"{passed} passed, {len(checks) - passed} failed")
    return 0 if passed == len(checks) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
