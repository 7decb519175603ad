"""House rules that a compiler does not know: who may include whom, who may read the clock, what a
hot file must not contain, and so on. Prints one line per finding, saying what to write instead;
exit code 1 if there is any. Run from anywhere: `python3 tests/tidy.py [ROOT]`.
"""

import re
import subprocess
import sys
from pathlib import Path

SOURCE_SUFFIXES = {".h", ".hpp", ".cc", ".c"}
MAX_COLUMNS = 100

# Rooms, most specific first, and the rooms that each may include. Dependencies point one way.
ROOMS = {
    "base": {"base"},
    "ipc": {"base", "ipc"},
    "ring": {"base", "ring"},
    "tls": {"base", "tls"},
    "engine/wire": {"base", "engine/wire"},
    "engine/port": {"base", "engine/port"},
    "engine/transport": {"base", "engine/wire", "engine/transport"},
    "engine/control": {"base", "engine/wire", "engine/control"},
    "engine/worker": {"base", "ipc", "ring", "tls", "engine/wire", "engine/port",
                      "engine/transport", "engine/control", "engine/worker"},
    "engine/node": {"base", "ipc", "ring", "tls", "engine/wire", "engine/port",
                    "engine/transport", "engine/control", "engine/worker", "engine/node"},
    "apps": {"base", "ipc", "ring", "tls", "engine/wire", "engine/port", "engine/transport",
             "engine/control", "engine/worker", "engine/node", "apps"},
}
# Tests and benchmarks may look at everything; nothing else may look at them.
FREE_ROOMS = ("tests", "perf")

# Told the time, handed the bytes: no system call, thread, clock or unseeded randomness.
PURE_ROOMS = ("ring", "engine/wire", "engine/transport", "engine/control")
IMPURE_INCLUDES = re.compile(
    r"(thread|mutex|shared_mutex|condition_variable|future|chrono|random|fstream|filesystem"
    r"|unistd\.h|pthread\.h|time\.h|ctime|fcntl\.h|poll\.h|sys/.*|netinet/.*|arpa/.*)$")

CLOCK_READ = re.compile(
    r"\bclock_gettime\b|\bgettimeofday\b|\b\w*_clock::now\b|\b_{0,2}rdtscp?\b|\btimespec_get\b"
    r"|\btime\s*\(\s*(?:nullptr|NULL|0)\s*\)")
CLOCK_FILES = ("engine/node/clock.h", "engine/node/clock.cc")
CLOCK_ROOMS = ("ipc", "apps", "tests", "perf")

ATOMIC = re.compile(r"\bstd::atomic\w*|#\s*include\s*<(?:std)?atomic(?:\.h)?>|\b__atomic_\w+")
ATOMIC_STEMS = ("ipc/spsc_queue", "ipc/mpmc_queue", "ipc/counters", "ipc/doorbell",
                "engine/worker/mailbox", "engine/worker/view_slot")
ATOMIC_ROOMS = ("tests", "perf")
# Every further file with atomics, each with the reason why it may.
ATOMIC_ALLOWED = {
    "engine/port/dpdk_unmap.h": "marks of bursts, for a thread that is DPDK's (decision 12)",
    "engine/node/worker_thread.h": "a stop flag and two figures for display",
    "engine/node/worker_thread.cc": "a stop flag and two figures for display",
}

FENCE = re.compile(
    r"\batomic_thread_fence\b|\b__sync_synchronize\b|\b_mm_[msl]fence\b")
INLINE_ASSEMBLY = re.compile(r"\b(?:asm|__asm__)\b")
VOLATILE = re.compile(r"\bvolatile\b(?!\s+(?:std::)?sig_atomic_t)")
SEQ_CST = re.compile(r"\bmemory_order(?:_|::)seq_cst\b")

HOT_MARK = re.compile(r"\bHot\.")
HOT_WORDS = [
    (re.compile(r"\bstd::function\b"), "a template parameter or a plain function pointer"),
    (re.compile(r"\bstd::string\b"), "std::string_view, or a fixed array built beforehand"),
    (re.compile(r"<(?:iostream|sstream|fstream|ostream|istream)>|\bstd::(?:cout|cerr|clog)\b"),
     "a counter; log in the cold shell"),
    (re.compile(r"\bshared_ptr\b|\bmake_shared\b"), "an owner and a reference"),
    (re.compile(r"\bthrow\b"), "a result in the return type"),
    (re.compile(r"\bstd::(?:\w*mutex|lock_guard|unique_lock|scoped_lock|condition_variable)\b"),
     "a queue or a mailbox"),
    (re.compile(r"\b(?:malloc|calloc|realloc)\s*\("), "memory taken at construction"),
    (re.compile(r"\bf?printf\s*\(|\bspdlog::|\bfmt::(?:print|format)\b"),
     "a counter; log in the cold shell"),
]

DEAD_CODE = re.compile(r"^\s*#\s*if\s+0\b|\bif\s*\(\s*(?:false|0)\s*\)")
LATER = re.compile(r"\b(?:TODO|FIXME|XXX)\b(?!\s*\(?(?:issue )?#\d+)")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SNAKE_CASE = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*$")
NO_NOUNS = {"common", "util", "utils", "helper", "helpers", "manager", "misc"}

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^()\s\\]*)\(.*?\)(?P=tag)"'
    r'|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)


