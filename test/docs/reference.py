#!/usr/bin/python3
"""Keeps doc/reference.md in step with the catalog: what a section says is the object's own COMMENT and signature.

    reference.py          fails, and names the lines, when the page isn't what the catalog says
    reference.py --write  puts the catalog's words into the page

The page's `##` chapters and their prose are written by hand. A `###` section is one object, named in its heading
(`### enqueue`, `### view message_status`, `### type attachment`, `### settings`); everything below the heading up to the next
one comes from the catalog. Every public object has a section, and every section has an object. It connects as psql
does, to a database with the extension.
"""
import difflib
import json
import re
import subprocess
import sys
from pathlib import Path

page = Path(__file__).resolve().parents[2] / "doc" / "reference.md"
width = 100


def rows(query):
    out = subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", f"SELECT coalesce(json_agg(r), '[]') FROM ({query}) r"],
        check=True, capture_output=True, text=True).stdout
    return json.loads(out)


# Private things begin with _ ; what an array type or a view's row type is named after is not an object of its own.
routines = rows("""
    SELECT p.proname AS name, p.prokind AS kind, pg_get_function_arguments(p.oid) AS arguments,
           CASE WHEN p.prokind = 'f' THEN pg_get_function_result(p.oid) END AS result, obj_description(p.oid) AS words,
           (SELECT string_agg(g.level, ',' ORDER BY g.level) FROM mailer._privilege() g WHERE p.proname = ANY (g.names)) AS levels
    FROM pg_proc p WHERE p.pronamespace = 'mailer'::regnamespace AND p.proname !~ '^_'
    ORDER BY p.proname, cardinality(p.proargtypes::oid[]), p.oid""")
columns = """(SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
           'words', col_description(c.oid, a.attnum)) ORDER BY a.attnum)
    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)"""
views = rows(f"""
    SELECT c.relname AS name, obj_description(c.oid) AS words, {columns} AS columns
    FROM pg_class c WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind = 'v' AND c.relname !~ '^_'""")
types = rows(f"""
    SELECT t.typname AS name, obj_description(t.oid) AS words, {columns} AS columns
    FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
    WHERE t.typnamespace = 'mailer'::regnamespace AND c.relkind = 'c' AND t.typname !~ '^_'""")
settings = rows("""
    SELECT s.name, s.boot_val AS boot, s.unit, s.vartype AS type, s.enumvals AS values, s.min_val AS least, s.max_val AS most, s.context,
           concat_ws(' ', s.short_desc, s.extra_desc) AS words
    FROM pg_settings s WHERE s.name LIKE 'mailer.%' ORDER BY s.name""")

who = {"sender": "senders", "gateway": "gateways", "viewer": "viewers", "operator": "operators", "owner": "the extension's owner"}


def for_whom(levels):
    if not levels:
        return None
    names = levels.split(",")
    if "owner" in names:
        return "For the extension's owner."
    names = [who[n] for n in ("sender", "gateway", "viewer", "operator") if n in names or n == "operator"]
    return "For " + ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] + "."


def escaped(text):
    """Catalog text as Markdown: what is markup there is only text here. Inside a word an underscore marks nothing."""
    return re.sub(r"([*<|\\`]|(?<!\w)_|_(?!\w))", r"\\\1", text or "")


def paragraphs(words):
    """A comment's lines: what a parameter means is a list, what can go wrong a paragraph of its own."""
    out = []
    for line in (words or "").split("\n"):
        if re.match(r"[a-z_]+(, [a-z_]+)*: ", line):
            out += ([""] if out and not out[-1].startswith("- ") else []) + ["- " + escaped(line)]
        elif out and (re.match(r"Errors?:? ", line) or out[-1].startswith("- ")):
            out += ["", escaped(line)]
        else:
            out.append(escaped(line))
    return out


def arguments_of(text):
    depth, part, parts = 0, "", []
    for char in text:
        depth += char in "([{" and 1 or char in ")]}" and -1 or 0
        if char == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += char
    if part.strip():
        parts.append(part.strip())
    # IN is what everybody assumes, and a default reads better without the type that pg_get_function_arguments adds.
    return [re.sub(r"^IN ", "", re.sub(r"('(?:[^']|'')*'|NULL)::[a-z \[\].0-9]+(\([0-9]+\))?$", r"\1", p)) for p in parts]


