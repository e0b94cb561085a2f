"""For tests in Python: waiting for a condition, with a limit, and never just for time to pass (as test/waiting does in bash)."""
import os
import select
import time

never, _keeps_it_open = os.pipe()  # nothing is ever written to it


def moment(seconds):
    """Lets that much time pass. For the random moment of a kill or a thaw: what a test depends on is waited for with until()."""
    select.select([never], [], [], seconds)


def until(seconds, question, what, interval=0.02):
    """The first answer that is true, asked for every `interval` seconds; ends the program when there is none in time."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds} s: {what}")
        select.select([never], [], [], interval)
    return answer
