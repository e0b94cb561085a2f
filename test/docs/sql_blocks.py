#!/usr/bin/python3
"""Prints the SQL of a Markdown file's ```sql blocks, in order, for psql.

A block that can't run on its own (a signature, a fragment) says so: ```sql no-run. Each block is announced by an
\\echo with its line, so that psql's error can be found in the text.
"""
import re
import sys

path = sys.argv[1]
inside = wanted = False
for number, line in enumerate(open(path, encoding="utf-8"), 1):
    fence = re.match(r"\s*```(.*)$", line)
    if fence and not inside:
        words = fence.group(1).split()
        inside, wanted = True, words[:1] == ["sql"] and "no-run" not in words
        if wanted:
            print(f"\\echo {path}:{number}")
    elif fence:
        inside = False
    elif inside and wanted:
        print(line, end="")
