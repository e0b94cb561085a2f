"""What applications call, as they would write it: statements with %s for parameters, and the values in Python's types.

Each driver sends the same values as other types (an integer as smallint, as a literal, or without a type); every call must find
its function all the same. `check(execute, name, json)` makes all calls: execute(sql, params) gives the first column of the first
row, and json wraps what is to go as JSON. Run by itself with `--json` it prints the calls for drivers of other languages.
"""

import datetime
import decimal
import json as json_module
import sys
import uuid

UTC = datetime.timezone.utc


class Json:
    """A value that goes as JSON, in whatever way the driver has for that."""

    def __init__(self, value):
        self.value = value


class Expected:
    """The value of an earlier call, by its name."""

    def __init__(self, name):
        self.name = name


USERS = {
    "a small integer": 7,
    "an integer": 70_000,
    "a big integer": 2**40,
    "a uuid": uuid.UUID("6f1c2f0e-8f0b-4c57-9d2a-0d6f0a4f9a11"),
    "a text": "user-7",
    "digits as text": "700",
}


def user_calls(what, user):
    """Everything that takes a user's id."""
    return [
        (f"contact_set of {what}", "SELECT mailer.contact_set(%s, %s, %s)", [user, "user@example.com", "Ada"], None, None),
        (f"contact_set by name of {what}", "SELECT mailer.contact_set(user_id => %s, address => %s, timezone => %s)", [user, "user@example.com", "Europe/Warsaw"], None, None),
        (f"preference_set of {what}", "SELECT mailer.preference_set(%s, %s, email_enabled => %s, digest => %s)", [user, "likes", True, "daily"], None, None),
        (f"notify of {what}", "SELECT mailer.notify(%s, %s, %s, %s) IS NOT NULL", [user, "likes", "hello", Json({"name": "Ada"})], True, None),
        (f"notify by name of {what}", "SELECT mailer.notify(user_id => %s, category => %s, template => %s, variables => %s, collapse_key => %s) IS NOT NULL", [user, "likes", "hello", Json({}), "post 5"], True, None),
        (f"notify of {what} by itself", "SELECT mailer.notify(%s, %s, %s, actor_id => %s) IS NULL", [user, "likes", "hello", user], True, None),
        (f"notify of {what} by a small integer", "SELECT mailer.notify(%s, %s, %s, actor_id => %s) IS NOT NULL", [user, "likes", "hello", 3], True, None),
        (f"notify of {what} by a big integer", "SELECT mailer.notify(%s, %s, %s, actor_id => %s) IS NOT NULL", [user, "likes", "hello", 2**41], True, None),
        (f"notify of {what} by a uuid", "SELECT mailer.notify(%s, %s, %s, actor_id => %s) IS NOT NULL", [user, "likes", "hello", uuid.UUID(int=5)], True, None),
        (f"notify of {what} by a text", "SELECT mailer.notify(%s, %s, %s, actor_id => %s) IS NOT NULL", [user, "likes", "hello", "bot"], True, None),
        (f"notify of {what} by nobody", "SELECT mailer.notify(%s, %s, %s, actor_id => %s) IS NOT NULL", [user, "likes", "hello", None], True, None),
        (f"inbox of {what}", "SELECT count(*) FROM mailer.inbox(%s)", [user], 7, None),
        (f"inbox by name of {what}", "SELECT count(*) FROM mailer.inbox(user_id => %s, only_unread => %s, max_rows => %s)", [user, True, 3], 3, None),
        (f"inbox_unread of {what}", "SELECT mailer.inbox_unread(%s)", [user], 7, None),
        (f"inbox_mark_read of {what}", "SELECT mailer.inbox_mark_read(%s)", [user], 7, None),
        (f"inbox_mark_read of one of {what}", "SELECT mailer.inbox_mark_read(%s, %s)", [user, 1], 0, None),
        (f"contact_delete of {what}", "SELECT mailer.contact_delete(%s) IS NOT NULL", [user], True, None),
    ]


LEADS = ["lead1@example.com", "Łucja <lead2@example.com>"]
PEOPLE = ["ada@example.com", "bob@example.com"]
NAMES = [{"name": "Ada"}, {"name": "Bob"}]
OTHERS = [f"other{n}@example.com" for n in range(10)]


