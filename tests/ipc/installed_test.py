"""The client library as it is installed: its exports, and programs built against it with nothing
but pkg-config. RINGWIRE_BUILD is the build folder, RINGWIRE_SOURCE the tree.
"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

BUILD = Path(os.environ["RINGWIRE_BUILD"])
SOURCE = Path(os.environ["RINGWIRE_SOURCE"])
VERSION = "RINGWIRE_1"

# Opens nothing, and says so by its exit code: 0 when the library did what its header promises.
QUIET = r"""
#include <ringwire.h>
#include <stdio.h>
#include <string.h>
static int count_of(const char *path, const char *field, char *value) {
  char line[256];
  FILE *file = fopen(path, "r");
  value[0] = 0;
  if (!file) return 0;
  while (fgets(line, sizeof line, file))
    if (!strncmp(line, field, strlen(field))) strcpy(value, line);
  fclose(file);
  return value[0] != 0;
}
int main(void) {
  rw_client_options options = RW_OPTIONS(rw_client_options);
  rw_client *client = NULL;
  char caught[2][256], threads[2][256];
  options.socket = "/nowhere/engine.sock";
  if (!count_of("/proc/self/status", "SigCgt", caught[0])) return 2;
  if (!count_of("/proc/self/status", "Threads", threads[0])) return 2;
  if (rw_client_open(&options, &client) != RW_ENOENGINE || client != NULL) return 3;
  if (rw_last_error()[0] == 0) return 4;
  count_of("/proc/self/status", "SigCgt", caught[1]);
  count_of("/proc/self/status", "Threads", threads[1]);
  return strcmp(caught[0], caught[1]) || strcmp(threads[0], threads[1]) ? 5 : 0;
}
"""


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          check=False, timeout=100, **options)


def header_names():
    """The functions that ringwire.h declares."""
    text = (SOURCE / "ipc/ringwire.h").read_text(encoding="utf-8")
    return set(re.findall(r"^RW_API [^;(]*?\b(rw_\w+)\(", text, re.M))


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        root = Path(cls.folder.name)
        done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--tags",
                   "devel,man,unit", "--destdir", root)
        assert done.returncode == 0, done.stderr + done.stdout
        cls.pkgconfig = next(root.rglob("ringwire.pc"))
        cls.libraries = cls.pkgconfig.parent.parent
        cls.prefix = next(root.rglob("include")).parent
        # The library itself is installed with the programs: here without them.
        built = next(path for path in (BUILD / "ipc").glob("libringwire.so.*.*.*")
                     if path.is_file())
        shutil.copy(built, cls.libraries)
        for name in ("libringwire.so", "libringwire.so.0"):
            link = cls.libraries / name
            if not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(built.name)
        cls.root = root

    def flags(self):
        done = run("pkg-config", f"--define-variable=prefix={self.prefix}", "--cflags", "--libs",
                   "ringwire", env=os.environ | {"PKG_CONFIG_PATH": str(self.pkgconfig.parent)})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split()

    def compile(self, compiler, source, *options):
        program = self.root / "program"
        done = run(*compiler.split(), *options, "-Wall", "-Wextra", "-Wpedantic", "-Werror", source,
                   "-o", program, *self.flags())
        self.assertEqual(done.returncode, 0, done.stderr)
        return program

    def start(self, program):
        return run(program, env={"LD_LIBRARY_PATH": str(self.libraries), "PATH": "/nowhere"})

    def test_exports_exactly_what_the_header_declares_under_its_version(self):
        done = run("nm", "-D", "--defined-only", self.libraries / "libringwire.so")
        names = {line.split()[-1] for line in done.stdout.splitlines()}
        self.assertEqual(names - {VERSION}, {f"{name}@@{VERSION}" for name in header_names()})
        self.assertGreater(len(header_names()), 40)

    def test_needs_nothing_but_the_c_and_cpp_libraries(self):
        done = run("readelf", "-d", self.libraries / "libringwire.so")
        needed = set(re.findall(r"NEEDED.*\[(.+?)\]", done.stdout))
        allowed = ("libc.so", "libm.so", "libgcc_s.so", "libstdc++.so", "ld-linux")
        self.assertEqual([name for name in needed if not name.startswith(allowed)], [])
        self.assertIn("libringwire.so.0", done.stdout)

    def test_a_c11_program_builds_and_the_library_is_quiet(self):
        source = self.root / "quiet.c"
        source.write_text(QUIET, encoding="utf-8")
        done = self.start(self.compile("cc -std=c11", source))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_the_pages_and_the_unit_are_installed(self):
        pages = {path.name.removesuffix(".gz") for path in self.root.rglob("man/man?/*")}
        self.assertEqual(pages, {path.name for path in (SOURCE / "docs/man").iterdir()})
        unit = next(self.root.rglob("systemd/system/ringwire@.service")).read_text("utf-8")
        prefix = "/" + str(self.prefix.relative_to(self.root))
        self.assertIn(f"\nExecStart={prefix}/bin/ringwire-engine -f /etc/ringwire/%i.toml\n", unit)
        self.assertEqual((self.prefix / "share/ringwire/dpdk.conf").read_bytes(),
                         (SOURCE / "packaging/dpdk.conf").read_bytes())

    def test_the_examples_build_in_each_language(self):
        for name in ("hello_send.c", "hello_send.cc"):
            text = (SOURCE / "apps/examples" / name).read_text(encoding="utf-8")
            # In the tree the header lies in a folder.
            (self.root / name).write_text(text.replace('"ipc/', '"'), encoding="utf-8")
        self.compile("cc -std=c11", self.root / "hello_send.c")
        self.compile("c++ -std=c++20", self.root / "hello_send.cc")
        program = self.compile("c++ -std=c++20 -fno-exceptions", self.root / "hello_send.cc")
        self.assertNotEqual(self.start(program).returncode, 0, "there is no engine")


if __name__ == "__main__":
    unittest.main()
