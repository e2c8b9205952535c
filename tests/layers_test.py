#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Tests of layers.py, on a tree of a few files that cc compiles here."""
import os
import subprocess
import sys
import tempfile
import unittest

LAYERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.py")

FILES = {
    "common/base.c": "int base(void) { return 1; }\nconst int base_rows[2] = {1, 2};\n",
    # A weak name, and one that the other agent has too.
    "agent/high.c": "int base(void);\nint low_one(void);\n__attribute__((weak)) int base_hook(void) { return 0; }\n"
                    "int high(void) { return base() + low_one(); }\n",
    "agent/low.c": "extern const int base_rows[];\nint low_one(void) { return base_rows[1]; }\n"
                   "int odd(void);\nstatic int hidden(void) { return 2; }\nint low_two(void) { return odd() + hidden(); }\n",
    "agent/odd.c": "int low_two(void);\nint odd(void);\nint odd(void) { return low_two(); }\n",
    "master/queue/queue.c": '#include "master/queue/queue_internal.h"\nint high(void);\nint base_hook(void);\n'
                            "int queue_run(void)\n{\n\treturn high() + base_hook();\n}\n",
    "master/queue/queue_internal.h": "struct queue {\n\tint a, b; /* two; of it */\n\tLIST_HEAD(, x) c;\n\tint (*d)(int, int);\n};\n",
    "master/main.c": "int queue_run(void);\nint main(void) { return queue_run(); }\n",
    "master/queue/main.c": "int main(void) { return 0; }\n",
}
TABLE = """files common common/
files low agent/
files high agent/high*
files queue master/
uses low common
uses high common low
uses queue high
bound circle_common 1
bound circle_agent 2
bound circle_master 1
bound in_circles 28.6
bound exports 291.7
bound no_user 0
bound one_user 100
bound off_prefix 1
bound doubles 1
bound queue_fields 4
bound queue_insiders 1
bound klines 0
"""


class Layers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = self.folder.name
        for name, text in FILES.items():
            self.write(name, text)

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, text):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        if name.endswith(".c"):
            out = os.path.join(self.root, "build/obj", name[:-2] + ".o")
            os.makedirs(os.path.dirname(out), exist_ok=True)
            text = text.split("\n", 1)[1] if text.startswith("#include") else text
            subprocess.run([os.environ.get("CC", "cc"), "-x", "c", "-c", "-o", out, "-"], input=text.encode(), check=True)

    def layers(self, *options, table=TABLE):
        path = os.path.join(self.root, "table")
        with open(path, "w") as file:
            file.write(table)
        done = subprocess.run([sys.executable, LAYERS, "--root", self.root, "--table", path, *options],
                              capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def test_a_tree_within_its_bounds(self):
        status, said = self.layers()
        self.assertEqual((status, "note" in said), (0, False), said)

    def test_an_arrow_against_the_order(self):
        self.write("agent/low.c", FILES["agent/low.c"] + "int high(void);\nint low(void) { return high(); }\n"
                   "int low_three(void) { return high(); }\n")
        status, said = self.layers()
        self.assertEqual(status, 1, said)
        self.assertIn("FAILED low -> high: 1 is above its bound of 0", said)
        self.assertIn("FAILED circle_agent: 3 is above its bound of 2", said)
        self.assertEqual(self.layers("--arrows", "low", "high"), (0, "agent/high.c: high for agent/low.c\n"))

    def test_a_debt_that_is_paid(self):
        status, said = self.layers(table=TABLE + "debt low high 1\nbound against_order 1\n")
        self.assertEqual(status, 0, said)
        self.assertIn("note: low -> high: 0; lower its bound of 1", said)

    def test_tables_of_data_are_arrows(self):
        self.assertEqual(self.layers("--arrows", "low", "common"), (0, "common/base.c: base_rows for agent/low.c\n"))

    def test_a_weak_name_gives_way(self):
        self.assertIn("agent/high.c: base_hook", self.layers("--arrows", "queue", "high")[1])
        self.write("common/base.c", FILES["common/base.c"] + "int base_hook(void) { return 1; }\n")
        status, said = self.layers()
        self.assertIn("FAILED queue -> common: 1 is", said)

    def test_lists(self):
        self.assertEqual(self.layers("--circles"), (0, "2: agent/low.c agent/odd.c\n"))
        self.assertEqual(self.layers("--prefix"), (0, "agent/high.c: base_hook master/queue/queue.c\n"))
        self.assertIn("agent/odd.c: odd agent/low.c\n", self.layers("--one-user")[1])
        self.write("agent/odd.c", FILES["agent/odd.c"] + "int odd_one(void) { return 0; }\n")
        self.assertEqual(self.layers("--no-user"), (0, "agent/odd.c: odd_one\n"))

    def test_long_functions(self):
        self.write("agent/odd.c", FILES["agent/odd.c"] + "int odd_one(void)\n{" + "\n" * 60 + "return 0;\n}\n")
        self.assertEqual(self.layers("--long"), (0, "agent/odd.c:5: 62 lines\n"))

    def test_what_the_table_forgets(self):
        status, said = self.layers(table=TABLE.replace("files queue master/\n", "files queue master/queue/ master/x*\n"))
        self.assertIn("FAILED master/main.c is in no room", said)
        self.assertIn("note: queue: no file is master/x*", said)
        status, said = self.layers(table=TABLE.replace("uses low common", "uses low high"))
        self.assertIn("high is not below low", said)

    def test_a_file_that_is_not_built(self):
        os.remove(os.path.join(self.root, "build/obj/agent/odd.o"))
        status, said = self.layers()
        self.assertEqual((status, "agent/odd.o is not built" in said), (1, True), said)


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
