"""Drives the fuzz targets of a built fuzz profile; `./dev fuzz` calls it.

    run.py BUILD                               lists the targets
    run.py BUILD TARGET [--seconds S]          fuzzes one; all: each in turn
    run.py BUILD TARGET --minimise             makes the tree's corpus anew from all that was found

New inputs are kept in BUILD/corpus/TARGET and used again the next time. What fails is kept in
tests/fuzz/crashes/TARGET, where every build replays it. Exit code 1 if anything failed.
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULT_SECONDS = 20
MAX_CORPUS_FILES = 50
# Longest input that is tried. Of a frame: the least packet size, in which every item fits. The
# others are stories, told until something ends them: longer ones say nothing more.
MAX_BYTES = {"frame": 1200, "control": 4096, "config": 1024}
DEFAULT_MAX_BYTES = 600


def programs(build):
    """{target: program} of what was built."""
    found = {path.name[len("fuzz_"):]: path for path in (build / "tests/fuzz").glob("fuzz_*")
             if path.is_file() and os.access(path, os.X_OK)}
    return dict(sorted(found.items()))


def files_of(folder):
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file())


def environment():
    """A finding must end the run with a file, whatever kind it is."""
    return os.environ | {"UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def fuzz(target, program, work, seconds):
    """One run; prints its line. True when nothing was found."""
    crashes = HERE / "crashes" / target
    folders = [work / target, HERE / "corpus" / target, crashes]
    for folder in (work / target, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    known = set(files_of(crashes))
    cpu_before = cpu_seconds()
    done = subprocess.run(
        [str(program), f"-max_total_time={seconds}", "-print_final_stats=1",
         "-timeout=120", "-report_slow_units=120",  # the machine may be busy
         # Choosing among inputs by their rarity costs more than running a short one.
         "-entropic=0",
         # Stories need some length before they mean anything.
         f"-len_control={100 if target in MAX_BYTES else 0}",
         "-rss_limit_mb=2048", f"-max_len={MAX_BYTES.get(target, DEFAULT_MAX_BYTES)}",
         f"-artifact_prefix={crashes}/"] + [str(folder) for folder in folders if folder.is_dir()],
        capture_output=True, text=True, errors="replace", check=False, env=environment())
    cpu = max(cpu_seconds() - cpu_before, 0.001)
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    coverage = re.findall(r"cov: (\d+)", done.stderr)
    runs = int(runs.group(1)) if runs else 0
    fresh = sorted(set(files_of(crashes)) - known)
    if not any(crashes.iterdir()):
        crashes.rmdir()
    clean = done.returncode == 0 and not fresh
    print(f"{target:<14} {'clean' if clean else 'FAILED':<7} {runs:>12,} runs "
          f"{runs / max(seconds, 1):>10,.0f}/s {runs / cpu:>10,.0f} per CPU second "
          f"{coverage[-1] if coverage else '?':>7} edges", flush=True)
    if not clean:
        print("\n".join("  | " + line for line in done.stderr.splitlines()[-40:]))
        for path in fresh:
            print(f"  kept: {path}\n  replay: {program} {path}")
    return clean


def features(control):
    """{file: set of features} of a libFuzzer merge control file."""
    lines = control.read_text(errors="replace").splitlines()
    count = int(lines[0])
    names = lines[2:2 + count]
    found = {}
    for line in lines[2 + count:]:
        word, *rest = line.split()
        if word in ("FT", "COV"):
            found.setdefault(names[int(rest[0])], set()).update(f"{word}{at}" for at in rest[1:])
    return found


def minimise(target, program, work):
    """Replaces the tree's corpus by the few files that reach the most, the small ones first."""
    corpus = HERE / "corpus" / target
    with tempfile.TemporaryDirectory() as folder:
        control = Path(folder) / "control"
        every = Path(folder) / "every"
        merged = Path(folder) / "merged"
        for path in (every, merged):
            path.mkdir()
        for source in (work / target, corpus):
            for path in files_of(source):
                shutil.copy(path, every)
        subprocess.run([str(program), "-merge=1", f"-merge_control_file={control}", str(merged),
                        str(every)], capture_output=True, check=True, env=environment())
        left = features(control)
        chosen, seen = [], set()
        while left and len(chosen) < MAX_CORPUS_FILES:
            # Most that is new, and of equals the smallest.
            best = max(left, key=lambda name: (len(left[name] - seen), -Path(name).stat().st_size,
                                               name))
            if not left[best] - seen:
                break
            chosen.append(best)
            seen |= left.pop(best)
        contents = {Path(name).name: Path(name).read_bytes() for name in chosen}
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    for name, content in contents.items():
        (corpus / name[:16]).write_bytes(content)
    total = sum(len(content) for content in contents.values())
    print(f"{target}: {len(contents)} files, {total:,} bytes, {len(seen):,} features")


def main(arguments):
    parser = argparse.ArgumentParser(prog="./dev fuzz", description="Fuzz targets.")
    parser.add_argument("build", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("target", nargs="?", help="one of the list, or: all")
    parser.add_argument("--seconds", type=int, default=DEFAULT_SECONDS, help="for each target")
    parser.add_argument("--minimise", action="store_true", help="make the tree's corpus anew")
    options = parser.parse_args(arguments)
    found = programs(options.build)
    if options.target is None:
        print("targets:", *found)
        print(f"./dev fuzz TARGET|all [--seconds {DEFAULT_SECONDS}]")
        return 0
    if options.target != "all" and options.target not in found:
        print(f"fuzz: no target '{options.target}'; there are:", *found, file=sys.stderr)
        return 2
    chosen = found if options.target == "all" else {options.target: found[options.target]}
    work = options.build / "corpus"
    if options.minimise:
        for target, program in chosen.items():
            minimise(target, program, work)
        return 0
    results = [fuzz(target, program, work, options.seconds) for target, program in chosen.items()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
