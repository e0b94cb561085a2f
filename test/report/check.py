#!/usr/bin/python3
"""Reads a page of mailer.report() as a strict reader: check.py PAGE TEXT…  Every TEXT must be readable on it.

Elements nest and close, nothing comes from elsewhere, nothing runs, no attribute lies outside a short list; what users
wrote is text and stays text. Exits with 1 and says what is wrong.
"""
import re
import sys
from html.parser import HTMLParser

VOID = {"meta"}
ALLOWED = {
    "html": {"lang"}, "head": set(), "meta": {"charset", "name", "content", "http-equiv"}, "title": set(), "style": set(),
    "body": set(), "header": set(), "main": set(), "footer": set(), "h1": set(), "h2": set(), "h3": set(), "p": set(), "b": set(),
    "div": set(), "span": set(), "i": {"style", "title"}, "bdi": set(), "time": {"datetime"}, "article": set(), "figure": set(), "figcaption": set(),
    "dl": set(), "dt": set(), "dd": set(), "table": set(), "thead": set(), "tbody": set(), "tr": set(), "th": {"scope"}, "td": {"data-head"},
    "svg": {"viewbox", "preserveaspectratio", "role", "aria-label"}, "path": {"d"}, "rect": {"x", "y", "width", "height"}, "g": set(),
}


class Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.text, self.style = [], [], []

    def handle_starttag(self, tag, attributes):
        svg_title = tag == "title" and "svg" in self.open
        if tag not in ALLOWED:
            raise ValueError(f"an element {tag} at {self.getpos()}")
        for name, value in attributes:
            if name != "class" and name not in ALLOWED[tag]:
                raise ValueError(f"{tag} with an attribute {name} at {self.getpos()}")
            if name == "style" and not re.fullmatch(r"width:[0-9.]+%", value):
                raise ValueError(f"a style {value}")
            if name == "class" and not re.fullmatch(r"[a-z ]*", value):
                raise ValueError(f"a class {value}")
            if name in ("d", "x", "y", "width", "height") and not re.fullmatch(r"[MHVLZ0-9. -]+", value):
                raise ValueError(f"a drawing {name}={value[:60]}")
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)
        if tag == "title" and not svg_title and self.open[-2:-1] != ["head"]:
            raise ValueError("a title out of place")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            raise ValueError(f"</{tag}> closes something else at {self.getpos()}")

    def handle_data(self, data):
        (self.style if self.open and self.open[-1] == "style" else self.text).append(data)

    def handle_comment(self, data):
        raise ValueError("a comment")


def main():
    page = open(sys.argv[1], encoding="utf-8", newline="").read()
    if not page.startswith("<!DOCTYPE html>\n"):
        raise ValueError("no doctype")
    reader = Reader()
    reader.feed(page)
    reader.close()
    if reader.open:
        raise ValueError(f"left open: {reader.open}")
    if re.search(r"url\(|@import|expression\(", "".join(reader.style)):
        raise ValueError("the style sheet asks for something from elsewhere")
    if forbidden := re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", page):
        raise ValueError(f"a control character: {forbidden[0]!r}")
    text = re.sub(r"\s+", " ", "".join(reader.text))
    for wanted in sys.argv[2:]:
        if re.sub(r"\s+", " ", wanted) not in text:
            raise ValueError(f"not to be read: {wanted}\n{text}")


try:
    main()
except ValueError as wrong:
    sys.exit(str(wrong))
