# SPDX-License-Identifier: ISC
"""A queue as a stream: exported, checked, imported; and a damaged one."""
import json
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, wait_for  # noqa
from sink import Sink  # noqa

CONFIG = """
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport sink {
	server = "127.0.0.1:%d"
	tls_security_level = none
}
route "*" { transport = sink }
"""
PAGE = 4096


def body(i):
    """Every fifth is a file of its own, with what JSON would escape."""
    text = b"Subject: %d\r\n\r\n" % i + b"\" { [ } ] \t~" * 30 + b"\r\n"
    return text * (200 if i % 5 == 0 else 1)


def fill(d, sink, n):
    """n messages that wait, of which some were refused."""
    sink.rcpt = lambda rcpt: ("550 5.1.1 no" if rcpt.startswith("no")
                              else "450 4.2.0 later")
    for i in range(n):
        d.send(["to%d@x.test" % i, "no%d@x.test" % i], body(i),
               wait="attempt", extra=("--ref", "ref-%d" % i, "--envid",
                                      "env%d" % i, "--notify", "never"))
    return ["to%d@x.test" % i for i in range(n)]


def facts(rows):
    """What no attempt changes meanwhile."""
    names = ("id", "from", "recipient", "size", "arrived_ms", "ref")
    return sorted([str(r.get(n)) for n in names] + [r["state"] == "failed"]
                  for r in rows)


def archive(d, *args, status=0):
    r = d.postern("queue", *args)
    assert r.returncode == status, (r.returncode, r.stdout, r.stderr)
    return (r.stdout + r.stderr).decode()


def delivers(d, sink, rcpts):
    sink.rcpt = "250 2.1.5 ok"
    wait_for(lambda: all(sink.got(r) for r in rcpts), 60, "what was imported")
    assert [len(sink.got(r)) for r in rcpts] == [1] * len(rcpts)


def an_exported_queue_is_the_same_where_it_is_imported():
    with Sink() as sink, Daemon(CONFIG % sink.port) as d:
        rcpts = fill(d, sink, 20)
        sink.rcpt = "450 4.2.0 later"
        before = facts(d.queued())
        assert "a posternd has this queue open" in archive(
            d, "check", status=75)
        out = d.dir + "/export"
        assert "a posternd has this queue open" in archive(
            d, "export", out, status=75)
        d.stop()
        assert "no fault" in archive(d, "check")
        assert "20 messages, 40 recipients; 0 losses" in archive(
            d, "export", out), "into what the failed one left"
        assert "File exists" in archive(d, "export", out, status=64)
        assert "no fault" in archive(d, "check"), "nothing was changed"
        shutil.move(d.dir + "/spool", d.dir + "/old")
        assert "20 messages, 40 recipients; 0 messages were there" in archive(
            d, "import", out)
        assert "0 messages, 0 recipients; 20 messages were there" in archive(
            d, "import", out)
        assert "no fault" in archive(d, "check")
        d.start()
        after = facts(d.queued())
        assert after == before, (before, after)
        assert d.queue()[-1]["counts"]["failed"] == 20, d.queue()[-1]
        delivers(d, sink, rcpts)
        for i in range(20):
            assert sink.got("to%d@x.test" % i)[0].text == body(i), i
        new = d.send(["z@x.test"], body(1), wait="queued")[0]["id"]
        assert int(new, 16) > max(int(r[0], 16) for r in before), new


def a_damaged_queue_is_refused_and_what_is_left_of_it_saved():
    with Sink() as sink, Daemon(CONFIG % sink.port) as d:
        rcpts = fill(d, sink, 60)
        d.stop()
        database = d.dir + "/spool/queue.db"
        # Its log goes into it, so that the damage is not mended by it.
        archive(d, "export", d.dir + "/whole")
        shutil.copytree(d.dir + "/spool", d.dir + "/kept")
        pages = os.path.getsize(database) // PAGE
        with open(database, "r+b") as f:
            for page in range(pages // 2, pages // 2 + 6):
                f.seek(page * PAGE)
                f.write(b"\xa5" * PAGE)
        try:
            os.unlink(database + "-wal")
            d.start()
        except AssertionError as e:
            assert "the queue database is damaged" in str(e), e
            assert "postern queue export FILE" in str(e), e
            assert database in str(e), e
        else:
            raise AssertionError("it started")
        assert "faults" in archive(d, "check", status=69)
        said = archive(d, "export", d.dir + "/saved", status=69)
        saved = int(re.search(r"exported (\d+) messages", said).group(1))
        assert 0 < saved < 60, said
        shutil.move(d.dir + "/spool", d.dir + "/damaged")
        assert "imported %d messages" % saved in archive(
            d, "import", d.dir + "/saved")
        assert "no fault" in archive(d, "check")
        d.start()
        left = [r["recipient"] for r in d.queued()
                if r["recipient"] in rcpts]
        assert left
        delivers(d, sink, left)


def a_stream_that_is_not_whole_says_where():
    with Sink() as sink, Daemon(CONFIG % sink.port) as d:
        fill(d, sink, 12)
        d.stop()
        archive(d, "export", d.dir + "/whole")
        with open(d.dir + "/whole", "rb") as f:
            whole = f.read()
        lines = whole.split(b"\n", 2)
        row = json.loads(lines[1])
        row["message"]["colour"] = 1
        strange = b"\n".join((lines[0], json.dumps(row).encode(), lines[2]))
        row = json.loads(lines[1])
        row["recipients"][0]["lane"] = 1 << 40
        endless = b"\n".join((lines[0], json.dumps(row).encode(), lines[2]))
        head, tail = lines[1].rsplit(b'"size":', 1)
        longer = b"\n".join((lines[0], head + b'"size":1' + tail, lines[2]))
        for text, want in (
                (b"", "line 1: the stream ends before its end"),
                (b"Received: x\n", "line 1: it is no line of an export"),
                (b"{}\n", "line 1: it is no export of a queue"),
                (whole[:whole.rindex(b'{"end"')], "the stream ends before its end"),
                (whole[:len(whole) // 2], "not whole"),
                (strange, "line 2: message.colour: this posternd knows no"),
                (endless, "line 2: \"lane\" is no number"),
                (longer, "line 2: "),
                (lines[0] + b'\n{"message":{"id":7}}\n', "line 2: it is no"),
                (lines[0] + b'\n[]\n', "line 2: it is no message")):
            shutil.rmtree(d.dir + "/spool")
            with open(d.dir + "/broken", "wb") as f:
                f.write(text)
            said = archive(d, "import", d.dir + "/broken", status=75)
            assert want in said, (want, said)
            # What came before the fault is there; the rest follows.
            took, there = re.search(
                r"imported (\d+) messages.*; (\d+) messages were",
                archive(d, "import", d.dir + "/whole")).groups()
            assert int(took) + int(there) == 12, (took, there)
        assert "no fault" in archive(d, "check")
        archive(d, "export", d.dir + "/whole", status=64)  # it exists
        archive(d, "import", d.dir + "/nothing", status=64)
        archive(d, "export", status=64)
        archive(d, "--spool", d.dir + "/none", "check", status=64)


TESTS = (
    an_exported_queue_is_the_same_where_it_is_imported,
    a_damaged_queue_is_refused_and_what_is_left_of_it_saved,
    a_stream_that_is_not_whole_says_where,
)


def run(suite):
    suite.check_all([(t.__name__.replace("_", " "), t) for t in TESTS])
