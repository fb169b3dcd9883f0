"""`python -m server`: the same as `chatroom serve`."""

import sys

from server.cli import app

app(["serve", *sys.argv[1:]])
