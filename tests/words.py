#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Finds phrases that read badly, and references to what is not in the tree.

    words.py [--list [KIND]] [--write]

tests/words.table has the phrases, and how often each may be in each kind of text.
--list prints where they are, --write puts today's counts into the table.  Besides:
rules that are cited (S-042) must be in posternd-internals(7), files that its
section FILES names must exist, and nothing may cite a document outside the tree.
"""
import argparse
import bisect
import collections
import os
import re
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
TABLE = "tests/words.table"
INTERNALS = "master/posternd-internals.7"
PRODUCT = ("common/", "agent/", "master/")
OUTSIDE = re.compile(r"\bDESIGN\b|\bSTYLE\.md|\bSESSION\.md|\bHOUSE\b|\bissue \d+")
RULE = re.compile(r"\bS-\d{3}\b")
QUOTED = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.S)

Row = collections.namedtuple("Row", "phrase regex bounds instead")


def files(top):
    """The text files of the tree, without what is built."""
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and
                            f not in ("build", "corpus", "__pycache__"))
        for name in sorted(names):
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name), top)


def read(top, path):
    with open(os.path.join(top, path), encoding="utf-8", errors="replace") as f:
        return f.read()


class Text:
    """Pieces of a file, one after the other, each with its line."""
    def __init__(self):
        self.parts, self.starts, self.lines, self.len = [], [], [], 0

    def add(self, piece, line):
        self.starts.append(self.len)
        self.lines.append(line)
        self.parts.append(piece)
        self.len += len(piece) + 1

    def joined(self):
        return "\n".join(self.parts) + "\n"

    def line_at(self, at):
        i = bisect.bisect(self.starts, at) - 1
        return self.lines[i] + self.parts[i].count("\n", 0, at - self.starts[i])


def whole(text):
    out = Text()
    out.add(text, 1)
    return out


def pieces(text, *first):
    """Comments, or strings: what begins with one of these."""
    out, at, line = Text(), 0, 1
    for m in QUOTED.finditer(text):
        line += text.count("\n", at, m.start())
        at = m.start()
        if m.group().startswith(first):
            out.add(m.group(), line)
    return out


def kinds_of(top, path):
    """Pairs of a kind and what of this file is of it."""
    product = path.startswith(PRODUCT)
    if re.search(r"\.[1578]$", path):
        yield "manuals", whole(read(top, path))
    elif path in ("README.md", "LICENSE") or (path.startswith("conf/") and not re.search(
            r"\.(sh|c|py|json)$|completion/|debian/p|cppcheck|VERSION", path)):
        yield "documents", whole(read(top, path))
    elif product and re.search(r"\.(c|h|def)$", path):
        text = re.sub(r"(?m)^\s*#\s*include.*$", "", read(top, path))
        if not path.endswith(".c"):
            # Stars that begin a line of a comment are no part of a phrase.
            yield "headers", pieces(re.sub(r"(?m)^(\s*)\*(?!/)", r"\1 ", text), "/*", "//")
        yield "messages", pieces(text, '"')


def compile_phrase(phrase):
    # The end of a string literal and the begin of the next are white space too.
    spaced = phrase.replace(" ", r'(?:\s|"\s*")+')
    return re.compile(r"\b(?:%s)\b" % spaced)


class Table:
    def __init__(self, top, path):
        self.path = os.path.join(top, path)
        self.head, self.rows, self.kinds = [], [], []
        with open(self.path, encoding="utf-8") as lines:
            for line in lines:
                fields = re.split(r"\s{2,}", line.rstrip("\n"), maxsplit=1)
                if line.startswith("kinds"):
                    self.kinds = line.split()[1:]
                if not self.kinds or line.startswith("kinds"):
                    self.head.append(line)
                elif line.strip():
                    numbers = fields[1].split(None, len(self.kinds))
                    self.rows.append(Row(fields[0], compile_phrase(fields[0]),
                                         [int(n) for n in numbers[:len(self.kinds)]],
                                         numbers[len(self.kinds)]))

    def write(self, found):
        with open(self.path, "w", encoding="utf-8") as out:
            out.writelines(self.head)
            for row in self.rows:
                counts = [len(found[row.phrase, kind]) for kind in self.kinds]
                out.write("%-36s %7d %9d %7d %8d  %s\n" % (row.phrase, *counts, row.instead))


def count(top, table):
    """(phrase, kind) -> places "path:line: line"."""
    found = collections.defaultdict(list)
    for path in files(top):
        for kind, text in kinds_of(top, path):
            joined = text.joined()
            lower = joined.lower()
            for row in table.rows:
                for m in row.regex.finditer(lower):
                    start = joined.rfind("\n", 0, m.start()) + 1
                    end = joined.find("\n", m.end())
                    found[row.phrase, kind].append("%s:%d: %s" % (
                        path, text.line_at(m.start()), joined[start:end].strip()))
    return found


def references(top):
    """What is cited and is not there."""
    page = read(top, INTERNALS)
    rules = set(re.findall(r"^\.It (S-\d{3})$", page, re.M))
    names, wrong = set(), []
    for path in files(top):
        names.add(os.path.basename(path))
        if path.startswith("tests/words"):
            continue
        text = read(top, path)
        for m in RULE.finditer(text):
            if m.group() not in rules:
                wrong.append("%s: %s is not in %s" % (path, m.group(), INTERNALS))
        for m in OUTSIDE.finditer(text):
            wrong.append("%s:%d: cites a document that is not in the tree: %s" % (
                path, text.count("\n", 0, m.start()) + 1, m.group()))
    section = re.search(r"^\.Sh FILES$(.*?)^\.Sh ", page, re.M | re.S)
    for line in re.findall(r"^\.It Pa (.*)$", section.group(1) if section else "", re.M):
        for word in line.replace(",", " ").split():
            if "*" not in word and not word.endswith("/") and os.path.basename(word) not in names:
                wrong.append("%s: there is no %s" % (INTERNALS, word))
    return wrong


def judge(table, found):
    """(failures, notes)"""
    failures, notes = [], []
    for row in table.rows:
        for kind, bound in zip(table.kinds, row.bounds):
            places = found[row.phrase, kind]
            if len(places) > bound:
                failures.append('"%s": %d times in %s, %d allowed; write: %s\n    %s' % (
                    row.phrase, len(places), kind, bound, row.instead, "\n    ".join(places[:20])))
            elif len(places) < bound:
                notes.append('"%s": %d times in %s: lower its bound, %d, in %s' % (
                    row.phrase, len(places), kind, bound, TABLE))
    return failures, notes


def main():
    parser = argparse.ArgumentParser(description="phrases and references")
    parser.add_argument("--list", nargs="?", const="", metavar="KIND",
                        help="print where phrases are")
    parser.add_argument("--write", action="store_true", help="put today's counts into the table")
    parser.add_argument("--top", default=TOP, help="the tree")
    options = parser.parse_args()
    table = Table(options.top, TABLE)
    found = count(options.top, table)
    if options.list is not None:
        for row in table.rows:
            for kind in table.kinds:
                if options.list in ("", kind):
                    for place in found[row.phrase, kind]:
                        print("%s: %s  [%s]" % (kind, place, row.phrase))
        return 0
    if options.write:
        table.write(found)
        return 0
    failures, notes = judge(table, found)
    wrong = references(options.top)
    for line in notes + failures + wrong:
        print("words: " + line)
    print("words: " + ", ".join("%s %d" % (kind, sum(
        len(found[row.phrase, kind]) for row in table.rows)) for kind in table.kinds))
    return 1 if failures or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
