#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What tests/words.py counts, on small trees."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import words  # noqa: E402  pylint: disable=wrong-import-position

TABLE = """# head
kinds    manuals documents headers messages
former                1         0       0        0  previous
goes by               0         0       0        0  uses
"""
PAGE = ".Sh FILES\n.Bl -tag\n.It Pa a.c\nIt.\n.El\n.Bl -tag\n.It S-001\nOne.\n.El\n.Sh END\n"


class Words(unittest.TestCase):
    def judge(self, tree):
        with tempfile.TemporaryDirectory() as top:
            tree = {"tests/words.table": TABLE, words.INTERNALS: PAGE, "master/a.c": "", **tree}
            for path, text in tree.items():
                os.makedirs(os.path.dirname(os.path.join(top, path)) or top, exist_ok=True)
                with open(os.path.join(top, path), "w", encoding="utf-8") as f:
                    f.write(text)
            table = words.Table(top, words.TABLE)
            found = words.count(top, table)
            self.places = found
            return (*words.judge(table, found), words.references(top))

    def test_a_count_that_rises_fails_and_one_that_sinks_is_noted(self):
        failures, notes, _ = self.judge({"master/a.8": "the former one\n"})
        self.assertEqual((failures, notes), ([], []))
        failures, notes, _ = self.judge({"master/a.8": "Former,\nFormer."})
        self.assertEqual((len(failures), notes), (1, []))
        self.assertIn("master/a.8:2: Former.", failures[0])
        failures, notes, _ = self.judge({"master/a.8": "formerly"})
        self.assertEqual((failures, len(notes)), ([], 1))

    def test_a_phrase_may_be_on_two_lines(self):
        for path, text in (("README.md", "it goes\nby it"),
                           ("master/b.h", "/*\n * it goes\n * by it\n */"),
                           ("master/b.c", 'f("it goes "\n  "by it");')):
            self.assertEqual(len(self.judge({path: text})[0]), 1, path)

    def test_comments_and_strings_are_told_apart(self):
        text = '/* "former" */ char *s = "/* goes by */";\nint former;\n'
        self.judge({"master/b.h": text})
        self.assertEqual(len(self.places["former", "headers"]), 1)
        self.assertEqual(len(self.places["goes by", "headers"]), 0)
        self.assertEqual(len(self.places["former", "messages"]), 0)
        self.assertEqual(len(self.places["goes by", "messages"]), 1)
        self.judge({"master/b.c": text})
        self.assertEqual(len(self.places["former", "headers"]), 0)

    def test_what_is_built_is_not_looked_at(self):
        failures, _, _ = self.judge({"build/README.md": "goes by", "tests/x.py": "goes by"})
        self.assertEqual(failures, [])

    def test_references_lead_into_the_tree(self):
        self.assertEqual(self.judge({"master/b.c": "/* S-001 */"})[2], [])
        self.assertEqual(len(self.judge({"master/b.c": "/* S-002 */"})[2]), 1)
        self.assertEqual(len(self.judge({"tests/b.py": "# DES" + "IGN, 3; iss" + "ue 12"})[2]), 2)
        page = PAGE.replace("a.c", "b.c")
        self.assertEqual(len(self.judge({words.INTERNALS: page})[2]), 1)


unittest.main()
