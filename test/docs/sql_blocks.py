#!/usr/bin/python3
"""Prints the SQL of a Markdown file's ```sql blocks, in order, for psql.

A block that can't run on its own (a signature, a fragment) says so: ```sql no-run. Each block is announced by an
\\echo with its line, so that psql's error can be found in the text. What a page says about the outcome is checked by
a comment that readers don't see, on a line of its own: <!-- until: SQL condition --> waits for it, half a minute at most.
"""
import re
import shlex
import sys

# Waited for by test/docs/until, beside the session; psql goes on whatever became of that, so the session looks once more.
UNTIL = """\
\\! test/docs/until %s
DO $until$ BEGIN
    IF (%s) IS NOT TRUE THEN RAISE EXCEPTION 'not within 30 s: %%', $condition$%s$condition$; END IF;
END $until$;"""

path = sys.argv[1]
inside = wanted = False
for number, line in enumerate(open(path, encoding="utf-8"), 1):
    fence = re.match(r"\s*```(.*)$", line)
    until = re.match(r"<!-- until: (.*) -->$", line)
    if fence and not inside:
        words = fence.group(1).split()
        inside, wanted = True, words[:1] == ["sql"] and "no-run" not in words
        if wanted:
            print(f"\\echo {path}:{number}")
    elif fence:
        inside = False
    elif inside and wanted:
        print(line, end="")
    elif until and not inside:
        print(f"\\echo {path}:{number}")
        print(UNTIL % (shlex.quote(until.group(1)), until.group(1), until.group(1)))
