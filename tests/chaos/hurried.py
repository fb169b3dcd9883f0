"""Starts the server as `python -m server` does, which then takes PACE times as long to give up a silent peer."""

from __future__ import annotations

import os
import runpy
import sys

from server import connection, protocol, serving

if __name__ == "__main__":
    pace = float(os.environ["PACE"])
    serving.PING_SECONDS *= pace
    serving.PONG_SECONDS *= pace
    connection.SEND_SECONDS *= pace
    protocol.HEARTBEAT_SECONDS *= pace
    sys.argv[0] = "server"
    runpy.run_module("server", run_name="__main__", alter_sys=True)
