"""Somebody at the browser who knows nothing but what is on the page: links, buttons and fields are found by the words
that can be seen. What has two meanings on one page, or none, is an error: a person wouldn't know either.
"""
import json

from client import until

# Text that somebody reads, without that of labels' own fields.
find = """(kind, words) => {
    const clean = (text) => text.replace(/\\s+/g, ' ').trim();
    const isSeen = (one) => one.getClientRects().length && one.checkVisibility();
    const said = (one) => clean([...one.childNodes].filter(node => !(node.matches && node.matches('input, select, textarea'))).map(node => node.textContent).join(''));
    const all = {
        button: () => [...document.querySelectorAll('button')].filter(one => clean(one.innerText) === words),
        link: () => [...document.querySelectorAll('a[href]')].filter(one => clean(one.innerText) === words),
        // A number after the words, or what a field says besides: its label begins with them.
        field: () => [...document.querySelectorAll('label')].filter(one => said(one) === words).map(one => one.control),
    }[kind]().filter(one => one && isSeen(one));
    // The same link twice is one.
    const different = new Map(all.map(one => [kind === 'link' ? one.href : one, one]));
    if (different.size !== 1) throw new Error(different.size + ' times on ' + location.pathname + ': ' + kind + ' ' + words + ' in: ' + document.body.innerText.slice(0, 1500));
    return [...different.values()][0];
}"""


class Person:
    def __init__(self, tab):
        self.tab = tab

    def at(self, address):
        """What stands in a mail, or what one has been told: an address is typed in."""
        assert self.tab.go(address) == 200, self.page()

    def page(self):
        return self.tab.run("document.body.innerText")

    def path(self):
        return self.tab.run("location.pathname")

    def _found(self, kind, words):
        return f"({find})({json.dumps(kind)}, {json.dumps(words)})"

    def _click(self, kind, words, agrees):
        self.tab.run(self._found(kind, words) + ".scrollIntoView()")
        self.tab.events.clear()
        # The question comes while the click is being handled, and the click ends when it is answered.
        self.tab.send("Runtime.evaluate", expression=self._found(kind, words) + ".click()")
        question = None
        if agrees:
            question = self.tab.wait_for("Page.javascriptDialogOpening")["message"]
            self.tab.ask("Page.handleJavaScriptDialog", accept=True)
        status = self.tab.loaded()
        assert status == 200, (words, status, self.page())
        return question

    def presses(self, button, agrees=False):
        """agrees: to the question that comes then."""
        return self._click("button", button, agrees)

    def follows(self, link):
        self._click("link", link, False)

    def fills_in(self, **fields):
        """Each by its label, with _ for blanks; a choice by its words, a box with True or False."""
        for label, value in fields.items():
            self.fill(label.replace("_", " "), value)

    def fill(self, label, value):
        done = self.tab.run(f"""(() => {{
            const field = {self._found("field", label)}, value = {json.dumps(value)};
            field.focus();
            if (field.tagName === 'SELECT') {{
                const choice = [...field.options].filter(one => one.text.trim() === value);
                if (choice.length !== 1) throw new Error('no choice ' + value + ' but ' + [...field.options].map(one => one.text));
                field.value = choice[0].value;
            }} else if (field.type === 'checkbox' || field.type === 'radio') {{
                if (field.checked !== value) field.click();
            }} else if (field.type === 'time') {{
                field.value = value;
            }} else {{
                field.select();
                return false;
            }}
            return true;
        }})()""")
        if not done:
            self.tab.type(str(value))

    def chooses_file(self, label, path):
        found = self.tab.ask("Runtime.evaluate", expression=self._found("field", label))
        assert "exceptionDetails" not in found, found
        self.tab.ask("DOM.setFileInputFiles", files=[path], objectId=found["result"]["objectId"])

    def sees(self, *texts):
        """Now, on this page."""
        page = " ".join(self.page().split())
        for text in texts:
            assert text in page, (text, self.path(), page[:3000])

    def sees_not(self, *texts):
        page = " ".join(self.page().split())
        for text in texts:
            assert text not in page, (text, self.path(), page[:3000])

    def waits_to_see(self, text, seconds=60):
        """Without touching anything: the page shows it by itself."""
        try:
            until(seconds, lambda: text in " ".join(self.page().split()), f"{text} is seen", interval=0.2)
        except SystemExit as late:
            raise AssertionError(f"{late} on {self.path()}: {self.page()[:3000]}") from None
