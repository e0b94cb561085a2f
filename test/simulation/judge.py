"""Judges what a scenario's mail servers took (play.py) by rules that are computed here again, with Python's own time zones."""
import collections
import datetime as dt
from zoneinfo import ZoneInfo

UTC = dt.timezone.utc
ZONES = ["Europe/Warsaw", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"]
DAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]


def zone_of(campaign, lead):
    """The clock of a lead that has one of its own."""
    number = "".join(c for c in lead.split(".")[0] if c.isdigit())
    return ZONES[int(number) % 5] if campaign["has_zones"] and number and int(number) % 3 == 0 else None


def window_day(campaign, at, zone=None):
    """The day whose window holds the instant; None: outside."""
    local = dt.datetime.fromtimestamp(at, ZoneInfo(zone or campaign["timezone"]))
    clock, day = local.strftime("%H:%M"), local.date()
    start, end = campaign["start"], campaign["end"]
    if start < end:
        inside = start <= clock < end
    elif start > end:
        inside = clock >= start or clock < end
        if clock < end:
            day -= dt.timedelta(days=1)
    else:
        inside = True
    return day if inside and DAYS[day.weekday()] in campaign["days"] and day not in campaign["skip"] else None


def limit_of(box, earlier_days, day):
    limits = [] if box["daily_limit"] is None else [box["daily_limit"]]
    if box["ramp_start"] is not None:
        limits.append(box["ramp_start"] + earlier_days * box["ramp_step"])
    return min(limits) if limits else None


def judge(s, report):
    yield from report["problems"]
    delivered, tries = report["delivered"], report["tries"]
    for what, key in (("message", lambda d: d[1]), ("lead and step", lambda d: (d[0], d[3].lower(), d[6]) if d[0] else d[1])):
        for one, times in collections.Counter(key(d) for d in delivered).items():
            if times > 1:
                yield f"{what} {one} was mailed {times} times"
    for _, message, _, _, _, at, _ in delivered:
        if report["settled"].get(str(message)) not in ("S", "u"):
            yield f"message {message} was taken by a server and isn't settled as such"
    for number, campaign in enumerate(s.campaigns, 1):
        if number not in s.altered_campaigns:
            yield from judge_campaign(s, number, campaign, tries)
            yield from judge_sequence(number, campaign, delivered)
    stopped = {}
    for campaign, lead, at, how in report["stopped"]:
        for other in range(1, len(s.campaigns) + 1):
            stopped.setdefault((other, lead), (at, how))
    for campaign, message, _, recipient, claimed_at, _, step in delivered:
        at, how = stopped.get((campaign, recipient.lower()), (claimed_at, ""))
        if claimed_at > at + 1e-5:
            yield f"message {message} of campaign {campaign}, step {step}, went to {recipient} {claimed_at - at:.0f} s after it had {how}"
    yield from judge_cooldowns(s, delivered)
    yield from judge_shields(report)
    for box in s.mailboxes:
        if box["name"] not in s.altered_mailboxes:
            yield from judge_mailbox(s, box, delivered, tries)
    if not s.is_disturbed or s.is_quiet:
        yield from judge_forecast(s, report)
    for campaign, since, until, count, reason in report["missed"]:
        if until < since or count < 1:
            yield f"missed slots of campaign {campaign} make no sense: {since} {until} {count}"


def judge_campaign(s, number, campaign, tries):
    mine = [t for t in tries if t[0] == number]
    days = collections.Counter()
    new = collections.Counter()
    for _, message, _, at, _, outcome, _, recipient, step in mine:
        day = window_day(campaign, at, zone_of(campaign, recipient))
        if day is None:
            yield f"message {message} of campaign {number} started outside the window, at {dt.datetime.fromtimestamp(at, UTC)}"
        if outcome in ("sent", "unconfirmed"):
            days[day] += 1
            new[day] += step == 1
    for day, count in new.items():
        if campaign["new_cap"] is not None and count > campaign["new_cap"]:
            yield f"campaign {number} sent {count} first mails on {day}, more than {campaign['new_cap']}"
    for day, count in days.items():
        if campaign["cap"] is not None and count > campaign["cap"]:
            yield f"campaign {number} sent {count} on {day}, more than {campaign['cap']}"
    least = campaign["gap"] * (1 - campaign["jitter"]) - min(0.05, campaign["gap"] / 4)
    for before, after in zip(mine, mine[1:]):
        if after[3] - before[3] < least - 1e-5 and after[1] != before[1]:
            yield f"campaign {number}: messages {before[1]} and {after[1]} are {after[3] - before[3]:.3f} s apart, less than {least} s"


def judge_sequence(number, campaign, delivered):
    """Follow-ups: each after the one before, not before its delay, from the same mailbox."""
    leads = collections.defaultdict(dict)
    for d in delivered:
        if d[0] == number:
            leads[d[3].lower()][d[6]] = d
    for lead, steps in leads.items():
        for place, mail in steps.items():
            if place == 1:
                continue
            before = steps.get(place - 1)
            if before is None:
                continue  # resolved as sent, or its reply was lost: the tries know
            if mail[2] != before[2]:
                yield f"campaign {number}: {lead} got step {place} from {mail[2]} and the one before from {before[2]}"
            step = campaign["steps"][place - 2]
            if step["hours"] and mail[4] < before[4] + step["hours"] * 3600 - campaign["gap"] - 1:  # from the slot, which may be taken a gap late
                yield f"campaign {number}: {lead} got step {place} {mail[4] - before[4]:.0f} s after the one before"
            zone = ZoneInfo(campaign["timezone"])
            days = (dt.datetime.fromtimestamp(mail[4], zone).date() - dt.datetime.fromtimestamp(before[4], zone).date()).days
            if step["days"] and days < step["days"] and campaign["start"] < campaign["end"] and not campaign["has_zones"]:
                yield f"campaign {number}: {lead} got step {place} {days} days after the one before"


