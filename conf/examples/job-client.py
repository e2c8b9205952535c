#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""job-client.py SOCKET FROM RECIPIENT... < message-file: waits for the end.
Ends with 0, 69 where the job or a recipient failed, 75 to try again, or 64 where
a word is missing."""
import array, json, socket, sys
if len(sys.argv) < 4:
    print("usage: job-client.py SOCKET FROM RECIPIENT... < message-file",
          file=sys.stderr)
    sys.exit(64)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
try:
    s.connect(sys.argv[1])
except OSError as e:
    print("%s: %s" % (sys.argv[1], e.strerror), file=sys.stderr)
    sys.exit(75)
job = {"from": sys.argv[2], "rcpts": sys.argv[3:], "wait": "final"}
s.sendmsg([json.dumps(job).encode()],
          [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
status = 0
while answer := s.recv(65536):
    print(answer.decode())
    a = json.loads(answer)
    if a.get("status") == "refused":
        sys.exit(69 if a["code"] >= 500 else 75)
    if a.get("status") == "failed":
        status = 69
    if "done" in a:
        sys.exit(status)
sys.exit(75)  # the connection was lost: the job may have been taken
