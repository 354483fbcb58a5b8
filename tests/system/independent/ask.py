#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""ask.py FOLDER COMMAND [WORD...]: has node.py do something; its answer is a line of JSON."""
import json
import socket
import sys

with socket.socket(socket.AF_UNIX) as asked:
    asked.settimeout(15)
    asked.connect(sys.argv[1] + "/socket")
    asked.sendall(json.dumps(sys.argv[2:]).encode() + b"\n")
    print(asked.makefile().readline().strip())
