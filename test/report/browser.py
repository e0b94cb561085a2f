#!/usr/bin/python3
"""Looks at a page in headless Chromium: browser.py CHROMIUM PAGE FOLDER

Light and dark as the reader prefers, on a phone without scrolling sideways, on paper, with nothing of what
users wrote alive in the document. Screenshots stay in FOLDER. Exits with 1 and says what is wrong.
"""
import html
import os
import re
import struct
import subprocess
import sys
import zlib

chromium, page, folder = sys.argv[1:4]


def look(what, *options):
    # Its sandbox wants a user with privileges of his own; what is looked at here is our own page.
    command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
               f"--user-data-dir={folder}/profile", *options, f"file://{what}"]
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout.decode()


def pixel(path, x, y):
    """One pixel of a PNG as Chromium writes them: 8 bits, RGB or RGBA, not interlaced."""
    data = open(path, "rb").read()
    width, _, depth, kind = struct.unpack(">IIBB", data[16:26])
    if depth != 8 or kind not in (2, 6):
        sys.exit(f"{path}: a PNG of another kind")
    size, at, packed = (3 if kind == 2 else 4), 8, b""
    while at < len(data):
        (length,) = struct.unpack(">I", data[at:at + 4])
        if data[at + 4:at + 8] == b"IDAT":
            packed += data[at + 8:at + 8 + length]
        at += length + 12
    raw, line = zlib.decompress(packed), bytearray(width * size)
    for row in range(y + 1):
        start = row * (width * size + 1)
        method, above, line = raw[start], line, bytearray(raw[start + 1:start + 1 + width * size])
        for i in range(len(line)):
            left, up, corner = (line[i - size] if i >= size else 0), above[i], (above[i - size] if i >= size else 0)
            if method == 4:
                guess = left + up - corner
                near = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
            else:
                near = (0, left, up, (left + up) // 2)[method]
            line[i] = (line[i] + near) & 255
    return tuple(line[x * size:x * size + 3])


def brightness(name, *options):
    shot = f"{folder}/{name}.png"
    look(page, f"--screenshot={shot}", *options)
    return sum(pixel(shot, 2, 2)) / 3


wrong = []
if (light := brightness("light", "--window-size=1100,2400", "--blink-settings=preferredColorScheme=1")) < 220:
    wrong.append(f"the light page has a background of {light}")
if (dark := brightness("dark", "--window-size=1100,2400", "--blink-settings=preferredColorScheme=0")) > 60:
    wrong.append(f"the dark page has a background of {dark}")
brightness("phone", "--window-size=500,5000", "--force-device-scale-factor=1")
look(page, f"--print-to-pdf={folder}/paper.pdf")
if not open(f"{folder}/paper.pdf", "rb").read(5) == b"%PDF-":
    wrong.append("it doesn't print")

# In frames as wide as a phone and a desk, where a page outside of it can measure.
frames = f"{folder}/frames.html"
source = html.escape(open(page, encoding="utf-8").read(), quote=True)
with open(frames, "w", encoding="utf-8") as out:
    out.write(f"""<!DOCTYPE html><meta charset="utf-8"><body>
<iframe width="390" height="800" srcdoc="{source}"></iframe><iframe width="1100" height="800" srcdoc="{source}"></iframe>
<pre id="found"></pre><script>
addEventListener("load", () => {{
  document.getElementById("found").textContent = [...document.querySelectorAll("iframe")].map(f => {{
    const d = f.contentDocument, e = d.documentElement;
    const small = [...d.querySelectorAll("main *")].filter(x => x.textContent && parseFloat(getComputedStyle(x).fontSize) < 11).length;
    return `wide=${{e.scrollWidth}}/${{e.clientWidth}} alive=${{d.querySelectorAll("script,img,iframe,object,link,a,form,input,[onerror],[onload],[src],[href]").length}} svg=${{d.querySelectorAll("svg").length}} small=${{small}};`;
  }}).join(" ");
}});
</script>""")
found = re.findall(r"wide=(\d+)/(\d+) alive=(\d+) svg=(\d+) small=(\d+);", look(frames, "--dump-dom", "--window-size=1300,1700"))
if len(found) != 2:
    wrong.append("the frames could not be measured")
for width, room, alive, drawings, small in found:
    if int(width) > int(room):
        wrong.append(f"it is {width} wide where there is room for {room}")
    if int(alive):
        wrong.append(f"{alive} elements that no report has")
    if int(drawings) < 2:
        wrong.append(f"{drawings} drawings")
    if int(small):
        wrong.append(f"{small} words are too small to read")
sys.exit("\n".join(wrong) or None)
