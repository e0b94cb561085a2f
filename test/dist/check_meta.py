#!/usr/bin/python3
"""Holds META.json to the PGXN Meta Spec 1.0.0 (https://pgxn.org/meta/spec.txt), and the archive to META.json.

check_meta.py ARCHIVE.zip     exits with 1 and names everything that is wrong
"""
import json
import re
import sys
import zipfile

SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[a-zA-Z][0-9A-Za-z-]*)?")
TERM = re.compile(r"[^\s/\\\x00-\x1f]{2,}")
LICENSES = {"agpl_3", "apache_1_1", "apache_2_0", "artistic_1", "artistic_2", "bsd", "freebsd", "gfdl_1_2", "gfdl_1_3", "gpl_1", "gpl_2", "gpl_3",
            "lgpl_2_1", "lgpl_3_0", "mit", "mozilla_1_0", "mozilla_1_1", "openssl", "perl_5", "postgresql", "qpl_1_0", "ssleay", "sun", "zlib",
            "open_source", "restricted", "unrestricted", "unknown"}
KNOWN = {"name", "version", "abstract", "maintainer", "license", "provides", "meta-spec", "description", "generated_by", "tags", "no_index", "prereqs",
         "release_status", "resources"}
wrong = []


def need(is_right, what):
    if not is_right:
        wrong.append(what)


def text(holder, key, where, required=True):
    value = holder.get(key)
    need(value is None and not required or isinstance(value, str) and value.strip() != "", f"{where}{key} is to be text")
    return value if isinstance(value, str) else ""


with zipfile.ZipFile(sys.argv[1]) as archive:
    need(archive.testzip() is None, "the archive is damaged")
    names = archive.namelist()
    root = names[0].split("/")[0]
    need(all(name.startswith(root + "/") for name in names), "there is more than one folder at the top")
    files = {name[len(root) + 1:] for name in names if not name.endswith("/")}
    meta = json.loads(archive.read(f"{root}/META.json"))
    control = archive.read(f"{root}/mailer.control").decode()
    script = archive.read(f"{root}/{meta['provides']['mailer']['file']}").decode() if meta["provides"]["mailer"]["file"] in files else ""

for key in meta:
    need(key in KNOWN or key.lower().startswith("x_"), f"{key} is no field of the spec")
need(TERM.fullmatch(text(meta, "name", "")), "name is no term")
need(SEMVER.fullmatch(text(meta, "version", "")), "version is no semantic version")
text(meta, "abstract", "")
text(meta, "description", "", required=False)
maintainers = meta.get("maintainer")
need(isinstance(maintainers, str) and maintainers or isinstance(maintainers, list) and maintainers and all(isinstance(m, str) for m in maintainers), "maintainer is missing")
licence = meta.get("license")
licences = [licence] if isinstance(licence, str) else licence
need(isinstance(licence, dict) or licences and all(one in LICENSES for one in licences), f"license {licence} is not of the list")
need(meta.get("release_status", "stable") in ("stable", "testing", "unstable"), "release_status is stable, testing or unstable")
need(meta.get("meta-spec", {}).get("version") == "1.0.0", "meta-spec.version is 1.0.0")
need(all(isinstance(tag, str) and 0 < len(tag) <= 255 and "/" not in tag and "\\" not in tag for tag in meta.get("tags", [])), "tags are short texts")
need(root == f"{meta['name']}-{meta['version']}", f"the folder is {root}")

need(isinstance(meta.get("provides"), dict) and meta["provides"], "provides names the extension")
for name, about in meta.get("provides", {}).items():
    need(TERM.fullmatch(name), f"provides {name}: no term")
    need(SEMVER.fullmatch(text(about, "version", f"provides.{name}.")), f"provides.{name}.version is no semantic version")
    for key in ("file", "docfile"):
        value = text(about, key, f"provides.{name}.", required=key == "file")
        need(not value or value in files, f"provides.{name}.{key}: {value} is not in the archive")
    need(f"default_version = '{about.get('version')}'" in control, f"mailer.control has another version than provides.{name}")

for phase, relations in meta.get("prereqs", {}).items():
    need(phase in ("configure", "build", "test", "runtime", "develop") or phase.lower().startswith("x_"), f"prereqs.{phase} is no phase")
    for relation, wanted in relations.items():
        need(relation in ("requires", "recommends", "suggests", "conflicts") or relation.lower().startswith("x_"), f"prereqs.{phase}.{relation} is no relation")
        for name, version in wanted.items():
            bounds = [re.sub(r"^(==|!=|<=|>=|<|>)\s*", "", bound.strip()) for bound in str(version).split(",")]
            need(version == 0 or all(SEMVER.fullmatch(bound) for bound in bounds), f"prereqs of {name}: {version} is no version range")

need(script.count("CREATE FUNCTION") > 50 and script.rstrip().endswith(";"), "the SQL script in the archive is not the whole one")
need({"Makefile", "mailer.control", "README.md", "LICENSE", "CHANGELOG.md"} <= files, "a file that every distribution has is missing")
need(any(name.startswith("src/pg/") for name in files) and any(name.startswith("test/regress/") for name in files), "sources or tests are missing")
for name in files:
    need(not re.search(r"\.(o|so|bc|d)$|^build/|__pycache__", name), f"{name} was built and doesn't belong into the archive")
sys.exit("\n".join(wrong) or None)
