-- The list of a campaign: what the link in its mails unsubscribes from, which mails that stops, and that every mail with a scope can show it.
BEGIN;
SELECT no_plan();
SET client_min_messages = warning;
SET mailer.unsubscribe_url = 'https://example.com/u/{token}';

SELECT mailer.mailbox_create('box', 'smtp.example.com', from_address => 'box@example.com', timezone => 'UTC') \g /dev/null
SELECT mailer.template_set('offer', 'Offer', 'To leave: {{unsubscribe_url}}', '<a href="{{unsubscribe_url}}">leave</a>') \g /dev/null
SELECT mailer.campaign_create('news 7', 'offer', list => 'news', timezone => 'UTC') AS news7, mailer.campaign_create('news 9', 'offer', list => 'news', timezone => 'UTC') AS news9,
    mailer.campaign_create('sale', 'offer', timezone => 'UTC') AS sale, mailer.campaign_create('sale 2', 'offer', timezone => 'UTC') AS sale2 \gset
SELECT mailer.campaign_add(:news7, 'ada@example.com') AS ada7, mailer.campaign_add(:news9, 'ada@example.com') AS ada9,
    mailer.campaign_add(:sale, 'ada@example.com') AS ada_sale, mailer.campaign_add(:sale, 'bob@example.com') AS bob, mailer.campaign_add(:sale2, 'bob@example.com') AS bob2,
    mailer.campaign_add(:news9, 'bob@example.com') AS bob9, mailer.enqueue('bob@example.com', 's', 'b {{unsubscribe_url}}', variables => '{"x": 1}') AS plain \gset

CREATE FUNCTION pg_temp.source(id bigint) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(convert_from(mailer.message_source(id), 'UTF8'), E'=\r\n|\r\n +', '', 'g') $$;
-- The scope in the token of a mail's link.
CREATE FUNCTION pg_temp.scope_of(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT r.scope FROM mailer._read_token((regexp_match(pg_temp.source(id), 'List-Unsubscribe: *<https://example.com/u/([^>]+)>'))[1]) r
$$;
CREATE FUNCTION pg_temp.may_go(id bigint) RETURNS boolean LANGUAGE sql AS $$ SELECT e.is_open FROM mailer.explain(id) e WHERE e.gate = 'not_suppressed' $$;

SELECT is(pg_temp.scope_of(:ada7), 'list:news', 'the link of a campaign with a list is the list''s');
SELECT is(pg_temp.scope_of(:bob), 'campaigns', 'without one it is that of all campaigns');
SELECT is((SELECT count(*) FROM regexp_matches(pg_temp.source(:ada7), 'example.com/u/', 'g')), 3::bigint, 'it is in the header, the text and the HTML');
SELECT unalike(pg_temp.source(:plain), '%example.com/u/%', 'a mail without a scope has none');

SELECT mailer.unsubscribe(mailer._unsubscribe_token(1, 'ada@example.com', 'list:news')) \g /dev/null
SELECT ok(NOT pg_temp.may_go(:ada7) AND NOT pg_temp.may_go(:ada9), 'who leaves a list gets nothing of it, also from the next campaign');
SELECT ok(pg_temp.may_go(:ada_sale) AND pg_temp.may_go(:bob9), 'other campaigns and other readers go on');
SELECT mailer.unsubscribe(mailer._unsubscribe_token(1, 'bob@example.com', 'campaigns')) \g /dev/null
SELECT ok(NOT pg_temp.may_go(:bob) AND NOT pg_temp.may_go(:bob2) AND NOT pg_temp.may_go(:bob9), 'who leaves campaigns gets none');
SELECT ok(pg_temp.may_go(:plain), 'but other mail');
SELECT lives_ok($$SELECT mailer.suppress('cy@example.com', scope => s) FROM unnest('{all,bulk,campaigns,list:news,category:likes,campaign:7}'::text[]) s$$, 'all of these are scopes');
SELECT throws_ok($$SELECT mailer.suppress('cy@example.com', scope => 'lists')$$, '22023', '"lists" is not a scope', 'and others are none');

SELECT mailer.campaign_alter(:sale, '{"list": "sales"}') \g /dev/null
SELECT is(pg_temp.scope_of(:ada_sale), 'list:sales', 'a list can be given later');
RESET mailer.unsubscribe_url;
SELECT unalike(pg_temp.source(:ada7), '%example.com/u/%', 'without mailer.unsubscribe_url the link is empty');

SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'every invariant holds');
SELECT * FROM finish();
ROLLBACK;
