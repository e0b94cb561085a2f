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
FOLDER/log.jsonl has one line a request: when, grant_type, client_id, scope, whether a secret or an assertion came, and how it was answered.
A refresh token that begins with "refresh-0" is good; codes are any text that begins with "code". FOLDER/revoked lists access tokens that no longer work.
"""
import base64
import hashlib
import http.server
import json
import os
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
challenges = {}
devices = {}


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

    def do_POST(self):
        self.how = behaviour()
        form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        fields = dict(urllib.parse.parse_qsl(form))
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
                if sent in used and self.how.get("revoke"):
                    refresh.clear()
                if sent not in refresh and (sent in used or not sent.startswith("refresh-0")):
                    return self.refuse("invalid_grant", "Token has been expired or revoked.")
                if self.how.get("rotate"):
                    refresh.discard(sent)
                    used.add(sent)
                    given = f"refresh-{number}"
                    refresh.add(given)
            elif flow == "authorization_code":
                if not fields.get("code", "").startswith("code") or not fields.get("code_verifier"):
                    return self.refuse("invalid_grant", "the code is wrong")
                given = f"refresh-{number}"
                refresh.add(given)
                challenge = base64.urlsafe_b64encode(hashlib.sha256(fields["code_verifier"].encode()).digest()).decode().rstrip("=")
                challenges[challenge] = fields.get("redirect_uri")
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
