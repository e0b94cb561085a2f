"""How a page looks: bright and dark, on a phone and a desktop; what of it nobody can reach, and what axe-core says."""
import os
import subprocess

looks = {"desktop": ("light", 1280, 900), "desktop-dark": ("dark", 1280, 900), "phone": ("light", 360, 740), "phone-dark": ("dark", 360, 740)}

# What a person would have to scroll sideways for, or couldn't reach at all.
overflow = """(() => {
    const wide = document.scrollingElement.clientWidth, out = [];
    if (document.scrollingElement.scrollWidth > wide) out.push('the page is ' + document.scrollingElement.scrollWidth + ' wide');
    for (const one of document.querySelectorAll('body *')) {
        const box = one.getBoundingClientRect();
        const style = getComputedStyle(one);
        if (box.width && box.right > wide + 1 && style.position !== 'absolute' && !one.closest('[data-scroll], pre'))
            out.push(one.tagName + '.' + one.className + ' ends at ' + Math.round(box.right) + ': ' + one.textContent.trim().slice(0, 40));
        if (one.matches('button, nav a, select, input:not([type=hidden])') && box.width && one.scrollWidth > one.clientWidth + 2 && !one.matches('input, select'))
            out.push(one.tagName + ' is cut off: ' + one.textContent.trim().slice(0, 40));
    }
    return out.slice(0, 5);
})()"""

# The page as it is to a machine that reads it out.
plain = """(() => {
    const out = [];
    if (!document.title) out.push('no title');
    if (document.querySelectorAll('h1').length !== 1) out.push('not one h1');
    if (document.querySelectorAll('main').length !== 1) out.push('not one main');
    if (document.documentElement.lang !== 'en') out.push('no language');
    const ids = [...document.querySelectorAll('[id]')].map(one => one.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) out.push('twice: #' + id);
    if (document.body.innerText.includes('undefined') || document.body.innerText.includes('[object')) out.push('undefined');
    return out;
})()"""


def axe_script():
    """Text of axe-core; None where it can't be had."""
    asked = subprocess.run([os.path.join(os.environ["MAILER_TOP"], "test/web/axe")], capture_output=True, text=True)
    if asked.returncode:
        print(f"# axe-core isn't asked: {asked.stderr.strip()}")
        return None
    return open(asked.stdout.strip(), encoding="utf-8").read()


def faults(tab, address, picture, axe=None, status=200):
    """What is wrong with the page at an address, in all looks; picture: where pictures go, without the look's name."""
    wrong = []
    for look, how in looks.items():
        tab.look(*how)
        tab.complaints.clear()
        answered = tab.go(address)
        path = tab.run("location.pathname")
        if answered != status:
            wrong.append(f"{path}: {answered}")
        tab.run("document.fonts.ready.then(() => 0)")
        found = tab.run(overflow) + tab.run(plain)
        tab.picture(f"{picture}-{look}.png")
        found += [one for one in tab.complaints if status == 200 or "the server responded with a status of" not in one]
        if axe:
            found += tab.faults(axe)
        wrong += [f"{path} on {look}: {one}" for one in found]
    tab.look(*looks["desktop"])
    return wrong
