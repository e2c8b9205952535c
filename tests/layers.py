#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Counts how the tree is built: which room takes which names from which other,
as nm(1) finds them in the objects, and some figures of the whole.  Both are held
against tests/layers.table, whose head says how to read and change it.  A figure
above its bound is a failure, one below it a note."""
import argparse
import collections
import fnmatch
import os
import re
import subprocess
import sys

AREAS = ("common", "agent", "master")
LONG = 60  # lines of a function

Name = collections.namedtuple("Name", "file name function weak")


# The table: rooms in their order, what each may use, and the bounds.
class Table:
    def __init__(self, path):
        self.rooms = {}  # room -> patterns, in the table's order
        self.uses = {}
        self.debts = {}
        self.bounds = {}
        rows = {"files": self.row_files, "uses": self.row_uses, "debt": self.row_debt, "bound": self.row_bound}
        with open(path) as lines:
            for number, line in enumerate(lines, 1):
                words = line.split("#")[0].split()
                if not words:
                    continue
                try:
                    rows[words[0]](*words[1:])
                except (KeyError, TypeError, ValueError) as error:
                    sys.exit(f"layers: {path}:{number}: {line.strip()}: {error}")

    def row_files(self, room, *patterns):
        self.rooms.setdefault(room, []).extend(patterns)

    def row_uses(self, room, *others):
        order = list(self.rooms)
        for other in others:
            if order.index(other) >= order.index(room):
                raise ValueError(f"{other} is not below {room}")
        self.uses.setdefault(room, set()).update(others)

    def row_debt(self, room, other, count):
        if not {room, other} <= set(self.rooms):
            raise ValueError("no such room")
        self.debts[room, other] = int(count)

    def row_bound(self, figure, count):
        self.bounds[figure] = float(count)

    def room_of(self, file):
        """The room with the longest pattern that matches."""
        fits = [(len(pattern), room) for room, patterns in self.rooms.items()
                for pattern in patterns if matches(pattern, file)]
        return max(fits)[1] if fits else None


def matches(pattern, file):
    return file.startswith(pattern) if pattern.endswith("/") else fnmatch.fnmatchcase(file, pattern)


# The objects: who defines which name, and who takes it.
def sources(root, suffixes):
    found = []
    for area in AREAS:
        for folder, _, names in os.walk(os.path.join(root, area)):
            found += [os.path.relpath(os.path.join(folder, name), root) for name in names if name.endswith(suffixes)]
    return sorted(found)


def symbols(root, build, files):
    """All (file, name, type) of the global symbols; those of deleted files are not looked at."""
    objects = {os.path.join(build, "obj", file[:-2] + ".o"): file for file in files}
    missing = [path for path in objects if not os.path.exists(os.path.join(root, path))]
    if missing:
        sys.exit(f"layers: {missing[0]} is not built ({len(missing)} are missing): make")
    output = subprocess.run(["nm", "-A", "-g", "-P", *objects], cwd=root, check=True,
                            capture_output=True, text=True).stdout
    for line in output.splitlines():
        path, rest = line.split(": ", 1)
        name, kind = rest.split()[:2]
        yield objects[path], name, kind


class Tree:
    def __init__(self, root, build):
        self.root = root
        self.files = sources(root, ".c")
        defined, wanted = collections.defaultdict(list), []
        for file, name, kind in symbols(root, build, self.files):
            if kind in "Uwv":
                wanted.append((file, name))
            else:
                defined[name].append(Name(file, name, kind in "TWi" and name != "main", kind in "WV"))
        # Name -> the other files that take it
        self.users = {one: set() for names in defined.values() for one in names}
        for file, name in wanted:
            if name in defined:
                self.users[owner(defined[name], file)].add(file)
        self.exports = [one for one in self.users if one.function]

    def calls(self, area):
        """file -> files of its area that it takes something of."""
        graph = {file: set() for file in self.files if file.startswith(area + "/")}
        for one, users in self.users.items():
            for user in users & graph.keys():
                if one.file in graph:
                    graph[user].add(one.file)
        return graph

    def text(self, file):
        with open(os.path.join(self.root, file), encoding="utf-8") as handle:
            return handle.read()


def owner(names, user):
    """Who defines it for the user: a strong one before weak ones, then the nearest
    (programs may each have their own)."""
    return min(names, key=lambda one: (one.weak, -len(os.path.commonprefix([one.file, user])), one.file))


def circles(graph):
    """Sets of files that all reach each other, the largest first."""
    reach = {}
    for start in graph:
        reach[start], todo = set(), [start]
        while todo:
            for other in graph[todo.pop()] - reach[start]:
                reach[start].add(other)
                todo.append(other)
    found = {frozenset(other for other in reach[file] if file in reach[other]) for file in graph}
    return sorted((circle for circle in found if len(circle) > 1), key=lambda one: (-len(one), sorted(one)))


def arrows(tree, table):
    """(room, other) -> the names that room takes of other, with their users."""
    found = collections.defaultdict(dict)
    for one, users in tree.users.items():
        for user in users:
            pair = table.room_of(user), table.room_of(one.file)
            if pair[0] != pair[1]:
                found[pair].setdefault(one, []).append(user)
    return found


# The figures.
def base(file):
    return os.path.basename(file)[:-2]


def off_prefix(tree):
    return [one for one in tree.exports if one.name != base(one.file) and not one.name.startswith(base(one.file) + "_")]


def used_by(tree, count):
    return [one for one in tree.exports if len(tree.users[one]) == count]


def doubles(tree):
    counted = collections.Counter(base(file) for file in tree.files)
    return [name for name, count in counted.items() if count > 1]


def fields(text):
    """Members of struct queue; 0 where it is not defined."""
    text = re.sub(r"/\*.*?\*/|\([^()]*\)", "", text, flags=re.S)
    body = re.search(r"^struct queue \{\n(.*?)^\};", text, flags=re.S | re.M)
    return sum(part.count(",") + 1 for part in body[1].split(";")[:-1]) if body else 0


def insiders(tree):
    """(file, header) for each include of a *_internal.h."""
    return [(file, header) for file in sources(tree.root, (".c", ".h"))
            for header in re.findall(r'^#include "(.*_internal\.h)"', tree.text(file), flags=re.M)]


def long_functions(tree):
    """file:line of each function whose body has too many lines."""
    found = []
    for file in tree.files:
        for number, line in enumerate(tree.text(file).split("\n"), 1):
            if line == "{":
                begin = number
            elif line == "}" and number - begin + 1 > LONG:
                found.append(f"{file}:{begin}: {number - begin + 1} lines")
    return found


def figures(tree, table, against):
    lines = sum(tree.text(file).count("\n") for file in tree.files)
    headers = sources(tree.root, ".h")
    inside = insiders(tree)
    rings = {area: circles(tree.calls(area)) for area in AREAS}
    exports = len(tree.exports) or 1
    yield "against_order", sum(len(names) for names in against.values()), "names that a room takes against the order"
    for area in AREAS:
        yield "circle_" + area, max([1] + [len(ring) for ring in rings[area]]), "files in its largest circle"
    yield "in_circles", 100 * sum(map(len, sum(rings.values(), []))) / len(tree.files), "% of the files are in a circle"
    yield "exports", 1000 * exports / lines, f"exported functions for 1,000 lines of .c ({exports} for {lines})"
    lonely, used = len(used_by(tree, 1)), len(tree.exports) - len(used_by(tree, 0))
    yield "no_user", len(used_by(tree, 0)), "of them are used by no other file"
    yield "one_user", 100 * lonely / max(used, 1), f"% of the others are used by exactly one ({lonely} of {used})"
    stray = len(off_prefix(tree))
    yield "off_prefix", stray, f"of them are not named after their file ({100 * stray / exports:.1f} %)"
    yield "doubles", len(doubles(tree)), "names of .c files occur more than once"
    yield "queue_fields", sum(fields(tree.text(file)) for file in headers), "members of struct queue"
    yield "queue_insiders", sum("/queue_internal" in header for _, header in inside), "files include queue_internal.h"
    foreign = sum(table.room_of(file) != table.room_of(header) for file, header in inside)
    yield "foreign_internal", foreign, "times a *_internal.h is included outside of its room"
    yield "klines", (lines + sum(tree.text(file).count("\n") for file in headers)) / 1000, "thousand lines of .c and .h"
    yield "long", len(long_functions(tree)), f"functions have more than {LONG} lines"


def judge(what, now, bound, failures, notes):
    """As printed, to one decimal place: noise below it is none."""
    now, bound = round(now, 1), round(bound, 1)
    if now > bound:
        failures.append(f"{what}: {now:g} is above its bound of {bound:g}")
    elif now < bound:
        notes.append(f"{what}: {now:g}; lower its bound of {bound:g}")


def check(tree, table):
    """Prints the figures; returns what is wrong, and what may be better."""
    found = arrows(tree, table)
    against = {pair: names for pair, names in found.items() if pair[1] not in table.uses.get(pair[0], ())}
    failures = [f"{file} is in no room" for file in tree.files if not table.room_of(file)]
    notes = [f"{room}: no file is {pattern}" for room, patterns in table.rooms.items()
             for pattern in patterns if not any(matches(pattern, file) for file in tree.files)]
    notes += [f"{room} uses nothing of {other}" for room in table.uses
              for other in sorted(table.uses[room]) if (room, other) not in found]
    for figure, now, text in figures(tree, table, against):
        bound = table.bounds.get(figure, 0)
        print(f"{figure:17}{round(now, 1):7g}  at most {bound:g}\t{text}")
        judge(figure, now, bound, failures, notes)
    for pair in sorted(against.keys() | table.debts.keys(), key=str):
        judge("%s -> %s" % pair, len(against.get(pair, ())), table.debts.get(pair, 0), failures, notes)
    return failures, notes


# What to work from.
def print_arrows(tree, table, rooms):
    found = arrows(tree, table)
    if len(rooms) == 2:
        for one, users in sorted(found.get(tuple(rooms), {}).items()):
            print(f"{one.file}: {one.name} for {' '.join(sorted(users))}")
        return
    for (room, other), names in sorted(found.items()):
        if not rooms or rooms[0] in (room, other):
            mark = "" if other in table.uses.get(room, ()) else "  against the order"
            print(f"{room} -> {other}  {len(names)}{mark}")


def print_names(tree, names):
    for one in sorted(names):
        print(f"{one.file}: {one.name} {' '.join(sorted(tree.users[one]))}".rstrip())


def print_circles(tree):
    for area in AREAS:
        for circle in circles(tree.calls(area)):
            print(f"{len(circle)}: {' '.join(sorted(circle))}")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--root", default=os.path.dirname(here))
    options.add_argument("--table", default=os.path.join(here, "layers.table"))
    options.add_argument("--build", default="build", help="where obj/ is")
    options.add_argument("--arrows", nargs="*", metavar="ROOM",
                         help="print all arrows, those of a room, or the names that one takes of another")
    for name in ("circles", "prefix", "one-user", "no-user", "long"):
        options.add_argument("--" + name, dest="list", action="store_const", const=name, help="print this list instead")
    asked = options.parse_args()
    table, tree = Table(asked.table), Tree(asked.root, asked.build)
    lists = {"circles": lambda: print_circles(tree),
             "prefix": lambda: print_names(tree, off_prefix(tree)),
             "one-user": lambda: print_names(tree, used_by(tree, 1)),
             "no-user": lambda: print_names(tree, used_by(tree, 0)),
             "long": lambda: print("\n".join(long_functions(tree)))}
    if asked.arrows is not None:
        return print_arrows(tree, table, asked.arrows)
    if asked.list:
        return lists[asked.list]()
    failures, notes = check(tree, table)
    print("".join([f"note: {note}\n" for note in notes] + [f"FAILED {failure}\n" for failure in failures]), end="")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