def judge_cooldowns(s, delivered):
    """An address that another campaign mailed waits for so long after it."""
    by_address = collections.defaultdict(list)
    for d in delivered:
        if d[0]:
            by_address[d[3].lower()].append(d)
    for address, mails in by_address.items():
        for mail in mails:
            cooldown = s.campaigns[mail[0] - 1]["cooldown"]
            for other in mails if cooldown else []:
                # It counts from the slot, which may be taken a gap late.
                least = cooldown * 3600 - s.campaigns[other[0] - 1]["gap"] - 1
                if other[0] != mail[0] and other[5] < mail[4] < other[4] + least:
                    yield f"campaign {mail[0]}: {address} got mail {mail[4] - other[4]:.0f} s after campaign {other[0]}'s, within {cooldown} hours"


def judge_shields(report):
    """From the moment at which a campaign's shield shuts until a person opens it, nothing of it is claimed."""
    shut_since = {}
    spans = []
    for campaign, kind, at in report["shields"]:
        if kind == "shield_shut":
            shut_since[campaign] = at
        elif campaign in shut_since:
            spans.append((campaign, shut_since.pop(campaign), at))
    spans += [(campaign, since, float("inf")) for campaign, since in shut_since.items()]
    for campaign, message, _, recipient, claimed_at, _, _ in report["delivered"]:
        for of, since, until in spans:
            if of == campaign and since + 1e-5 < claimed_at < until - 1e-5:
                yield f"message {message} of campaign {campaign} went to {recipient} {claimed_at - since:.0f} s after the shield had shut"


def judge_mailbox(s, box, delivered, tries):
    zone = ZoneInfo(box["timezone"])
    first_day = s.begin.astimezone(zone).date()
    days = collections.Counter(dt.datetime.fromtimestamp(t[3], zone).date() for t in tries if t[2] == box["name"] and t[5] in ("sent", "unconfirmed"))
    for day, count in days.items():
        limit = limit_of(box, sum(1 for other in days if first_day <= other < day), day)
        if limit is not None and count > limit:
            yield f"{box['name']} sent {count} on {day}, more than {limit}"
    if box["max_connections"] > 1 and box["gap"] == 0:
        return
    mine = [t for t in tries if t[2] == box["name"] and t[6] not in ("prepare",)]
    for before, after in zip(mine, mine[1:]):
        if after[3] < before[4] - 1e-5:
            yield f"{box['name']}: messages {before[1]} and {after[1]} at once"
        elif before[6] in ("done", "rcpt") and after[3] < before[4] + box["gap"] - 1e-5:
            yield f"{box['name']}: messages {before[1]} and {after[1]} are closer than its gap"


def judge_forecast(s, report):
    actual = {(d[0], d[3].lower(), d[6]): d for d in report["delivered"] if d[0]}
    plans = collections.defaultdict(dict)
    for taken_at, campaign, recipient, step, mailbox, slot in report["foretold"]:
        plans[taken_at][campaign, recipient.lower(), step] = (campaign, mailbox, slot)
    s.foretold = 0
    for taken_at, plan in sorted(plans.items()):
        worst = None
        is_blind = all(d[5] > taken_at for d in report["delivered"])  # no mail has gone yet
        for place, (message, (campaign, mailbox, slot)) in enumerate(sorted(plan.items(), key=lambda entry: entry[1][2])):
            if slot > s.end.timestamp() - 2:
                continue
            s.foretold += 1
            if message not in actual:
                yield f"message {message} of campaign {campaign}, foretold for {dt.datetime.fromtimestamp(slot, UTC)}, didn't go"
                return
            off = actual[message][4] - slot
            # Two that come at one moment may swap their mailboxes by the milliseconds that mails take, and all that comes
            # behind with them; where mails take no time there is no such excuse.
            if not s.is_exact and actual[message][2] != mailbox and abs(off) <= 1:
                break
            # Nor has a follow-up that a mailbox with a gap kept by those milliseconds from its slot: it goes a slot or a gap later.
            gap = next(box["gap"] for box in s.mailboxes if box["name"] == mailbox)
            pace = s.campaigns[campaign - 1]
            if not s.is_exact and pace["steps"] and gap and 1 < abs(off) <= 1.1 * max(gap, pace["gap"] * (1 + pace["jitter"])):
                break
            s.worst = max(s.worst, abs(off)) if hasattr(s, "worst") else abs(off)
            # How long mails take isn't known before the first, and then from few; where a mailbox's gap sets the pace, that adds up.
            tolerance = 1e-6 if s.is_exact else 1 + place * (0.05 if is_blind or s.is_quiet else 0.01)
            if abs(off) > tolerance or (s.is_exact and actual[message][2] != mailbox):
                if worst is None or slot < worst[1]:
                    worst = (f"message {message} of campaign {campaign}, foretold at {dt.datetime.fromtimestamp(taken_at, UTC)} for "
                             f"{dt.datetime.fromtimestamp(slot, UTC)} from {mailbox}, went {off:+.3f} s off, from {actual[message][2]}", slot)
        if worst:
            yield worst[0]
            return
    first = min(plans, default=None)
    for campaign, message, _, recipient, at, _, step in report["delivered"]:
        if campaign and first is not None and (campaign, recipient.lower(), step) not in plans[first] and at > first:
            yield f"message {message} of campaign {campaign} went at {dt.datetime.fromtimestamp(at, UTC)} and wasn't foretold"
            return