def batch_calls():
    several = "SELECT mailer.enqueue_batch(%s, template => %s, recipient_variables => %s)"
    return [
        ("enqueue_batch of a list", "SELECT mailer.enqueue_batch(%s, %s, %s)", [PEOPLE, "Hi", "Body"], None, "batch"),
        ("enqueue_batch of JSON", "SELECT mailer.enqueue_batch(%s, %s, %s, gap => %s, label => %s)", [Json(PEOPLE), "Hi", "Body", datetime.timedelta(seconds=5), "ticket 156"], None, "labelled"),
        ("batch_status by id", "SELECT total FROM mailer.batch_status(%s)", [Expected("batch")], 2, None),
        ("batch_status by label", "SELECT total FROM mailer.batch_status(%s)", ["ticket 156"], 2, None),
        ("batch with variables as a list of JSON", several, [PEOPLE, "hello", [Json(v) for v in NAMES]], None, None),
        ("batch with variables as one JSON", several, [PEOPLE, "hello", Json(NAMES)], None, "named"),
        ("batch of JSON with variables as one JSON", several, [Json(PEOPLE), "hello", Json(NAMES)], None, None),
        ("batch with variables as texts", several, [PEOPLE, "hello", [json_module.dumps(v) for v in NAMES]], None, None),
        ("batch with variables as a text", several, [PEOPLE, "hello", json_module.dumps(NAMES)], None, None),
        ("batch without variables", several, [PEOPLE, "hello", None], None, None),
        ("its variables arrived", "SELECT string_agg(variables->>'name', ' ' ORDER BY message_id) FROM mailer.message WHERE batch_id = %s", [Expected("named")], "Ada Bob", None),
        ("batch_cancel", "SELECT mailer.batch_cancel(%s)", [Expected("labelled")], 2, None),
    ]


def campaign_calls():
    more = "SELECT mailer.campaign_add_many(%s, %s, %s)"
    campaign = Expected("campaign")
    return [
        ("campaign_create", "SELECT mailer.campaign_create(%s, %s, gap => %s, jitter => %s, max_per_day => %s, allowed_days => %s, window_start => %s, window_end => %s, timezone => %s, starts_at => %s)",
         ["spring", "hello", datetime.timedelta(seconds=90), 0.2, 100, ["MON", "TUE"], datetime.time(9), datetime.time(17, 30), "Europe/Warsaw", datetime.datetime(2030, 1, 7, tzinfo=UTC)], None, "campaign"),
        ("jitter as a decimal", "SELECT mailer.campaign_create(%s, %s, jitter => %s, shield => %s) IS NOT NULL", ["summer", "hello", decimal.Decimal("0.25"), decimal.Decimal("0.1")], True, None),
        ("shield as a float", "SELECT mailer.campaign_create(%s, %s, shield => %s) IS NOT NULL", ["autumn", "hello", 0.1], True, None),
        ("campaign_add", "SELECT mailer.campaign_add(%s, %s, %s, %s) IS NOT NULL", [campaign, "lead0@example.com", Json({"name": "Zoë"}), "lead 0"], True, None),
        ("campaign_add by the campaign's name", "SELECT mailer.campaign_add(%s, %s, priority => %s, not_before => %s) IS NOT NULL", ["spring", "lead9@example.com", 3, datetime.datetime(2030, 1, 8, 9)], True, None),
        ("campaign_add_many of a list", more, [campaign, LEADS, None], 2, None),
        ("campaign_add_many of JSON", more, [campaign, Json(OTHERS[0:2]), Json(NAMES)], 2, None),
        ("campaign_add_many with a list of JSON", more, [campaign, OTHERS[2:4], [Json(v) for v in NAMES]], 2, None),
        ("campaign_add_many with one JSON", more, [campaign, OTHERS[4:6], Json(NAMES)], 2, None),
        ("campaign_add_many with texts, by name", "SELECT mailer.campaign_add_many(%s, %s, variables => %s, external_ids => %s)", ["spring", OTHERS[6:8], [json_module.dumps(v) for v in NAMES], ["a", "b"]], 2, None),
        ("campaign_add_many of nothing new", "SELECT mailer.campaign_add_many(%s, %s)", ["spring", OTHERS[6:8]], 0, None),
        ("campaign_alter", "SELECT mailer.campaign_alter(%s, %s)", [campaign, Json({"gap": "60 s", "max_per_day": None, "max_silence": None})], None, None),
        ("campaign_start", "SELECT mailer.campaign_start(%s)", [campaign], None, None),
        ("campaign_pause by name", "SELECT mailer.campaign_pause(%s, %s)", ["spring", "lunch"], None, None),
        ("campaign_resume", "SELECT mailer.campaign_resume(%s)", [campaign], None, None),
        ("campaign_status", "SELECT total FROM mailer.campaign_status(%s)", [campaign], 12, None),
        ("campaign_forecast, while all is paused", "SELECT count(*) FROM mailer.campaign_forecast(%s, %s, %s)", [campaign, Json({"gap": "30 s"}), 3], 0, None),
        ("campaign_explain", "SELECT count(*) > 5 FROM mailer.campaign_explain(%s)", [campaign], True, None),
        ("campaign_step_set", "SELECT mailer.campaign_step_set(%s, %s, %s, %s)", [campaign, 2, "hello", datetime.timedelta(days=3)], None, None),
        ("campaign_variant_set", "SELECT mailer.campaign_variant_set(%s, %s, %s, %s, %s)", [campaign, 1, "b", "hello", 2], None, None),
        ("lead_update", "SELECT mailer.lead_update(%s, %s, %s)", [campaign, "lead1@example.com", Json({"name": "Eve"})], None, None),
        ("campaign_cancel", "SELECT mailer.campaign_cancel(%s, %s)", [campaign, "over"], None, None),
    ]


