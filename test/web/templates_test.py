"""The pages of templates: which there are, and what they say to a real lead."""
import json
import re
import urllib.parse

from client import Browser, Web, conninfo, run, sql

web = Web("--database", conninfo)
hostile = '"/><script>alert(3)</script>\u202e/../?&' + "z" * 120


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def logged_in(role="viewer", password="look"):
    browser = Browser(web)
    assert browser.log_in(role, password).status == 303
    return browser


def view(name, what="view", **fields):
    return f"/templates/{what}?" + urllib.parse.urlencode({"name": name, **fields})


def listed():
    "templates are listed by name, page by page, and lead to what they say"
    sql("SELECT mailer.template_set('list ' || lpad(n::text, 4, '0'), 'Subject ' || n, 'Body') FROM generate_series(1, 2000) n")
    for role, password in (("viewer", "look"), ("operator <b>", "do")):
        browser = logged_in(role, password)
        page = browser.get("/templates?from=list")
        assert page.status == 200 and page.text.count('data-head="Template"') == 50 and "list 0050" in page.text and "list 0051" not in page.text
        page = browser.get("/templates" + page.text.split('href="?')[1].split('"')[0].replace("&amp;", "&").join(["?", ""]))
        assert "list 0051" in page.text and "list 0050" not in page.text
        assert "There is no template here" in browser.get("/templates?from=zzzz").text
        assert 'name="action"' not in page.text


def previewed():
    "missing variables are marked in subject, text and HTML; given ones are filled in"
    sql("""SELECT mailer.template_set('hello', 'Hi {{name}}', 'Dear {{name}} of {{company.city}}, {{#items}}{{title}} {{/items}}.', '<p>Hi {{name}}</p>')""")
    browser = logged_in()
    page = browser.get(view("hello"))
    assert page.status == 200 and "Missing, and marked below" in page.text
    for variable in ("name", "company.city"):
        assert f'<mark class="missing">{variable}</mark>' in page.text, (variable, page.text)
    frame = browser.get(view("hello", "html"))
    assert frame.status == 200 and "\u27e6name\u27e7" in frame.text and frame.headers["Content-Security-Policy"].startswith("sandbox;")
    page = browser.get(view("hello", variables=json.dumps({"name": "<b>Ann</b>", "company": {"city": "Gda\u0144sk"}, "items": []})))
    assert "No variable is missing." in page.text and "Dear &lt;b&gt;Ann&lt;/b&gt; of Gda\u0144sk" in page.text and "<b>Ann" not in page.text
    page = browser.get(view("hello", variables='{"name": "Ann"}'))
    assert '<mark class="missing">company.city</mark>' in page.text and "Dear Ann of" in page.text
    for wrong in ("{", "[1]", '"x"'):
        page = browser.get(view("hello", variables=wrong))
        assert page.status == 200 and 'class="problem"' in page.text, wrong
    assert browser.get(view("no such")).status == 404 and browser.get("/templates/view").status == 404 and browser.get(view("list 0001", "html")).status == 404


def to_a_lead():
    "a real lead of a campaign is greeted by name; somebody else's address is said to be none"
    campaign = sql("SELECT mailer.campaign_create('autumn <i>', 'hello')")
    sql(f"""SELECT mailer.campaign_add({campaign}, 'lead' || n || '@example.com', jsonb_build_object('name', 'Lead ' || n)) FROM generate_series(1, 300) n""")
    browser = logged_in()
    page = browser.get(view("hello", campaign=campaign, address="LEAD77@example.com"))
    assert "Dear Lead 77 of" in page.text and '<mark class="missing">company.city</mark>' in page.text and "To <bdi>lead77@example.com" in page.text
    assert "autumn &lt;i&gt;" in page.text and "autumn <i>" not in page.text and len(re.findall(r'<option value="lead\d+@', page.text)) == 20
    assert "Lead 77" in browser.get(view("hello", "html", campaign=campaign, address="lead77@example.com")).text
    assert "Dear Lead 100 of" in browser.get(view("hello", campaign=campaign)).text
    page = browser.get(view("hello", campaign=campaign, address="nobody@example.com"))
    assert "There is no such lead" in page.text and "Dear Lead" not in page.text
    assert browser.get(view("hello", campaign=campaign, address="no address")).status == 400
    assert "problem" in browser.get(view("hello", campaign="x")).text
    assert "There is no such lead" in browser.get(view("hello", campaign="999999")).text


def hostile_names():
    "whatever stands in a name or variable, it is text on the page"
    sql(f"""SELECT mailer.template_set({literal(hostile)}, 'S {{{{{{x}}}}}}', '{{{{{{x}}}}}}', '<script>alert(9)</script>{{{{x}}}}')""")
    browser = logged_in("operator <b>", "do")
    assert "&lt;script&gt;alert(3)" in browser.get("/templates").text
    for address in (view(hostile), view(hostile, variables=json.dumps({"x": hostile}))):
        page = browser.get(address)
        assert page.status == 200 and "<script>alert" not in page.text and "&lt;script&gt;alert(3)" in page.text, page.text
        frame = browser.get(re.search(r'<iframe[^>]* src="([^"]*)"', page.text).group(1).replace("&amp;", "&"))
        assert frame.status == 200 and "script-src" not in frame.headers["Content-Security-Policy"] and frame.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


try:
    run([listed, previewed, to_a_lead, hostile_names])
finally:
    web.stop()