def signature(routine):
    parts = arguments_of(routine["arguments"])
    call = ("CALL " if routine["kind"] == "p" else "") + f"mailer.{routine['name']}("
    result = f" RETURNS {routine['result']}" if routine["result"] else ""
    result = re.sub(r"character varying", "varchar", result.replace("timestamp with time zone", "timestamptz"))
    parts = [p.replace("timestamp with time zone", "timestamptz").replace("time without time zone", "time") for p in parts]
    lines, line = [], call
    for i, part in enumerate(parts):
        piece = part + (", " if i + 1 < len(parts) else ")" + result)
        if len(line + piece) > width and line != call:
            lines.append(line.rstrip())
            line = "    "
        line += piece
    if not parts:
        line += ")" + result
    while len(line) > width and ", " in line[8:width]:
        cut = line.rindex(", ", 8, width) + 1
        lines.append(line[:cut])
        line = "    " + line[cut:].lstrip()
    return lines + [line]


def routine_section(name):
    forms = [r for r in routines if r["name"] == name]
    if not forms:
        return None
    out = ["```sql no-run"]
    for form in forms:
        out += signature(form)
    out.append("```")
    said = []
    for form in forms:
        if form["words"] not in said:
            said.append(form["words"])
    for words in said:
        out += [""] + paragraphs(words)
    whom = for_whom(forms[0]["levels"])
    return out + (["", f"*{whom}*"] if whom else [])


def table_section(thing):
    out = [escaped(thing["words"]) + ".", "", "| column | type | |", "|---|---|---|"]
    for column in thing["columns"]:
        kind = column["type"].replace("timestamp with time zone", "timestamptz").replace("time without time zone", "time")
        out.append(f"| `{column['name']}` | {kind} | {escaped(column['words'])} |".replace("|  |", "| |"))
    return out


def shown_default(s):
    if s["type"] == "integer" and s["unit"]:
        number = int(s["boot"])
        for unit, factors in {"ms": ((60000, "min"), (1000, "s"), (1, "ms")), "s": ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")),
                              "B": ((1 << 20, "MB"), (1 << 10, "kB"), (1, "B")), "kB": ((1 << 10, "MB"), (1, "kB"))}.items():
            if s["unit"] == unit:
                return next(f"{number // f} {u}" for f, u in factors if number % f == 0)
    return {"": "empty"}.get(s["boot"], s["boot"])


takes_effect = {
    "sighup": "a reload is enough",
    "superuser": "superusers, also for one database: `ALTER DATABASE … SET`",
    "user": "anybody, in a session too",
    "postmaster": "needs a restart",
}


def settings_section():
    out = ["| setting | default | unit | set by | |", "|---|---|---|---|---|"]
    for s in settings:
        unit = {"ms": "time", "s": "time", "B": "size", "kB": "size"}.get(s["unit"]) or {"bool": "on, off", "string": "text", "integer": "number"}.get(s["type"])
        if s["values"]:
            unit = ", ".join(s["values"])
        out.append(f"| `{s['name']}` | {shown_default(s)} | {unit} | {takes_effect[s['context']]} | {escaped(s['words'])} |")
    return out


def section(heading):
    kind, _, name = heading.rpartition(" ")
    if kind == "view":
        return next((table_section(v) for v in views if v["name"] == name), None)
    if kind == "type":
        return next((table_section(t) for t in types if t["name"] == name), None)
    return settings_section() if heading == "settings" else routine_section(heading)


wanted = ({r["name"] for r in routines} | {"view " + v["name"] for v in views} | {"type " + t["name"] for t in types} | {"settings"})
text = page.read_text(encoding="utf-8")
result, seen, skipping, faults = [], set(), False, []
for line in text.split("\n"):
    heading = re.match(r"### (.*)$", line)
    if heading:
        name = heading.group(1)
        body = section(name)
        if body is None:
            faults.append(f"'### {name}' is nothing public in the catalog")
        elif name in seen:
            faults.append(f"'### {name}' is there twice")
        seen.add(name)
        result += [line, ""] + (body or []) + [""]
        skipping = True
    elif line.startswith("## "):
        skipping = False
        result.append(line)
    elif not skipping:
        result.append(line)
for name in sorted(wanted - seen):
    faults.append(f"there is no section '### {name}': add the heading under its chapter, then run test/docs/reference.py --write")

new = "\n".join(result).rstrip("\n") + "\n"
if "--write" in sys.argv[1:]:
    page.write_text(new, encoding="utf-8")
elif new != text:
    faults.append("it says something else than the catalog (run test/docs/reference.py --write):")
    faults += list(difflib.unified_diff(text.splitlines(), new.splitlines(), "doc/reference.md", "catalog", lineterm="", n=0))
for fault in faults:
    print(fault)
sys.exit(bool(faults))
