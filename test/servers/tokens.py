#!/usr/bin/python3
"""An OAuth2 provider on this machine: a token endpoint of every flow, and the introspection that Dovecot asks.

    tokens.py FOLDER        listens on 127.0.0.1, over plain HTTP, and writes FOLDER/port once it does

How it answers stands in FOLDER/behaviour, a JSON object that is read at each request:
    mode      ok (default), 500, 503, 429, garbage, html, no_token, slow (never answers), invalid_grant, invalid_client, quote (an error that
              repeats what was sent)
    life      seconds that an access token lives (3600)
    rotate    each refresh token is good once, and is replaced
    users     whose mailbox the tokens of a client open: {"client": "bea@example.com"} (ada@example.com)
    revoke    with rotate: a client that uses a replaced one is locked out, as strict providers do
    retry_after   the header, as it is
    device_life   seconds that a device code lives (900); consent   what the person did with it: true, "denied"; slow_down   once, before that
    clients   who is registered for GET /authorize: {"client": {"secret": "…", "redirect_uris": ["…"]}}
GET /authorize is a page for a person with a browser, who allows or denies. Its codes are good once, for a minute, with the redirect_uri, the
client, its secret and the code_verifier that they were asked for with; the tokens open the mailbox of its login_hint.
FOLDER/log.jsonl has one line a request: when, grant_type, client_id, scope, whether a secret or an assertion came, and how it was answered;
or led_to, the address that a person's browser was led to.
A refresh token that begins with "refresh-0" is good; codes are any text that begins with "code", besides those of /authorize. FOLDER/revoked lists access tokens that no longer work.
"""
import base64
import hashlib
import html
import http.server
import json
import os
import secrets
import socketserver
import sys
import threading
import time
import urllib.parse

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
lock = threading.Lock()
counter = 0
refresh = {"refresh-0"}
used = set()
tokens = {}
never = threading.Event()
devices = {}
requests = {}  # shown to a person who hasn't decided yet
codes = {}
owners = {}  # of refresh tokens: whose mailbox they open

