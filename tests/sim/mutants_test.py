"""Every RW_MUTANT(n) in the sources stands in the table of tests/sim/mutants.cc and the other way
round, each number once, with a world that there is: so that no seeded bug is forgotten by the run
that looks for them."""

import re
import unittest
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("base", "ipc", "ring", "engine")
MIN_MUTANTS = 110


def hooks():
    found = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in (".h", ".cc") and path != ROOT / "base/mutant.h":
                found += [int(n) for n in re.findall(r"RW_MUTANT\((\d+)\)", path.read_text())]
    return found


def table():
    text = (ROOT / "tests/sim/mutants.cc").read_text()
    return [(int(n), name) for n, name in re.findall(r'\{(\d+),\s*"([^"]+)"', text)]


def named_worlds():
    text = (ROOT / "tests/sim/mutants.cc").read_text()
    return re.findall(r'\{\d+,\s*"[^"]+",\s*"[^"]+",\s*"([^"]+)"\}', text)


def worlds():
    """Names in the lists at the ends of directed*.cc."""
    found = []
    for path in sorted((ROOT / "tests/sim").glob("directed*.cc")):
        text = path.read_text()
        lists = text[text.rindex("std::vector<Directed> "):]
        found += re.findall(r'\{"([a-z_]+)",', lists)
    return found


class MutantTable(unittest.TestCase):
    def test_numbers_are_those_of_the_hooks(self):
        numbers = [n for n, _ in table()]
        self.assertEqual(sorted(numbers), sorted(set(hooks())))

    def test_each_number_and_name_is_there_once(self):
        for what in zip(*table()):
            self.assertEqual([value for value, count in Counter(what).items() if count > 1], [])

    def test_each_names_a_world_that_there_is(self):
        self.assertEqual(len(named_worlds()), len(table()))
        self.assertLessEqual(set(named_worlds()), set(worlds()))

    def test_there_are_enough(self):
        self.assertGreaterEqual(len(table()), MIN_MUTANTS)


if __name__ == "__main__":
    unittest.main()
