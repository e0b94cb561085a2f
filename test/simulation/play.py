#!/usr/bin/python3
"""Plays scenarios: weeks of campaigns with random settings, run by the real sender in virtual time, and judged.

    play.py [--long] [--seed N] [--count N] [--keep] …   in a database made by stage.sql (PGHOST, PGDATABASE … set)

A scenario is drawn from its seed alone. Half of them are left undisturbed: then every forecast has to come true to the
second; and where mail takes no time at all, to the microsecond, mailbox and all. The others have failures, killed senders, outages, pauses, altered settings and leads added again.
What mail servers took (simulation.delivered) is checked against the rules, computed here again with Python's own time
zones; mailer.verify() and explain() are called on the way. Prints one line for each problem; exits 1 when there is any.
"""
import argparse
import datetime as dt
import json
import random
import subprocess
import sys
import time

from judge import DAYS, UTC, ZONES, judge, zone_of

# Around these days clocks change somewhere of the above.
CHANGES = ["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01",
           "2027-03-14", "2027-03-28", "2027-04-04", "2027-10-03", "2027-10-31", "2027-11-07"]


def quoted(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        return "ARRAY[" + ", ".join(quoted(v) for v in value) + "]::text[]"
    return "'" + str(value).replace("'", "''") + "'"


def call(function, *plain, **named):
    arguments = [quoted(v) for v in plain] + [f"{k} => {quoted(v)}" for k, v in named.items() if v is not None]
    return f"SELECT mailer.{function}({', '.join(arguments)});"


class Scenario:
    def __init__(self, seed, is_long):
        self.seed = seed
        self.random = random.Random(seed)
        self.more = random.Random(seed * 7919 + 1)  # what sequences draw
        self.is_long = is_long
        self.is_disturbed = seed % 2 == 1
        self.is_exact = seed % 4 == 0  # mail takes no time: the forecast must be right to the microsecond
        self.is_quiet = False  # what was disturbed before is left alone now
        self.sql = []
        self.altered_campaigns, self.altered_mailboxes = set(), set()

    def one_in(self, n):
        return self.random.randrange(n) == 0

    def say(self, *statements):
        self.sql.extend(statements)

    # ── What is drawn ────────────────────────────────────────────────────────────────────────────────────────

    def draw_mailbox(self, number):
        r = self.random
        box = {"name": f"box{number}", "timezone": r.choice(ZONES), "gap": r.choice([0, 0, 0, 20, 60, 300]),
               "daily_limit": r.choice([None, None, r.randint(1, 6), r.randint(5, 60)]),
               "max_connections": r.choice([1, 1, 1, 1, 2]), "ramp_start": None, "ramp_step": None}
        if self.one_in(4):
            box["ramp_start"], box["ramp_step"] = r.randint(1, 5), r.randint(0, 5)
        return box

    def draw_window(self):
        r = self.random
        kind = r.randrange(7)
        if kind == 0:
            return "00:00", "00:00"
        if kind == 1:  # in the hour that is missing or comes twice
            minute = r.choice([0, 10, 30])
            return f"0{r.choice([1, 2])}:{minute:02d}", f"02:{minute + 25:02d}"
        if kind == 2:  # past midnight
            return f"{r.randint(20, 23)}:{r.randrange(60):02d}", f"0{r.randint(0, 5)}:{r.randrange(60):02d}"
        start = r.randint(0, 20)
        end = r.randint(start + 1, 23)
        return f"{start:02d}:{r.randrange(60):02d}", f"{end:02d}:{r.randrange(60):02d}"

    def draw_campaign(self, number):
        r = self.random
        start, end = self.draw_window()
        days = [d for d in DAYS if r.random() < 0.7] or [r.choice(DAYS)]
        boxes = r.sample([b["name"] for b in self.mailboxes], r.randint(1, len(self.mailboxes)))
        return {"name": f"campaign{number}", "start": start, "end": end, "days": days, "boxes": None if self.one_in(4) else boxes,
                "gap": r.choice([5, 30, 90, 90, 300, 1200, 5400]), "jitter": r.choice([0, 0.2, 0.2, 0.5, 0.9]),
                "cap": r.choice([None, None, r.randint(1, 5), r.randint(4, 30)]), "timezone": r.choice(ZONES),
                "starts_in": r.choice([None, None, None, r.randint(1, 100)]),
                "leads": r.randint(3, 120 if self.is_long else 60), **self.draw_sequence()}

    def draw_sequence(self):
        r = self.more
        sequence = {"steps": [], "new_cap": None, "skip": [], "has_zones": False, "cooldown": None, "has_shared": False}
        if r.random() < 0.5:
            return sequence
        for _ in range(r.randint(1, 2)):
            is_days = r.random() < 0.6
            sequence["steps"].append({"days": r.randint(1, 3) if is_days else 0, "hours": 0 if is_days else r.choice([1, 5, 20]),
                                      "working": is_days and r.random() < 0.5})
        sequence["new_cap"] = r.choice([None, None, r.randint(1, 8)])
        sequence["has_zones"] = r.random() < 0.3
        sequence["prefer"] = r.choice(["follow_ups", "new"])
        sequence["skip_in"] = r.choice([[], [], [r.randint(1, 9)], [r.randint(1, 9), r.randint(1, 9)]])
        return sequence

    def draw(self):
        r = self.random
        day = dt.datetime.fromisoformat(r.choice(CHANGES)) if not self.one_in(4) else dt.datetime(2026, 1, 1) + dt.timedelta(days=r.randrange(700))
        self.begin = (day - dt.timedelta(days=r.randrange(4), seconds=r.randrange(86400))).replace(tzinfo=UTC)
        self.end = self.begin + dt.timedelta(days=r.randint(3, 365 if self.is_long and self.one_in(3) else 21), seconds=r.randrange(86400))
        self.mailboxes = [self.draw_mailbox(i) for i in range(1, r.randint(1, 4) + 1)]
        self.has_shared = self.more.random() < 0.5
        self.has_shields = self.is_disturbed and self.more.random() < 0.3  # so much is refused that campaigns stop by themselves
        self.campaigns = [self.draw_campaign(i) for i in range(1, r.randint(1, 6) + 1)]
        for c in self.campaigns:
            c["skip"] = [(self.begin + dt.timedelta(days=n)).date() for n in c.get("skip_in", [])]
            # Leads that several campaigns share, and wait for each other's mail.
            c["has_shared"] = self.has_shared
            c["cooldown"] = self.more.choice([None, 1, 30, 200]) if self.has_shared else None
            # The window of a lead is read on its own clock, the day of the caps is the campaign's: judged apart.
            c["has_zones"] &= c["cap"] is None and c["new_cap"] is None

    # ── What the database gets ───────────────────────────────────────────────────────────────────────────────

    def clock(self, at):
        self.now = at
        return f"SET mailer.virtual_now = '{at.isoformat()}';"

    def run_until(self, at, **options):
        odds = dict(least_transit_us=1000, most_transit_us=40000, latency_us=5000)
        if self.is_exact:
            odds = {}
        if self.is_quiet:
            odds = dict(least_transit_us=55_000, most_transit_us=55_000)
        elif self.is_disturbed:
            odds = dict(temporary=15, trouble=25, lost_reply=40, restart_one_in=60, lost_journal_one_in=4,
                        least_transit_us=50_000, most_transit_us=self.most_transit, latency_us=50_000)
            odds["refused"] = 6 if self.has_shields else 40
        self.now = at
        return f"CALL simulation.run('{at.isoformat()}', {self.seed}, '{json.dumps({**odds, **options})}');"

    def leads(self, campaign, first=1, count=None):
        return [f"Shared{n}@Example.com" if campaign["has_shared"] and n % 3 == 0 else f"Lead{n}.{campaign['name']}@Example.com" for n in range(first, first + (count or campaign["leads"]))]

    def add(self, number, leads):
        zones = [zone_of(self.campaigns[number - 1], lead) for lead in leads]
        return call("campaign_add_many", number, leads, timezones=zones if any(zones) else None)

    def set_up(self):
        self.say("SET client_min_messages = error;", "SELECT simulation.reset();", self.clock(self.begin))
        for b in self.mailboxes:
            self.say(call("mailbox_create", b["name"], "smtp.example.com", from_address=f"{b['name']}@example.com", timezone=b["timezone"],
                          gap=f"{b['gap']} s", daily_limit=b["daily_limit"], max_connections=b["max_connections"], is_default=True,
                          ramp_start=b["ramp_start"], ramp_step=b["ramp_step"]))
        self.say(call("template_set", "hello", "Hello {{name}}", "Dear {{name}}"), call("template_set", "again", "", "Once more, {{name}}"))
        for i, c in enumerate(self.campaigns, 1):
            starts_at = None if c["starts_in"] is None else (self.begin + dt.timedelta(hours=c["starts_in"])).isoformat()
            self.say(call("campaign_create", c["name"], "hello", mailboxes=c["boxes"], window_start=c["start"], window_end=c["end"],
                          allowed_days=c["days"], gap=f"{c['gap']} s", jitter=c["jitter"], max_per_day=c["cap"],
                          timezone=c["timezone"], starts_at=starts_at, cooldown=c["cooldown"] and f"{c['cooldown']} hours", max_new_per_day=c["new_cap"], prefer=c.get("prefer")),
                     *self.steps(i, c), self.add(i, self.leads(c) + ["not an address", self.leads(c)[0].upper()]), call("campaign_start", i))
        if self.one_in(2):
            self.enqueue_others()
        self.say("SELECT simulation.foretell();" if not self.is_disturbed else "")

    def steps(self, number, campaign):
        if not campaign["steps"]:
            return
        skipped = json.dumps([str(day) for day in campaign["skip"]])
        yield f"""SELECT mailer.campaign_alter({number}, '{{"max_silence": null, "skip_dates": {skipped}}}');"""
        for place, step in enumerate(campaign["steps"], 2):
            delay = f"{step['days']} days" if step["days"] else f"{step['hours']} hours"
            yield call("campaign_step_set", number, place, "again", delay, working_days=step["working"])

    def enqueue_others(self):
        box = self.random.choice(self.mailboxes)["name"]
        self.say(call("enqueue", "warm@example.com", "warm", "up", mailbox=box, kind="warmup"),
                 call("enqueue_batch", [f"agent{n}@example.com" for n in range(8)], "ticket", "text", gap="5 s", mailbox=box))

    def disturb(self):
        """One thing that people or machines do, at the time that it is."""
        r = self.random
        number = r.randint(1, len(self.campaigns))
        campaign, box = self.campaigns[number - 1], r.choice(self.mailboxes)
        what = r.randrange(15)
        if what == 0:
            self.say(f"SELECT mailer.campaign_pause({number}, 'a break') FROM mailer.campaign WHERE campaign_id = {number} AND state = 'r';")
        elif what == 1:
            self.say("SELECT mailer.campaign_resume(campaign_id) FROM mailer.campaign WHERE state = 'p';")
        elif what == 2:
            self.say(call("mailbox_pause", box["name"], "resting"))
        elif what == 3:
            self.say(*[call("mailbox_resume", b["name"]) for b in self.mailboxes])
        elif what == 4:
            hours = r.randint(1, 60)
            self.say(call("pause", "a moment"), self.run_until(min(self.end, self.now + dt.timedelta(hours=hours))), "SELECT mailer.resume();")
        elif what == 5:  # nobody is there
            at = min(self.end, self.now + dt.timedelta(hours=r.randint(1, 100)))
            self.say(self.clock(at), self.run_until(at, restart=True))
        elif what in (6, 7):
            start, end = self.draw_window()
            settings = r.choice([{"gap": "77 s"}, {"window_start": start, "window_end": end}, {"max_per_day": r.randint(1, 9)},
                                 {"jitter": 0.1}, {"timezone": r.choice(ZONES)}, {"mailboxes": [r.choice(self.mailboxes)["name"]]}])
            self.altered_campaigns.add(number)
            self.say(f"SELECT mailer.campaign_alter({number}, '{json.dumps(settings)}') FROM mailer.campaign WHERE campaign_id = {number} AND state <> 'x';")
        elif what == 8:
            self.altered_mailboxes.add(box["name"])
            settings = r.choice([{"daily_limit": r.randint(1, 20)}, {"gap": "33 s"}])
            self.say(call("mailbox_alter", box["name"], json.dumps(settings)))
        elif what == 9:  # the same leads again, and some that are new
            added = self.add(number, self.leads(campaign) + self.leads(campaign, 1000, 3)).rstrip(";")
            self.say(f"{added} FROM mailer.campaign WHERE campaign_id = {number} AND state <> 'x';")
        elif what == 10:
            self.say(f"SELECT mailer.campaign_retry_failed({number}) FROM mailer.campaign WHERE campaign_id = {number} AND state <> 'x';",
                     call("suppress", self.leads(campaign)[-1]))
        elif what == 11:
            self.enqueue_others()
            self.say("SELECT mailer.cancel(message_id) FROM mailer.queue WHERE state = 'pending' ORDER BY message_id DESC LIMIT 2;")
        elif what == 13:
            self.say("SELECT mailer.resolve(message_id, 'sent') FROM mailer.message_status WHERE state = 'unconfirmed' ORDER BY message_id LIMIT 3;")
        elif what == 14:
            self.say("SELECT mailer.retry(message_id) FROM mailer.message_status WHERE state = 'failed' AND reason <> 'invalid_address' ORDER BY message_id LIMIT 3;")
        elif what == 12 and self.one_in(3):
            self.say(f"SELECT mailer.campaign_cancel({number}, 'enough') FROM mailer.campaign WHERE campaign_id = {number} AND state NOT IN ('x', 'c');")

    def disturb_sequences(self):
        r = self.more
        number, seed = r.randint(1, len(self.campaigns)), r.randrange(10**9)
        what = r.randrange(8)
        if what < 4:
            how = ["replied", "replied", "bounced", "complained"][what]
            self.say(f"SELECT simulation.stop_some({number}, {r.randint(1, 6)}, '{how}', {seed});")
        elif what == 4:
            self.say(f"SELECT simulation.hold_some({number}, {r.randint(1, 4)}, {seed}) FROM mailer.campaign WHERE campaign_id = {number} AND state <> 'x';")
        elif what == 5:
            self.say("SELECT simulation.release_all();")
        elif what == 6:
            self.say(self.open_shields())

    def open_shields(self):
        return "SELECT mailer.campaign_resume(id) FROM mailer.shield JOIN mailer.campaign c ON c.campaign_id = id WHERE scope = 'c' AND shut_at IS NOT NULL AND c.state = 'r';"

    def script(self):
        self.draw()
        self.most_transit = self.random.choice([60_000, 800_000, 20_000_000])
        self.set_up()
        self.say(self.run_until(self.begin + dt.timedelta(minutes=self.random.randint(0, 60)), new=True), "SELECT simulation.look();")
        for _ in range(self.random.randint(2, 12) if self.is_disturbed else 2):
            left = (self.end - self.now).total_seconds()
            if left <= 0:
                break
            hours = min(left / 3600, self.random.choice([0.3, 3, 30, 100]) * self.random.random())
            self.say(self.run_until(self.now + dt.timedelta(hours=hours)))
            if self.is_disturbed:
                for _ in range(self.random.randint(1, 3)):
                    self.disturb()
                self.disturb_sequences()
            else:
                self.say("SELECT simulation.foretell();")
            self.say(self.run_until(self.now), "SELECT simulation.look();")
        if self.is_disturbed:
            self.say(*[call("mailbox_resume", b["name"]) for b in self.mailboxes], "SELECT mailer.resume();", self.open_shields(),
                     "SELECT simulation.release_all();", "SELECT mailer.campaign_resume(campaign_id) FROM mailer.campaign WHERE state = 'p';")
            # From here on nothing disturbs: whatever state things are in, the plan must come true. (When mails took longer
            # before than they do now, it can't know that.)
            if self.most_transit == 60_000:
                self.is_quiet = True
                self.end = max(self.end, self.now + dt.timedelta(days=4))
                self.say(self.run_until(self.now + dt.timedelta(minutes=10)), "SELECT simulation.foretell();")
        self.say(self.run_until(max(self.now, self.end)), "SELECT simulation.look();", REPORT)
        return "\n".join(self.sql)


REPORT = r"""
\echo report
SELECT json_build_object(
  'problems', (SELECT coalesce(json_agg(what), '[]') FROM simulation.problem),
  'mailboxes', (SELECT json_object_agg(mailbox_id, name) FROM mailer.mailbox),
  'delivered', (SELECT coalesce(json_agg(json_build_array(m.campaign_id, d.message_id, b.name, d.recipients[1], extract(epoch FROM d.claimed_at),
                extract(epoch FROM d.at), simulation.step_of(m.step_id)) ORDER BY d.claimed_at), '[]') FROM simulation.delivered d JOIN mailer.message m USING (message_id)
                JOIN mailer.mailbox b USING (mailbox_id)),
  'tries', (SELECT coalesce(json_agg(json_build_array(m.campaign_id, a.message_id, b.name, extract(epoch FROM a.started_at),
                extract(epoch FROM a.finished_at), a.outcome, a.stage, m.addresses[1], simulation.step_of(m.step_id)) ORDER BY a.started_at), '[]') FROM mailer.attempt a
                JOIN mailer.message m USING (message_id) LEFT JOIN mailer.mailbox b USING (mailbox_id)),
  'foretold', (SELECT coalesce(json_agg(json_build_array(extract(epoch FROM taken_at), campaign_id, recipient, step, mailbox, extract(epoch FROM slot_at))), '[]')
                FROM simulation.foretold),
  'stopped', (SELECT coalesce(json_agg(json_build_array(campaign_id, address_key, extract(epoch FROM at), how)), '[]') FROM simulation.stopped),
  'shields', (SELECT coalesce(json_agg(json_build_array(campaign_id, kind, extract(epoch FROM at)) ORDER BY event_id), '[]') FROM mailer.event
                WHERE kind IN ('shield_shut', 'shield_opened') AND campaign_id IS NOT NULL),
  'missed', (SELECT coalesce(json_agg(json_build_array(campaign_id, extract(epoch FROM from_at), extract(epoch FROM to_at), slot_count, reason)), '[]')
                FROM mailer.missed_slot_log),
  'states', (SELECT json_object_agg(campaign_id, state) FROM mailer.campaign),
  'settled', (SELECT json_object_agg(message_id, state) FROM mailer.outcome));
"""


# ── The rules, once more ─────────────────────────────────────────────────────────────────────────────────────────────

def play(seed, options):
    scenario = Scenario(seed, options.long)
    script = scenario.script()
    if options.keep:
        with open(f"scenario-{seed}.sql", "w") as file:
            file.write(script)
    began = time.time()
    psql = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1"], input=script, text=True, capture_output=True)
    if psql.returncode != 0:
        return [f"psql: {psql.stderr.strip()}"], scenario, 0
    report = json.loads(psql.stdout.split("report\n")[-1])
    problems = list(judge(scenario, report))
    if options.keep:
        print(json.dumps(report, indent=1), file=open(f"scenario-{seed}.json", "w"))
    if options.verbose:
        print(f"# seed {seed}: {len(report['delivered'])} delivered, {len(report['tries'])} tries, {len(report['missed'])} missed intervals, "
              f"{getattr(scenario, 'foretold', 0)} foretold, off {getattr(scenario, 'worst', 0):.3f} s, states {''.join(sorted(report['states'].values()))}, "
              f"{time.time() - began:.1f} s", flush=True)
    return problems, scenario, len(report["delivered"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first scenario")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--long", action="store_true", help="up to a year each, with more leads")
    parser.add_argument("--keep", action="store_true", help="write scenario-SEED.sql and .json")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    bad = mails = foretold = 0
    worst = 0.0
    for seed in range(options.seed, options.seed + options.count):
        problems, scenario, delivered = play(seed, options)
        mails += delivered
        foretold += getattr(scenario, "foretold", 0)
        worst = max(worst, getattr(scenario, "worst", 0.0))
        bad += bool(problems)
        for problem in problems[:6]:
            print(f"seed {seed}: {problem}", flush=True)
    print(f"{options.count} scenarios, {bad} bad; {mails} mails, {foretold} forecasts came true within {worst:.3f} s")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