consent_page = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sign in</title></head>
<body><h1>Example Mail</h1><p><b>{client}</b> wants to use the mailbox of <b>{login}</b> ({scope}).</p>
<form method="post" action="/authorize"><input type="hidden" name="request" value="{request}">
<button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button></form></body></html>"""


def challenge_of(verifier):
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def behaviour():
    try:
        with open(os.path.join(folder, "behaviour"), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def note(**fields):
    with lock, open(os.path.join(folder, "log.jsonl"), "a", encoding="utf-8") as file:
        file.write(json.dumps({"at": time.time(), **fields}) + "\n")


def claims(jwt):
    part = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if "retry_after" in self.how:
            self.send_header("Retry-After", str(self.how["retry_after"]))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.how = behaviour()
        path, _, query = self.path.partition("?")
        if path != "/authorize":
            return self.answer(404, b"Not found", "text/plain")
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        asked = dict(pairs)
        client = self.how.get("clients", {}).get(asked.get("client_id"))
        # An address that isn't registered is led to by nobody (RFC 6749, 4.1.2.1).
        if not client or asked.get("redirect_uri") not in client["redirect_uris"] or len(pairs) != len(asked):
            return self.answer(400, b"This application or its redirect address isn't registered here.", "text/plain")
        if asked.get("response_type") != "code":
            return self.lead_back(asked, error="unsupported_response_type")
        if not asked.get("state") or "code_challenge" in asked and (asked.get("code_challenge_method") != "S256" or len(asked["code_challenge"]) != 43):
            return self.lead_back(asked, error="invalid_request", error_description="state and a code_challenge of S256 are wanted")
        if asked.get("scope") != client.get("scope", "mail"):
            return self.lead_back(asked, error="invalid_scope", error_description="There is no such scope.")
        request = secrets.token_urlsafe(16)
        with lock:
            requests[request] = asked
        shown = {"client": asked["client_id"], "login": asked.get("login_hint", "ada@example.com"), "scope": asked["scope"], "request": request}
        self.answer(200, consent_page.format(**{name: html.escape(value) for name, value in shown.items()}).encode(), "text/html; charset=utf-8")

    def decide(self, fields):
        with lock:
            asked = requests.pop(fields.get("request"), None)
        if asked is None:
            return self.answer(400, b"This page is too old.", "text/plain")
        if fields.get("decision") != "allow":
            return self.lead_back(asked, error="access_denied", error_description="The user denied the request.")
        code = "once-" + secrets.token_urlsafe(24)
        with lock:
            codes[code] = {**asked, "until": time.time() + 60}
        self.lead_back(asked, code=code)

    def lead_back(self, asked, **answer):
        given = urllib.parse.urlencode({**answer, **({"state": asked["state"]} if "state" in asked else {})})
        address = asked["redirect_uri"] + ("&" if "?" in asked["redirect_uri"] else "?") + given
        note(client_id=asked["client_id"], led_to=address)
        self.send_response(303)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        self.how = behaviour()
        form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        fields = dict(urllib.parse.parse_qsl(form))
        if self.path == "/authorize":
            return self.decide(fields)
        if self.path == "/introspect":
            return self.introspect(fields)
        mode = self.how.get("mode", "ok")
        note(grant_type=fields.get("grant_type"), client_id=fields.get("client_id"), scope=fields.get("scope"),
             refresh_token=fields.get("refresh_token"), has_secret="client_secret" in fields, has_assertion="client_assertion" in fields,
             mode=mode)
        if mode == "slow":
            never.wait()
        if mode in ("500", "503", "429"):
            return self.answer(int(mode), b"<html>busy</html>", "text/html")
        if mode == "garbage":
            return self.answer(200, b'{"access_token": "x')
        if mode == "html":
            return self.answer(200, b"<html>log in to the hotel's network</html>", "text/html")
        if mode == "no_token":
            return self.answer(200, {"token_type": "Bearer"})
        if mode in ("invalid_grant", "invalid_client"):
            return self.answer(400, {"error": mode, "error_description": "AADSTS7000222: The provided client secret keys are expired."
                                     if mode == "invalid_client" else "Token has been expired or revoked."})
        if mode == "quote":
            return self.answer(400, {"error": "invalid_request", "error_description": "you sent " + form + " and " + json.dumps(fields)})
        if self.path == "/device":
            return self.device(fields)
        self.grant(fields)

    def device(self, fields):
        if fields.get("client_id") != "client" or not fields.get("scope"):
            return self.refuse("invalid_request", "client_id and scope are wanted")
        with lock:
            code = f"device-{len(devices) + 1}"
            devices[code] = {"until": time.time() + self.how.get("device_life", 900), "slowed": False}
        self.answer(200, {"device_code": code, "user_code": f"WDJB-{len(devices):04}", "interval": 1, "expires_in": self.how.get("device_life", 900),
                          "verification_uri": f"http://127.0.0.1:{self.server.server_address[1]}/enter"})

    def refuse(self, error, words):
        self.answer(400, {"error": error, "error_description": words})

    def grant(self, fields):
        global counter
        flow = fields.get("grant_type")
        username = None
        with lock:
            counter += 1
            number = counter
            given = None
            if flow == "refresh_token":
                sent = fields.get("refresh_token")
                username = owners.get(sent)
                if sent in used and self.how.get("revoke"):
                    refresh.clear()
                if sent not in refresh and (sent in used or not sent.startswith("refresh-0")):
                    return self.refuse("invalid_grant", "Token has been expired or revoked.")
                if self.how.get("rotate"):
                    refresh.discard(sent)
                    used.add(sent)
                    given = f"refresh-{number}"
                    refresh.add(given)
                    owners[given] = username
            elif flow == "authorization_code" and fields.get("code", "").startswith("once-"):
                asked = codes.pop(fields["code"], None)
                client = self.how.get("clients", {}).get(fields.get("client_id"), {})
                if client.get("secret") != fields.get("client_secret"):
                    return self.refuse("invalid_client", "The client secret is wrong.")
                if asked is None or asked["until"] < time.time() or any(asked[name] != fields.get(name) for name in ("client_id", "redirect_uri")):
                    return self.refuse("invalid_grant", "The code is wrong, too old, or was used.")
                if "code_challenge" in asked and challenge_of(fields.get("code_verifier", "")) != asked["code_challenge"]:
                    return self.refuse("invalid_grant", "The code_verifier is wrong.")
                given = f"refresh-{number}"
                refresh.add(given)
                owners[given] = username = asked.get("login_hint")
            elif flow == "authorization_code":
                if not fields.get("code", "").startswith("code") or not fields.get("code_verifier"):
                    return self.refuse("invalid_grant", "the code is wrong")
                given = f"refresh-{number}"
                refresh.add(given)
            elif flow == "urn:ietf:params:oauth:grant-type:device_code":
                one = devices.get(fields.get("device_code"))
                if one is None or one["until"] < time.time():
                    return self.refuse("expired_token", "the code has expired")
                if self.how.get("consent") == "denied":
                    return self.refuse("access_denied", "the person said no")
                if not self.how.get("consent"):
                    if self.how.get("slow_down") and not one["slowed"]:
                        one["slowed"] = True
                        return self.refuse("slow_down", "not so fast")
                    return self.refuse("authorization_pending", "nobody has entered the code yet")
                given = f"refresh-{number}"
                refresh.add(given)
            elif flow == "client_credentials":
                if fields.get("client_secret") != "app-secret" and "client_assertion" not in fields:
                    return self.refuse("invalid_client", "AADSTS7000215: Invalid client secret provided.")
            elif flow and flow.endswith("jwt-bearer"):
                said = claims(fields["assertion"])
                username = said.get("sub")
                if said["exp"] - said["iat"] != 3600 or said["aud"] != f"http://{self.headers['Host']}{self.path}":
                    return self.refuse("invalid_grant", "the assertion is wrong")
            else:
                return self.refuse("unsupported_grant_type", "there is no such grant")
            username = username or self.how.get("users", {}).get(fields.get("client_id"))
            life = self.how.get("life", 3600)
            token = f"access-{number}"
            tokens[token] = (time.time() + life, username)
        answer = {"token_type": "Bearer", "access_token": token, "expires_in": life}
        if given:
            answer["refresh_token"] = given
        if "signed_in_as" in self.how:  # the account that opened the provider's page
            answer["id_token"] = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (
                b'{"alg":"none"}', json.dumps({"sub": "1", "email": self.how["signed_in_as"]}).encode(), b"unsigned"))
        self.answer(200, answer)

    def introspect(self, fields):
        token = fields.get("token", "")
        until, username = tokens.get(token, (0, None))
        try:
            with open(os.path.join(folder, "revoked"), encoding="utf-8") as file:
                revoked = file.read().split()
        except FileNotFoundError:
            revoked = []
        if until < time.time() or token in revoked:
            return self.answer(200, {"active": False})
        self.answer(200, {"active": True, "username": username or "ada@example.com", "sub": "ada", "scope": "mail"})


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
with open(os.path.join(folder, "port.new"), "w", encoding="ascii") as file:
    file.write(str(server.server_address[1]))
os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
server.serve_forever()
