-- What came back: one row a report and recipient, and what that makes of a message. doc/feedback.md tells the rules.
--
-- A report is counted once, however often and by whatever way it comes: its key is unique for its message. Nothing
-- is kept of mail that belongs to no message but a count, and of a reply only who wrote it and its subject.

CREATE TABLE feedback (
    feedback_id   bigint PRIMARY KEY,
    at            timestamptz NOT NULL,
    kind          text NOT NULL,
    is_hard       boolean NOT NULL DEFAULT false,
    message_id    bigint NOT NULL,
    n             integer,
    campaign_id   bigint,
    mailbox_id    bigint,
    address       text,
    address_key   text COLLATE "C",
    code          smallint,
    enhanced_code text,
    words         text,
    source        text NOT NULL,
    evidence      text NOT NULL,
    is_guess      boolean NOT NULL,
    is_counted    boolean NOT NULL,
    report_key    text NOT NULL,
    judged        text,
    judged_by     text,
    CONSTRAINT "a guess is confirmed or taken back by somebody" CHECK (judged IN ('confirmed', 'taken_back') AND judged_by IS NOT NULL OR num_nonnulls(judged, judged_by) = 0),
    CONSTRAINT "a report is counted once" UNIQUE (message_id, report_key),
    CONSTRAINT "kind is what feedback_log says" CHECK (kind IN ('bounce', 'delay', 'delivered', 'complaint', 'reply', 'auto_reply', 'unsubscribe')),
    CONSTRAINT "only a bounce is hard" CHECK (kind = 'bounce' OR NOT is_hard)
);
CREATE INDEX feedback_campaign ON feedback (campaign_id, feedback_id) WHERE campaign_id IS NOT NULL;
CREATE INDEX feedback_address ON feedback (address_key, feedback_id);
CREATE INDEX feedback_kind ON feedback (kind, feedback_id);
CREATE INDEX feedback_guess ON feedback (feedback_id) WHERE is_guess AND judged IS NULL;
CREATE INDEX feedback_hard ON feedback (mailbox_id, at) WHERE is_hard;
CREATE INDEX feedback_time ON feedback USING brin (at) WITH (autosummarize = on);
COMMENT ON TABLE feedback IS 'Bounces, complaints, replies and automatic answers to messages, one row a report and recipient';
COMMENT ON COLUMN feedback.feedback_id IS 'Drawn from event_id_seq: the order of event_log';
COMMENT ON COLUMN feedback.n IS 'Recipient in message.addresses, from 1; NULL: none of them';
COMMENT ON COLUMN feedback.evidence IS 'What ties it to the message: a rank of _evidence()';
COMMENT ON COLUMN feedback.is_counted IS 'False for what a provider''s own suppression list caused: the shield leaves it out';
COMMENT ON COLUMN feedback.judged IS 'A person''s judgement of a guess: confirmed or taken_back';
COMMENT ON COLUMN feedback.report_key IS 'The same for the same report, whatever way it comes';

CREATE TABLE reply (
    feedback_id bigint PRIMARY KEY,
    message_id  bigint NOT NULL,
    campaign_id bigint,
    body        text NOT NULL
);
CREATE INDEX reply_message ON reply (message_id);
CREATE INDEX reply_campaign ON reply (campaign_id) WHERE campaign_id IS NOT NULL;
COMMENT ON TABLE reply IS 'What people wrote in replies, without what they quoted; only while mailer.keep_replies is on. purge() deletes it with the content of its message';

CREATE TABLE message_feedback (
    message_id      bigint PRIMARY KEY,
    campaign_id     bigint,
    batch_id        bigint,
    bounced_at      timestamptz,
    replied_at      timestamptz,
    complained_at   timestamptz,
    unsubscribed_at timestamptz,
    confirmed_by    text
);
CREATE INDEX message_feedback_campaign ON message_feedback (campaign_id) WHERE campaign_id IS NOT NULL;
CREATE INDEX message_feedback_batch ON message_feedback (batch_id) WHERE batch_id IS NOT NULL;
COMMENT ON TABLE message_feedback IS 'What feedback makes of a message: a row iff something came back that marks it';
COMMENT ON COLUMN message_feedback.confirmed_by IS 'Kind of the feedback that proved that an unconfirmed mail had arrived';

CREATE TABLE address_bounce (
    address_key          text COLLATE "C",
    tenant_id            bigint,
    hard_count           integer NOT NULL DEFAULT 0,
    last_hard_message_id bigint,
    soft_count           integer NOT NULL DEFAULT 0,
    soft_since           timestamptz,
    last_soft_message_id bigint,
    PRIMARY KEY (address_key, tenant_id)
);
COMMENT ON TABLE address_bounce IS 'How often mail of a tenant to an address bounced, as it is that tenant whose mail is suppressed for it: a second hard bounce suppresses without expiry, four soft ones in a row for 30 days';
COMMENT ON COLUMN address_bounce.soft_count IS 'Soft bounces in a row, since soft_since';

CREATE TABLE provider_message (
    provider_id text COLLATE "C" PRIMARY KEY,
    message_id  bigint NOT NULL,
    learned_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX provider_message_of ON provider_message (message_id);
COMMENT ON TABLE provider_message IS 'Ids under which providers name a mail, from their 250, from its copy in the folder of sent mail or from an answer to it: what they write into Message-ID and webhooks instead of ours';
COMMENT ON COLUMN provider_message.provider_id IS 'With an @ it is the Message-ID that recipients see: follow-ups refer to it';
COMMENT ON COLUMN provider_message.learned_at IS 'A follow-up refers to what was known when it was first tried, so that message_source() can show it as it was';

CREATE TABLE unmatched_feedback (
    source  text NOT NULL,
    kind    text NOT NULL,
    seen    bigint NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (source, kind)
);
COMMENT ON TABLE unmatched_feedback IS 'How much feedback belonged to no message: counted and forgotten';

-- Also answers what was sent to an address, over all campaigns and applications.
CREATE INDEX message_address ON message (address_key, message_id);

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['feedback', 'reply', 'message_feedback', 'address_bounce', 'provider_message', 'unmatched_feedback'] LOOP
        PERFORM pg_catalog.pg_extension_config_dump('mailer.' || t, '');
    END LOOP;
END $$;
