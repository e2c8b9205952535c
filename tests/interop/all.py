# SPDX-License-Identifier: ISC
"""Every suite of interop tests, or those that are named, and one sum."""
import importlib
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Suite  # noqa

SUITES = ("run", "login", "injected", "resolver", "lifecycle", "reload", "restart", "service", "upgrade",
          "notices", "disk", "archive", "scheduling", "clock", "manage",
          "transient", "walls", "sendmail", "command", "observe", "reports", "listener",
          "starttls", "doctor", "handshakes", "mistakes", "container", "behind_postfix",
          "behind_others", "peers_mx", "beside_postfix", "syntax")


def main():
    # Who runs us in the background has it ignored, and so would our children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    suite = Suite()
    for name in sys.argv[1:] or SUITES:
        importlib.import_module(name).run(suite)
    suite.end()


main()
