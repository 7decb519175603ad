"""Tests of clauses.py."""

import unittest

import clauses

DOCUMENT = "Words.\n\n**W-1** One thing.\n\n- **W-2** Another, see W-1.\n"


def findings(must_prove=True, **texts):
    named = {"docs/wire.md": DOCUMENT} | {path.replace("__", "/"): text
                                          for path, text in texts.items()}
    return list(clauses.check("docs/wire.md", "W", must_prove, named))


class Clauses(unittest.TestCase):
    def test_all_is_well_when_each_is_named_by_a_test(self):
        self.assertEqual(findings(tests__a="// W-1", tests__b="# W-2: so"), [])

    def test_a_clause_without_a_test_is_found(self):
        self.assertEqual(findings(tests__a="// W-1", engine__b="// W-2"),
                         ["docs/wire.md:1: clause W-2 has no test: name it in the test or the "
                          "script that proves it"])

    def test_a_range_proves_nothing(self):
        self.assertEqual(len(findings(tests__a="// W-1 to W-2")), 2)
        self.assertEqual(len(findings(tests__a="// W-1 and 2")), 2)

    def test_a_reference_in_the_document_is_no_statement(self):
        self.assertEqual(clauses.defined("W", "as W-7 says, **W-8**\n**W-9** so"), [9])

    def test_naming_what_does_not_exist_is_found_with_its_place(self):
        self.assertIn("engine/x.h:2: docs/wire.md has no clause W-3",
                      findings(**{"engine/x.h": "a\n// W-3\n"}))
        self.assertEqual(findings(must_prove=False, tests__a="RW-3 and W-2x and AW-9"), [])

    def test_a_clause_that_is_stated_twice_is_found(self):
        twice = {"docs/wire.md": DOCUMENT + "**W-1** Again.\n", "tests/a": "W-1\nW-2"}
        self.assertEqual(list(clauses.check("docs/wire.md", "W", True, twice)),
                         ["docs/wire.md:1: clause W-1 is stated twice"])


if __name__ == "__main__":
    unittest.main()
