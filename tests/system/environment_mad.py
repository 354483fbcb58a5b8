#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The toy of examples/, until a replica's command asks it to go mad."""
import os, signal

import environment_toy as toy

TRICKS = {
    "die": lambda ask: os._exit(1),
    "endless": lambda ask: os.write(1, b"x" * 200000),
    "garbage": lambda ask: print('{"say": "started", "replica": ]}', flush=True),
    "forge": lambda ask: toy.say("ended", replica=ask["replica"], end="well", status=70000),
    "deaf": lambda ask: os.kill(os.getpid(), signal.SIGSTOP),
}


def start(replica, ask):
    if ask["command"][0] == "/toy":
        TRICKS[ask["command"][1]](ask)
    else:
        toy.start(replica, ask)


toy.JOBS["start"] = start
toy.main()
