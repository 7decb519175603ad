"""What docs/chmpx.md says works names tests: they must be there."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def shown_by():
    """{first cell: (state, last cell)} of every row."""
    rows = {}
    for line in (ROOT / "docs/chmpx.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] not in ("CHMPX", "---"):
            rows[cells[0]] = (cells[2], cells[3])
    return rows


def test_names():
    """Every suite and every Suite.name of the tree, of gtest and of unittest."""
    names = set()
    for path in (ROOT / "tests").rglob("*"):
        if path.suffix == ".cc":
            for suite, name in re.findall(r"^TEST(?:_[FP])?\((\w+), (\w+)\)", path.read_text(),
                                          re.MULTILINE):
                names |= {suite, f"{suite}.{name}"}
        elif path.suffix == ".py":
            suite = ""
            for line in path.read_text().splitlines():
                if found := re.match(r"class (\w+)\(", line):
                    suite = found[1]
                    names.add(suite)
                elif found := re.match(r"    def (test_\w+)\(", line):
                    names.add(f"{suite}.{found[1]}")
    return names


class Chmpx(unittest.TestCase):
    def test_every_row_that_works_is_shown_by_tests_that_exist(self):
        known = test_names()
        rows = shown_by()
        self.assertGreater(len(rows), 80)
        for feature, (state, shown) in rows.items():
            names = set(re.findall(r"`([A-Z]\w+(?:\.\w+)?)`", shown))
            with self.subTest(feature):
                if "works" in state:
                    self.assertTrue(names or "system test" in shown, "nothing shows it")
                self.assertLessEqual(names, known)


if __name__ == "__main__":
    unittest.main()