def code_only(text):
    """The text with comments and literals blanked out, line numbers kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return TOKEN.sub(blank, text)


def head_comment(text):
    """The comment that a file begins with."""
    match = re.match(r"\s*(?:/\*.*?\*/|(?://[^\n]*\n)+)", text, re.S)
    return match.group(0) if match else ""


def room_of(path):
    for room in list(ROOMS) + list(FREE_ROOMS):
        if path.startswith(room + "/"):
            return room
    return None


def in_rooms(path, rooms):
    return any(path.startswith(room + "/") for room in rooms)


def check_includes(path, text):
    room = room_of(path)
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, target = match.groups()
        if re.match(r"rte_", target) and not re.match(
                r"(?:(?:tests/)?engine/port|perf/load|tests/conformance)/dpdk_|apps/pktgen/", path):
            yield number, f"{target}: DPDK stays inside engine/port/dpdk_*; use engine/port/port.h"
        if target.startswith("openssl/") and not re.match(r"tls/|tests/tls/", path):
            yield number, f"{target}: OpenSSL stays inside tls/; use what tls/ declares"
        if quote == "<":
            if room in PURE_ROOMS and IMPURE_INCLUDES.match(target):
                yield number, (f"<{target}> in {room}: protocol code is told the time and handed "
                               "the bytes; take it as an argument")
            continue
        target_room = room_of(target)
        if target_room is None:
            if room is not None and "/" not in target:
                yield number, f'"{target}": include from the top, as in "ring/view.h"'
            continue
        if room in ROOMS and target_room not in ROOMS[room]:
            yield number, (f"{room} may not include {target_room}; it may include: "
                           + ", ".join(sorted(ROOMS[room])))


def check_words(path, text):
    stem = re.sub(r"\.\w+$", "", path)
    hot = bool(HOT_MARK.search(head_comment(text)))
    code = code_only(text)
    clock_free = path in CLOCK_FILES or in_rooms(path, CLOCK_ROOMS)
    atomic_free = (stem in ATOMIC_STEMS or in_rooms(path, ATOMIC_ROOMS) or path in ATOMIC_ALLOWED)
    for number, line in enumerate(code.splitlines(), 1):
        if not clock_free and CLOCK_READ.search(line):
            yield number, "reads a clock: take `now` as an argument (engine/node/clock.h reads it)"
        if not atomic_free and ATOMIC.search(line):
            yield number, ("std::atomic outside the lock-free files: hand it through a queue or a "
                           "mailbox, or name the file with a reason in ATOMIC_ALLOWED")
        if FENCE.search(line):
            yield number, "stand-alone fence: put the order on the access it belongs to"
        if INLINE_ASSEMBLY.search(line):
            yield number, "inline assembly: use an intrinsic or plain C++"
        if VOLATILE.search(line):
            yield number, "volatile: use an atomic access with the order that it needs"
        if SEQ_CST.search(line) and stem != "ipc/doorbell" and not in_rooms(path, ATOMIC_ROOMS):
            yield number, "seq_cst: say acquire or release (only the doorbell needs more)"
        if DEAD_CODE.search(line):
            yield number, "dead code: delete it, history keeps it"
        if hot:
            for word, instead in HOT_WORDS:
                if word.search(line):
                    found = word.search(line).group(0).strip()
                    yield number, f"{found} in a hot file: use {instead}"


def check_lines(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_COLUMNS:
            yield number, f"{len(line)} columns: at most {MAX_COLUMNS}"
        if line != line.rstrip():
            yield number, "trailing blanks: delete them"
        if LATER.search(line) and path not in ("tests/tidy.py", "tests/tidy_test.py"):
            yield number, "a later without an issue: do it now, or name it as in `(#12)`"


def check_header(path, text):
    if not path.endswith((".h", ".hpp")):
        return
    # A C header that others install keeps portable guards.
    guarded = re.search(r"^#ifndef (\w+)\n#define \1$", text, re.M)
    if "#pragma once" not in text and not (path.startswith("ipc/") and guarded):
        yield 1, "no include guard: put `#pragma once` after the head comment"
    if not head_comment(text):
        yield 1, "no head comment: say what it does, what not, who may call it, hot or cold"


def check_name(path):
    name = Path(path).name
    stem = name.split(".")[0]
    if not SNAKE_CASE.match(stem):
        yield 1, f"file name {name}: use snake_case, the noun that it holds"
    if stem in NO_NOUNS:
        yield 1, f"file name {name} says nothing: name it after the noun that it holds"


def check_file(path, text):
    """All findings of one source file, as (line number, message)."""
    yield from check_name(path)
    yield from check_lines(path, text)
    if Path(path).suffix in SOURCE_SUFFIXES:
        yield from check_includes(path, text)
        yield from check_words(path, text)
        yield from check_header(path, text)


def tracked_files(root):
    """Paths of the tree's own files, relative to root."""
    listing = subprocess.run(
        ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        names = listing.stdout.splitlines()
    else:  # no git, or an unpacked archive
        names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
        names = [name for name in names if not re.match(r"build/|\.", name)]
    return sorted(name for name in names if (root / name).is_file())


def check_tree(root):
    """All findings under root, as `path:line: message`."""
    findings = []
    for path in tracked_files(root):
        if Path(path).suffix in SOURCE_SUFFIXES | {".py"}:
            text = (root / path).read_text(encoding="utf-8")
            findings += [f"{path}:{number}: {message}"
                         for number, message in check_file(path, text)]
    return findings


def main(arguments):
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    findings = check_tree(root)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings" if findings else "tidy")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
