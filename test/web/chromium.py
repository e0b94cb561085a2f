"""A real browser, driven by the DevTools protocol over a pipe: nothing besides Python and Debian's chromium is needed.

One page at a time. What the browser complains about (scripts, the content policy, resources that don't load) is
collected in `complaints`.
"""
import base64
import json
import os
import select
import shutil
import subprocess
import time

program = shutil.which("chromium") or shutil.which("chromium-browser")


class Failed(Exception):
    pass


class Chromium:
    def __init__(self, folder):
        to_browser, self.to = os.pipe()
        self.back, from_browser = os.pipe()
        # The browser reads from 3 and writes to 4. Moved out of their way first, so that neither overwrites the other.
        shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self.log = open(os.path.join(folder, "chromium.log"), "ab")
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "chromium", program, "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--hide-scrollbars", f"--user-data-dir={os.path.join(folder, 'chromium')}", "about:blank"],
            pass_fds=(to_browser, from_browser), stdout=self.log, stderr=self.log, start_new_session=True)
        os.close(to_browser)
        os.close(from_browser)
        self.number, self.rest, self.events, self.complaints, self.session = 0, b"", [], [], None
        self.axe = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(domain + ".enable")

    def _read(self, until):
        while b"\0" not in self.rest:
            if time.monotonic() > until:
                raise Failed("the browser doesn't answer")
            if not select.select([self.back], [], [], max(0, until - time.monotonic()))[0]:
                continue
            part = os.read(self.back, 1 << 20)
            if not part:
                raise Failed("the browser has ended")
            self.rest += part
        message, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(message)
        method, about = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(about["exceptionDetails"].get("exception", {}).get("description") or about["exceptionDetails"]["text"])
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(about["args"]))
        elif method == "Page.javascriptDialogOpening":
            self.events.append(message)
        elif method in ("Page.loadEventFired", "Network.responseReceived"):
            self.events.append(message)
        return message

    def send(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        return self.number

    def ask(self, method, **parameters):
        number, until = self.send(method, **parameters), time.monotonic() + 60
        while True:
            message = self._read(until)
            if message.get("id") == number:
                if "error" in message:
                    raise Failed(f"{method}: {message['error']}")
                return message["result"]

    def wait_for(self, method):
        until = time.monotonic() + 60
        while True:
            for event in self.events:
                if event["method"] == method:
                    self.events.remove(event)
                    return event["params"]
            try:
                self._read(until)
            except Failed as failed:
                raise Failed(f"{failed}: no {method}") from None

    def look(self, theme="light", width=1280, height=900):
        """As which person it looks: colour scheme and size of the window; a narrow one is a phone."""
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def go(self, address):
        """Loads a page and returns its status."""
        self.events.clear()
        refused = self.ask("Page.navigate", url=address).get("errorText")
        if refused:
            raise Failed(f"{address}: {refused}")
        return self.loaded()

    def loaded(self):
        """Waits until the page that was asked for is there, and returns its status."""
        self.wait_for("Page.loadEventFired")
        documents = [event["params"]["response"]["status"] for event in self.events
                     if event["method"] == "Network.responseReceived" and event["params"]["type"] == "Document"
                     and event["params"]["frameId"] == self.frame()]
        return documents[-1] if documents else None

    def frame(self):
        return self.ask("Page.getFrameTree")["frameTree"]["frame"]["id"]

    def run(self, script):
        """Evaluates an expression in the page, waits for a promise, returns the value."""
        result = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise Failed(result["exceptionDetails"].get("exception", {}).get("description") or result["exceptionDetails"]["text"])
        return result["result"].get("value")

    def key(self, name, text=None):
        """Presses a key; one that types something has its text."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=name, code={" ": "Space"}.get(name, name), windowsVirtualKeyCode=codes.get(name, 0),
                     **({"text": text} if text and kind == "keyDown" else {}))

    def wait_for_focus(self, field):
        """Until the field of this name has the focus: the browser gives it after the page's load event, and types nowhere before."""
        self.run(f"new Promise(done => {{ const look = () => document.activeElement.name === {json.dumps(field)} ? done(0) : requestAnimationFrame(look); look(); }})")

    def type(self, text):
        self.ask("Input.insertText", text=text)

    def picture(self, path):
        """The whole page, as far as a person would scroll."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1}
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def faults(self, axe):
        """What axe-core finds that keeps somebody out."""
        if self.run("typeof axe") == "undefined":
            self.run(axe + "\n;0")
        return self.run("""axe.run({resultTypes: ['violations']}).then(found => found.violations
            .filter(one => ['serious', 'critical'].includes(one.impact))
            .map(one => one.id + ': ' + one.nodes.map(node => node.target.join(' ') + ' ' + (node.any[0] || node.all[0] || node.none[0] || {}).message).slice(0, 4).join('; ')))""")

    def stop(self):
        self.session = None
        self.send("Browser.close")
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.back)
