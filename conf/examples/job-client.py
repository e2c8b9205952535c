#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""job-client.py SOCKET FROM RECIPIENT... < message-file: waits for the end."""
import array, json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
job = {"from": sys.argv[2], "rcpts": sys.argv[3:], "wait": "final"}
s.sendmsg([json.dumps(job).encode()],
          [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
while answer := s.recv(65536):
    print(answer.decode())
    if "done" in (a := json.loads(answer)) or a["status"] == "refused":
        break
