#!/usr/bin/python3
"""Reads mailer.metrics() as a strict reader of the Prometheus text format, and holds it to the exporter's queries.

check.py PAGE [QUERIES]   PAGE is the text; QUERIES is etc/postgres_exporter.yaml, whose queries are then run by psql
(PGHOST and so on say where). Exits with 1 and says what is wrong. With QUERIES the two must agree metric by metric,
label by label and value by value. The page is asked for again after the queries, because a minute's window moves between
the questions: an exporter's value must lie between the two pages'.
"""
import csv
import io
import re
import subprocess
import sys

import yaml

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
HELP = re.compile(rf"# HELP ({NAME}) (.+)")
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge)")
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (-?[0-9]+(?:\.[0-9]+)?)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)')
MOVING = {"mailer_worker_heartbeat_age_seconds", "mailer_worker_ticks_total", "mailer_queue_oldest_due_age_seconds"}


def labels_of(text):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        if not match or match[1] in labels:
            raise ValueError(f"bad labels: {text}")
        labels[match[1]] = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], match[2])
        at = match.end()
    return labels


def read(page):
    if not page.endswith("\n"):
        raise ValueError("the last line has no end")
    samples, types, helps, current = {}, {}, set(), None
    for line in page[:-1].split("\n"):
        if match := HELP.fullmatch(line):
            current = match[1]
            if current in helps:
                raise ValueError(f"{current} comes twice")
            helps.add(current)
        elif match := TYPE.fullmatch(line):
            if match[1] != current:
                raise ValueError(f"TYPE of {match[1]} follows HELP of {current}")
            types[current] = match[2]
        elif match := SAMPLE.fullmatch(line):
            name, key = match[1], (match[1], tuple(sorted(labels_of(match[2] or "").items())))
            if name != current or name not in types:
                raise ValueError(f"a sample of {name} stands apart from its family")
            if name.endswith("_total") != (types[name] == "counter"):
                raise ValueError(f"{name} is a {types[name]}")
            if key in samples:
                raise ValueError(f"a sample twice: {line}")
            samples[key] = float(match[3])
        else:
            raise ValueError(f"what is this: {line!r}")
    return samples, types


def page():
    answer = subprocess.run(["psql", "-XqAt", "-c", "SELECT mailer.metrics()"], check=True, capture_output=True, text=True).stdout
    return answer[:-1]  # psql's own line feed


def ask(query):
    out = subprocess.run(["psql", "-Xq", "--csv", "-v", "ON_ERROR_STOP=1", "-c", query], check=True, capture_output=True, text=True).stdout
    return csv.DictReader(io.StringIO(out, newline=""))


def exported(queries):
    samples, types = {}, {}
    for prefix, topic in queries.items():
        usage = {name: about["usage"] for column in topic["metrics"] for name, about in column.items()}
        for row in ask(topic["query"]):
            if set(row) != set(usage):
                raise ValueError(f"{prefix}: the query has {sorted(row)}, the list {sorted(usage)}")
            labels = tuple(sorted((name, row[name]) for name in row if usage[name] == "LABEL"))
            for name in row:
                if usage[name] != "LABEL":
                    types[f"{prefix}_{name}"] = usage[name].lower()
                    if row[name] != "":
                        samples[(f"{prefix}_{name}", labels)] = float(row[name])
    return samples, types


def main():
    samples, types = read(open(sys.argv[1], encoding="utf-8", newline="").read())
    if len(sys.argv) > 2:
        theirs, their_types = exported(yaml.safe_load(open(sys.argv[2], encoding="utf-8")))
        for key in sorted(set(samples) ^ set(theirs)):
            raise ValueError(f"only one of the two has {key}")
        later, _ = read(page())
        for key, value in samples.items():
            after = later.get(key, value)
            if key[0] not in MOVING and not min(value, after) <= theirs[key] <= max(value, after):
                raise ValueError(f"{key} is {value}, then {after}, and {theirs[key]} for the exporter")
        for name in types:
            if their_types[name] != types[name]:
                raise ValueError(f"{name} is a {types[name]} and a {their_types[name]}")
    print(f"{len(samples)} samples of {len(types)} metrics")


try:
    main()
except ValueError as wrong:
    sys.exit(str(wrong))
