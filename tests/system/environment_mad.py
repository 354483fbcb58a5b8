#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The toy of examples/, until a replica's command asks it to go mad."""
import os, signal

import environment_toy as toy

TRICKS = {
    "die": lambda replica: os._exit(1),
    "endless": lambda replica: os.write(1, b"x" * 200000),
    "garbage": lambda replica: print('{"say": "started", "replica": ]}', flush=True),
    "forge": lambda replica: toy.say("ended", replica, end="well", status=70000),
    "deaf": lambda replica: os.kill(os.getpid(), signal.SIGSTOP),
}


def start(replica, command, **more):
    if command[0] == "/toy":
        TRICKS[command[1]](replica)
    else:
        toy.start(replica, command=command, **more)


toy.JOBS["start"] = start
toy.main()
