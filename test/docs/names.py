#!/usr/bin/python3
"""What the pages name is there: links and their anchors, files, functions, tests; and doc/states.md knows all words of the code.

In backticks, `src/core/pace/gate.cpp` must be a file (in src/README.md a path may start inside src/), `Pump::tick` must be a
function of that name somewhere in src/, `Suite.NameOfATest` a GoogleTest. Prints what isn't; exits with 1 then.
"""
import re
import sys
from pathlib import Path

top = Path(__file__).resolve().parents[2]
pages = [top / n for n in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "src/README.md", "test/fault/README.md")]
pages = [p for p in pages if p.exists()] + sorted((top / "doc").rglob("*.md"))
sources = {p: p.read_text(encoding="utf-8") for p in sorted((top / "src").rglob("*.?pp"))}
all_source = "\n".join(sources.values())
sql = "\n".join(p.read_text(encoding="utf-8") for p in sorted((top / "sql").glob("[0-9]*.sql")))
tests = "\n".join(p.read_text(encoding="utf-8") for p in sorted((top / "test").rglob("*_test.cpp")))
faults = []


def slugs(path):
    """Anchors that GitHub gives to a page's headings."""
    found, fenced = set(), False
    for line in path.read_text(encoding="utf-8").splitlines():
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else re.match(r"#+ (.*)", line)
        if heading:
            found.add(re.sub(r"[^\w\- ]", "", heading.group(1).lower()).replace(" ", "-"))
    return found


def prose(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def check_link(page, target):
    if re.match(r"[a-z]+:", target):
        return
    path, _, anchor = target.partition("#")
    other = (page.parent / path).resolve() if path else page
    if not other.exists():
        faults.append(f"{page.relative_to(top)}: link to {target}: there is no such file")
    elif anchor and anchor not in slugs(other):
        faults.append(f"{page.relative_to(top)}: link to {target}: that page has no such heading")


def check_code(page, code):
    where = f"{page.relative_to(top)}: `{code}`"
    path = re.fullmatch(r"(?:src|test|sql|doc|scripts|examples|bench)/[\w./-]+", code)
    in_src = page.parent.name == "src" and re.fullmatch(r"(?:core|net|smtp|worker|pg)/[\w./-]+|[a-z_]+\.[ch]pp", code)
    if path and "NN" not in code and "NAME" not in code and "--" not in code and not (top / code).exists():
        faults.append(f"{where}: there is no such file")
    if in_src and not any(str(p).endswith("/" + code) for p in sources) and not (top / "src" / code).is_dir() \
            and not list((top / "src").glob(code + ".*")):
        faults.append(f"{where}: there is no such file in src/")
    name = re.fullmatch(r"(\w+)::(~?\w+)", code)
    if name and not (re.search(rf"\b{name[1]}\b", all_source) and re.search(rf"\b{name[2]}\b", all_source)):
        faults.append(f"{where}: no source has that name")
    case = re.fullmatch(r"([A-Z]\w+)\.([A-Z]\w+)", code)
    if case and not re.search(rf"TEST(_F|_P)?\({case[1]}, {case[2]}\)", tests):
        faults.append(f"{where}: there is no such test")


for page in pages:
    text = prose(page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        check_link(page, target)
    for code in re.findall(r"`([^`\n]+)`", text):
        check_code(page, code)

states = (top / "doc" / "states.md").read_text(encoding="utf-8")
gates = re.findall(r'return "([a-z_]+)";', (top / "src/core/pace/explain.cpp").read_text(encoding="utf-8").split("gate_name(Gate gate)")[1])
kinds = re.findall(r"_log_event\('([a-z_]+)'", sql) + re.findall(r'log_event\((?:until \? )?"([a-z_]+)"(?: : "([a-z_]+)")?', all_source)
kinds += re.findall(r'\blog\(call_, "([a-z_]+)"', all_source) + re.findall(r"_change_campaign\([^;]*'(campaign_[a-z]+)'\);", sql)
kinds = {k for kind in kinds for k in ([kind] if isinstance(kind, str) else kind) if k}
# The table of causes in src/core/outcome/ending.cpp.
reasons = set(re.findall(r'Row\{Cause::\w+, "([a-z_]+)"', all_source))
reasons |= set(re.findall(r'was_just_promoted[^?;]*\? "([a-z_]+)"', all_source)) | set(re.findall(r'was_just_promoted[^;]*: "([a-z_]+)"', all_source))
kinds |= set(re.findall(r'is_held \? "([a-z_]+)" : "[a-z_]+"', all_source)) | set(re.findall(r'is_held \? "[a-z_]+" : "([a-z_]+)"', all_source))
for what, words in (("gate", gates), ("kind of event", kinds), ("reason", reasons)):
    for word in sorted(set(words) - {"unknown"}):
        if f"`{word}`" not in states:
            faults.append(f"doc/states.md doesn't know the {what} `{word}`")
if len(gates) < 15 or len(kinds) < 15 or len(reasons) < 8:
    faults.append(f"names.py no longer finds the words of the code: {len(gates)} gates, {len(kinds)} kinds, {len(reasons)} reasons")
if "-v" in sys.argv:
    print(sorted(gates), sorted(kinds), sorted(reasons), sep="\n")
print("\n".join(faults))
sys.exit(bool(faults))
