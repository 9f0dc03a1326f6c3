"""`python -m realtime_trio` is `realtime-trio`."""

from realtime_trio.cli import main

main(prog_name="realtime-trio")
