"""Compiles every header of the tree alone: a header includes what it needs. Usage: headers.py
[ROOT]. DPDK headers are compiled only where DPDK is installed, and it is said when not.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tidy

CXX = ["g++", "-std=c++20", "-fsyntax-only", "-x", "c++", "-D_GNU_SOURCE",
       '-DRINGWIRE_VERSION="0"']
C = ["gcc", "-std=c11", "-Wpedantic", "-Werror", "-fsyntax-only", "-x", "c"]


def pkg_config(package):
    """Compile flags of a package, or None if it is absent."""
    found = subprocess.run(["pkg-config", "--cflags", package], capture_output=True, text=True,
                           check=False)
    return found.stdout.split() if found.returncode == 0 else None


def compile_alone(root, command, header):
    """Returns the compiler's complaints, "" if none."""
    source = f'#include "{header}"\n'
    done = subprocess.run(command + ["-I", str(root), "-"], input=source, cwd=root,
                          capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr


def main(arguments):
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    dpdk = pkg_config("libdpdk")
    jobs = []
    for path in tidy.tracked_files(root):
        if not path.endswith((".h", ".hpp")):
            continue
        text = (root / path).read_text(encoding="utf-8")
        flags = []
        # Also by way of another of them.
        if re.search(r"#\s*include\s*[<\"](rte_|engine/port/dpdk_)", text):
            if dpdk is None:
                print(f"{path}: not compiled, DPDK is not installed")
                continue
            flags = dpdk
        jobs.append((path, CXX + flags))
        if "C11" in tidy.head_comment(text):
            jobs.append((path, C))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = list(pool.map(lambda job: compile_alone(root, job[1], job[0]), jobs))
    bad = 0
    for (path, command), complaint in zip(jobs, complaints):
        if complaint:
            bad += 1
            print(f"{path} does not compile alone ({command[0]}):\n{complaint}")
    print(f"{len(jobs)} compiled, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