def mail_calls():
    mail = Expected("mail")
    return [
        ("enqueue as in the docs", "SELECT mailer.enqueue(%s, template => %s, variables => %s, external_id => %s)",
         ["Ada <ada@example.com>", "hello", json_module.dumps({"name": "Ada"}), "ticket 7"], None, "mail"),
        ("enqueue by position", "SELECT mailer.enqueue(%s, %s, %s, %s) IS NOT NULL", ["ada@example.com", "Hi", "Text", "<p>Text</p>"], True, None),
        ("enqueue with times, priority and attachment", "SELECT mailer.enqueue(%s, %s, %s, variables => %s, headers => %s, send_at => %s, expires_at => %s, priority => %s, idempotency_key => %s, attachments => ARRAY[mailer.attach(%s, %s, %s)]) IS NOT NULL",
         ["ada@example.com", "Hi", "Text", Json({}), Json({"X-App": "1"}), datetime.datetime(2030, 1, 7, 9, tzinfo=UTC), datetime.datetime(2030, 1, 8, 9), 4, "key 1", "a.txt", b"\x00\xffbytes", "text/plain"], True, None),
        ("enqueue_raw", "SELECT mailer.enqueue_raw(%s, %s) IS NOT NULL", [["ada@example.com"], b"From: desk@example.com\r\nSubject: x\r\n\r\nBody\r\n"], True, None),
        ("status", "SELECT recipient FROM mailer.status(%s)", [mail], "ada@example.com", None),
        ("explain", "SELECT count(*) > 5 FROM mailer.explain(%s)", [mail], True, None),
        ("message_source", "SELECT octet_length(mailer.message_source(%s)) > 100", [mail], True, None),
        ("cancel", "SELECT mailer.cancel(%s)", [mail], True, None),
        ("render", "SELECT mailer.render(%s, %s, %s)", ["Dear {{name}}", Json({"name": "A&B"}), True], "Dear A&amp;B", None),
        ("template_preview", "SELECT subject FROM mailer.template_preview(%s, %s)", ["hello", Json({"name": "Ada"})], "Hello Ada", None),
        ("suppress", "SELECT mailer.suppress(%s, %s, %s)", ["gone@example.com", "asked", datetime.datetime(2031, 1, 1, tzinfo=UTC)], None, None),
        ("sent_to", "SELECT count(*) > 0 FROM mailer.sent_to(%s, %s)", ["ada@example.com", 10], True, None),
        ("mailbox_alter", "SELECT mailer.mailbox_alter(%s, %s)", ["desk", Json({"daily_limit": 100, "gap": "1 s"})], None, None),
        ("mailbox_create", "SELECT mailer.mailbox_create(%s, %s, %s, %s, daily_limit => %s, gap => %s) IS NOT NULL", ["sales", "smtp.example.com", 587, "sales@example.com", 200, datetime.timedelta(seconds=1)], True, None),
        ("category_set", "SELECT mailer.category_set(%s, rate_limit => %s, rate_period => %s, digest_hour => %s)", ["news", 5, datetime.timedelta(hours=1), 7], None, None),
        ("forget", "SELECT mailer.forget(%s) IS NOT NULL", ["gone@example.com"], True, None),
    ]


def all_calls():
    calls = [call for what, user in USERS.items() for call in user_calls(what, user)]
    return calls + mail_calls() + batch_calls() + campaign_calls()


def check(execute, json):
    """Makes all calls with a driver; exits with 1 when one of them fails."""
    known, failed = {}, 0

    def sent(value):
        if isinstance(value, Expected):
            return known[value.name]
        if isinstance(value, Json):
            return json(value.value)
        return [sent(v) for v in value] if isinstance(value, list) else value

    for name, sql, params, expected, stored_as in all_calls():
        try:
            value = execute(sql, [sent(p) for p in params])
            if stored_as:
                known[stored_as] = value
            if expected is None or value == expected:
                continue
            problem = f"gave {value!r} instead of {expected!r}"
        except Exception as error:  # whatever the driver throws
            problem = str(error).split("\n", 1)[0]
        failed += 1
        print(f"{name}: {problem}\n    {sql}")
    sys.exit(1 if failed else 0)


def tagged(value):
    """For a driver that is written in another language."""
    if isinstance(value, Expected):
        return {"known": value.name}
    if isinstance(value, Json):
        return {"json": value.value}
    if isinstance(value, list):
        return {"list": [tagged(v) for v in value]}
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, datetime.datetime):
        return {"time": (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()}
    if isinstance(value, datetime.timedelta):
        return f"{value.total_seconds()} s"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**31:
        return {"big": str(value)}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


if __name__ == "__main__" and "--json" in sys.argv:
    print(json_module.dumps([[name, sql, [tagged(p) for p in params], expected, stored] for name, sql, params, expected, stored in all_calls()]))
