"""Leads from a CSV file: looked at first, then stored."""
import html
import re
import time

from client import Browser, Web, conninfo, run, sql

web = Web("--database", conninfo)
hostile = "<script>alert(1)</script>\u202e"


def logged_in(role="viewer", password="look"):
    browser = Browser(web)
    assert browser.log_in(role, password).status == 303
    return browser


def operator():
    return logged_in("operator <b>", "do")


def clean(page):
    assert page.status == 200, (page.status, page.text)
    assert "<script>alert" not in page.text and "{{" not in page.text, page.text
    return page.text


def make(name):
    return sql(f"SELECT mailer.campaign_create('{hostile}{name}', '{hostile}import', ARRAY['{hostile}import box'], max_silence => NULL)")


sql(f"SELECT mailer.mailbox_create('{hostile}import box', 'localhost', from_address => 'sales@example.com', tls => 'none')")
sql(f"SELECT mailer.template_set('{hostile}import', 'Hello {{{{name}}}}', 'Dear {{{{name}}}} of {{{{company}}}}')")


def upload(browser, campaign, content, name="leads.csv"):
    """As a browser sends the first form with a file."""
    path = f"/campaigns/{campaign}/import"
    body = b""
    for field, value in (("csrf", browser.get(path).field("csrf")), ("action", "check"), ("csv", "")):
        body += f'--bound\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
    body += f'--bound\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/csv\r\n\r\n'.encode() + content + b"\r\n--bound--\r\n"
    return browser.ask("POST", path, body=body, Content_Type="multipart/form-data; boundary=bound")


def fields_of(page):
    """What the second form would send back."""
    fields = {name: html.unescape(value) for name, value in re.findall(r'<input (?:type="hidden" )?name="(\w+)" value="([^"]*)"', page)}
    for name, options in re.findall(r'<select name="(\w+)"[^>]*>(.*?)</select>', page):
        fields[name] = re.search(r'<option value="(\w+)" selected', options).group(1)
    fields["csv"] = html.unescape(re.search(r"<textarea name=\"csv\" hidden[^>]*>\n(.*?)</textarea>", page, re.S).group(1))
    if re.search(r'name="has_names" value="1" checked', page):
        fields["has_names"] = "1"
    return fields


def leads(campaign):
    return sql(f"SELECT address_key, variables->>'name', variables->>'company', external_id FROM mailer.lead_status WHERE campaign_id = {campaign} ORDER BY address_key").splitlines()


def looked_at_first():
    "bad addresses, repeated ones and missing variables are listed before anything is stored"
    campaign, browser = make("looked"), operator()
    sql(f"SELECT mailer.campaign_add({campaign}, 'here@example.org', '{{\"name\": \"Here\"}}')")
    content = ("\ufeffE-Mail;Name;Company;external_id\r\nada@example.org;Ada;\"Acme; \"\"and\"\" Sons\";k1\r\nnobody;Bob;x;k2\r\n;Cy;x;k3\r\n"
               f"ADA@example.org;Ada again;x;k4\r\ndan@example.org;{hostile};;k5\r\n\r\nhere@example.org;There;New;k6\r\n").encode()
    page = clean(upload(browser, campaign, content))
    assert "<strong>2</strong> leads are new. 1 are in the campaign already" in page and "3 lines will be left out" in page, page
    assert "the same address as in line 2" in page and "there is no address" in page and "<bdi>nobody</bdi>" in page
    assert "<bdi>company</bdi>: missing in 1 lines (6)" in page, page
    assert leads(campaign) == ["here@example.org|Here||"], "it was only looked at"
    fields = fields_of(page)
    assert [fields[f"map_{i}"] for i in range(4)] == ["recipient", "variable", "variable", "external_id"]
    path = f"/campaigns/{campaign}/import"
    assert browser.post(path, {**fields, "action": "import"}).status == 303
    assert "2 leads are new, 1 were in already, 3 lines were left out." in clean(browser.get(path))
    assert leads(campaign) == ["ada@example.org|Ada|Acme; \"and\" Sons|k1", f"dan@example.org|{hostile}||k5", "here@example.org|Here||"], leads(campaign)


