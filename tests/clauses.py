"""The numbered clauses of the documents and the tests that prove them. Every clause is named by a
test or a packet script, and nothing in the tree names a clause that does not exist. Prints one line
per finding; exit code 1 if there is any. Run from anywhere: `python3 tests/clauses.py [ROOT]`.
"""

import re
import sys
from pathlib import Path

import tidy

# Documents, the letter of their clauses, and whether a test must name each. (Membership is the
# ground of a later step: its clauses are proved by the models beside them.)
DOCUMENTS = {"docs/wire.md": ("W", True), "docs/segment.md": ("S", True),
             "docs/membership.md": ("M", False)}
SUFFIXES = {".h", ".hpp", ".cc", ".c", ".py", ".md", ".story", ".pml"}
# They speak of clauses that are not there, on purpose.
EXEMPT = ("tests/clauses.py", "tests/clauses_test.py", "tests/tidy_test.py")
RANGE = re.compile(r"\b([WSM])-\d+ (?:to|and|through) (?:\1-)?\d+\b")


def defined(letter, text):
    """Numbers of the clauses that a document states, in order."""
    return [int(n) for n in re.findall(rf"^(?:- )?\*\*{letter}-(\d+)\*\*", text, re.M)]


def named(letter, text):
    """[(line, number)] of the clauses that a text names."""
    return [(at, int(n)) for at, line in enumerate(text.splitlines(), 1)
            for n in re.findall(rf"(?<![\w-]){letter}-(\d+)\b", line)]


def proved(letter, text):
    """Numbers that a test names one by one: `W-10 to W-19` in a head comment proves nothing."""
    return {number for _, number in named(letter, RANGE.sub("", text))}


def check(document, letter, must_prove, texts):
    """All findings about one document as `path:line: message`. texts: {path: text}, all files."""
    clauses = defined(letter, texts[document])
    for number in sorted({n for n in clauses if clauses.count(n) > 1}):
        yield f"{document}:1: clause {letter}-{number} is stated twice"
    tests = [proved(letter, text) for path, text in texts.items() if path.startswith("tests/")]
    for number in sorted(set(clauses)) if must_prove else ():
        if not any(number in test for test in tests):
            yield (f"{document}:1: clause {letter}-{number} has no test: name it in the test or "
                   "the script that proves it")
    for path, text in texts.items():
        for line, number in named(letter, text):
            if number not in clauses:
                yield f"{path}:{line}: {document} has no clause {letter}-{number}"


def check_tree(root):
    texts = {path: (root / path).read_text(encoding="utf-8") for path in tidy.tracked_files(root)
             if Path(path).suffix in SUFFIXES and path not in EXEMPT}
    return [finding for document, (letter, must_prove) in DOCUMENTS.items() if document in texts
            for finding in check(document, letter, must_prove, texts)]


def main(arguments):
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    findings = check_tree(root)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings" if findings else "every clause has its test")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
