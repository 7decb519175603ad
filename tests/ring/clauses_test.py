"""docs/membership.md says of each clause how far it is: this keeps it honest. A clause that is in
force or built is named by a test; every clause has one mark, and numbers are not used twice."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLAUSE = re.compile(r"^\*\*M-(\d+)\*\*(?: \*(in force|built|planned)\*)?", re.M)


def named_clauses():
    """Clauses that the ring's tests name; `M-10 to M-17` names all of them."""
    named = set()
    for path in [*ROOT.glob("tests/ring/*.cc"), *ROOT.glob("tests/ring/*.h")]:
        text = path.read_text(encoding="utf-8")
        named |= {int(number) for number in re.findall(r"\bM-(\d+)\b", text)}
        for first, last in re.findall(r"\bM-(\d+) to M-(\d+)\b", text):
            named |= set(range(int(first), int(last) + 1))
    return named


class Clauses(unittest.TestCase):
    def setUp(self):
        text = (ROOT / "docs/membership.md").read_text(encoding="utf-8")
        self.clauses = [(int(number), mark) for number, mark in CLAUSE.findall(text)]

    def test_each_number_stands_once_and_in_order(self):
        numbers = [number for number, _ in self.clauses]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertGreater(len(numbers), 30)

    def test_each_clause_says_how_far_it_is(self):
        self.assertEqual([number for number, mark in self.clauses if not mark], [])

    def test_what_is_said_to_work_has_a_test_that_names_it(self):
        named = named_clauses()
        unproved = [number for number, mark in self.clauses
                    if mark != "planned" and number not in named]
        self.assertEqual(unproved, [])

    def test_tests_name_no_clause_that_is_not_there(self):
        known = {number for number, _ in self.clauses}
        self.assertEqual(sorted(named_clauses() - known), [])


if __name__ == "__main__":
    unittest.main()