def mapped():
    "columns are mapped by hand where their names say nothing, and a file without names is understood"
    campaign, browser = make("mapped"), operator()
    page = clean(upload(browser, campaign, b"what\twho\nAcme\tEve <eve@example.org>\nOther\tfay@example.org\n"))
    fields = fields_of(page)
    assert (fields["map_0"], fields["map_1"]) == ("variable", "recipient"), fields
    assert "<bdi>company</bdi>: missing in 2 lines" in page and "<bdi>name</bdi>" in page
    path = f"/campaigns/{campaign}/import"
    page = clean(browser.post(path, {**fields, "variable_0": "company", "action": "check"}))
    assert "<bdi>company</bdi>: missing" not in page and "<bdi>name</bdi>: missing" in page
    assert browser.post(path, {**fields_of(page), "action": "import"}).status == 303
    assert leads(campaign) == ["eve@example.org||Acme|", "fay@example.org||Other|"], leads(campaign)
    page = clean(browser.post(path, {"csrf": fields["csrf"], "action": "check", "mapped": "1", "csv": "gus@example.org,Gus\nhal@example.org,Hal"}))
    assert "<strong>2</strong> leads are new" in page and "Column 2" in page


def excel():
    "a file in Windows-1252 is read as Excel meant it"
    campaign, browser = make("excel"), operator()
    page = clean(upload(browser, campaign, "email;name\nzoe@example.org;Zoë Müller – €\n".encode("cp1252")))
    assert browser.post(f"/campaigns/{campaign}/import", {**fields_of(page), "action": "import"}).status == 303
    assert leads(campaign) == ["zoe@example.org|Zoë Müller – €||"], leads(campaign)


def hostile_files():
    "whatever the file is, the answer is a page and nothing is stored"
    campaign, browser = make("hostile"), operator()
    path = f"/campaigns/{campaign}/import"
    csrf = browser.get(path).field("csrf")
    assert upload(browser, campaign, b"").status == 400
    assert upload(browser, campaign, b"\xff\xfe\x00\x01").status == 400
    assert upload(browser, campaign, (",".join(["c"] * 100) + "\n").encode()).status == 400
    assert upload(browser, campaign, b"email\n" + b"x@example.org\n" * 20010).status == 413
    try:
        assert upload(browser, campaign, b"x" * (9 << 20)).status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all of it was sent
    for content in ('email\n"never ends', '"a"b"c\n"",,\n', f"{hostile * 20},email\n{hostile},x@example.org\n", "email\n</textarea><script>alert(1)</script>@example.org\n",
                    "email,timezone\nx@example.org,Nowhere/City\n"):
        page = clean(browser.post(path, {"csrf": csrf, "action": "check", "csv": content}))
        assert "</textarea><script" not in page
    assert browser.post(path, {"csrf": csrf, "action": "import", "csv": "email,timezone\nx@example.org,Nowhere/City\n"}).status == 400, "a bad zone stores nothing"
    assert browser.post(path, {"csrf": csrf, "action": "import", "csv": "email\nnobody\n"}).status == 400
    assert leads(campaign) == []


def rights():
    "a viewer, and a post without csrf, get 403, an unknown campaign is a 404"
    campaign = make("rights")
    path = f"/campaigns/{campaign}/import"
    viewer = logged_in()
    page = viewer.get(path)
    assert "Your role may not add leads" in clean(page)
    for name in ("check", "import"):
        assert viewer.post(path, {"csrf": page.field("csrf"), "action": name, "csv": "email\nx@example.org"}).status == 403
        assert operator().post(path, {"action": name, "csv": "email\nx@example.org"}).status == 403
    browser = operator()
    csrf = browser.get(path).field("csrf")
    assert browser.get("/campaigns/999999/import").status == 404
    for name in ("check", "import"):
        assert browser.post("/campaigns/999999/import", {"csrf": csrf, "action": name, "csv": "email\nx@example.org"}).status == 404


def busy():
    "20,000 leads are looked at and imported in one go"
    campaign, browser = make("busy"), operator()
    content = "email,name,company\n" + "".join(f"lead{i}@example.org,{hostile} {i},Acme\n" for i in range(20000))
    began = time.monotonic()
    page = clean(upload(browser, campaign, content.encode()))
    looked = time.monotonic()
    assert "<strong>20000</strong> leads are new" in page
    assert browser.post(f"/campaigns/{campaign}/import", {**fields_of(page), "action": "import"}).status == 303
    print(f"# looked at in {(looked - began) * 1000:.0f} ms, imported in {(time.monotonic() - looked) * 1000:.0f} ms", flush=True)
    assert sql(f"SELECT total FROM mailer.campaign_status({campaign})") == "20000"


run([looked_at_first, mapped, excel, hostile_files, rights, busy])
