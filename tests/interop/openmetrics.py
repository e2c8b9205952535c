# SPDX-License-Identifier: ISC
"""A strict reader of OpenMetrics 1.0 text: what breaks a rule is an error."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(r"(%s)(?:\{((?:%s)(?:,%s)*)\})? (\S+)$" % (
    NAME, LABEL, LABEL))
NUMBER = re.compile(r"\d+(\.\d+)?$")
SUFFIXES = {
    "counter": ("_total",), "gauge": ("",), "info": ("_info",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
}


class Family:
    def __init__(self, name, kind):
        self.name = name
        self.kind = kind
        self.unit = ""
        self.help = None
        self.samples = {}  # (name, labels in order) -> number


def labels_of(text):
    pairs = [m.groups() for m in re.finditer(LABEL, text or "")]
    assert len({k for k, _ in pairs}) == len(pairs), text
    return tuple(sorted(pairs))


def read_comment(line, families, current):
    word, name, rest = line[2:].split(" ", 2)
    if word == "TYPE":
        assert name not in families, "twice: " + line
        assert rest in SUFFIXES, line
        families[name] = Family(name, rest)
        return families[name]
    assert current is not None and current.name == name, line
    assert not current.samples, "behind its samples: " + line
    if word == "UNIT":
        assert name.endswith("_" + rest) and not current.unit, line
        current.unit = rest
    else:
        assert word == "HELP" and current.help is None, line
        current.help = rest
    return current


def check_histogram(family):
    """Each set of labels has rising buckets up to +Inf, which is the count."""
    gauge = "g" if family.kind == "gaugehistogram" else ""
    sets = {}
    for (name, labels), value in family.samples.items():
        without = tuple(p for p in labels if p[0] != "le")
        row = sets.setdefault(without, {"buckets": []})
        if name.endswith("_bucket"):
            row["buckets"].append((dict(labels)["le"], value))
        else:
            row[name[len(family.name):]] = value
    for labels, row in sets.items():
        bounds = [b for b, _ in row["buckets"]]
        assert bounds[-1] == "+Inf", (family.name, bounds)
        assert all("." in b for b in bounds[:-1]), bounds
        numbers = [float(b) for b in bounds]
        assert numbers == sorted(set(numbers)), bounds
        counts = [c for _, c in row["buckets"]]
        assert counts == sorted(counts), (family.name, labels, counts)
        assert counts[-1] == row["_%scount" % gauge], (family.name, row)
        assert "_%ssum" % gauge in row, (family.name, row)


def parse(text):
    """Families by name."""
    families, current = {}, None
    assert text.endswith("# EOF\n"), text[-80:]
    for line in text[:-len("# EOF\n")].splitlines():
        assert line and line == line.strip(), repr(line)
        if line.startswith("#"):
            current = read_comment(line, families, current)
            continue
        m = SAMPLE.match(line)
        assert m, line
        name, labels, value = m.group(1), labels_of(m.group(2)), m.groups()[-1]
        assert NUMBER.match(value), line
        assert current is not None and name in [
            current.name + s for s in SUFFIXES[current.kind]], line
        assert (name, labels) not in current.samples, "twice: " + line
        current.samples[name, labels] = float(value)
    for family in families.values():
        assert family.samples, family.name + " has no sample"
        if family.kind in ("histogram", "gaugehistogram"):
            check_histogram(family)
    return families


def value(families, name, **labels):
    """The sum of the samples that have these labels."""
    for suffix in ("_total", "_count", "_sum", "_gcount", "_bucket", "_info",
                   ""):
        family = families.get(name[:len(name) - len(suffix)]
                              if name.endswith(suffix) else None)
        if family is None:
            continue
        found = [v for (n, have), v in family.samples.items()
                 if n == name and set(labels.items()) <= set(have)]
        if found:
            return sum(found)
    raise AssertionError("no sample %s %r" % (name, labels))


def sample_names(families):
    return {n for f in families.values() for n, _ in f.samples}
