-- Sequences: the later steps of a campaign, variants of a step, and the leads themselves.
--
-- Step 1 is the campaign's own template and has no row: its step_id is 0. A lead is one row for each address of a
-- campaign. What is stored of its state is only what ends or holds it; whether it waits, is active, failed or is
-- unconfirmed is what became of its last message (view lead_status), so that no two tables have to agree on it.

CREATE TABLE campaign_step (
    step_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign_id     bigint NOT NULL,
    place           integer NOT NULL,
    template        text NOT NULL,
    subject         text,
    delay           interval NOT NULL,
    is_working_days boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT "a campaign has one step in a place" UNIQUE (campaign_id, place),
    CONSTRAINT "later steps are 2 to 100" CHECK (place BETWEEN 2 AND 100),
    CONSTRAINT "delay is whole days up to 3660, or less than a day" CHECK (extract(epoch FROM delay) > 0 AND extract(epoch FROM delay) <= 316224000
        AND (extract(epoch FROM delay) < 86400 OR extract(epoch FROM delay)::numeric % 86400 = 0))
);
COMMENT ON TABLE campaign_step IS 'The steps of campaigns from the second one on, by place';
COMMENT ON COLUMN campaign_step.subject IS 'In place of the template''s; a step without any subject answers in the thread of the lead''s first mail';
COMMENT ON COLUMN campaign_step.delay IS 'From the slot of the step before: whole days on the campaign''s clock, or less than a day';

CREATE TABLE campaign_variant (
    campaign_id bigint NOT NULL,
    step_id     bigint NOT NULL,
    variant     text NOT NULL,
    template    text NOT NULL,
    weight      integer NOT NULL,
    PRIMARY KEY (campaign_id, step_id, variant),
    CONSTRAINT "weight is 0 to 1000000" CHECK (weight BETWEEN 0 AND 1000000),
    CONSTRAINT "variant is 1 to 100 characters" CHECK (length(variant) BETWEEN 1 AND 100)
);
COMMENT ON TABLE campaign_variant IS 'Templates among which the leads of a step are shared out by weight';
COMMENT ON COLUMN campaign_variant.step_id IS 'Of campaign_step; 0 is the first step';

CREATE TABLE lead (
    campaign_id  bigint NOT NULL,
    address_key  text COLLATE "C" NOT NULL,
    ended        text,
    ended_at     timestamptz,
    ended_reason text,
    held_at      timestamptz,
    held_due_at  timestamptz,
    last_sent_at timestamptz,
    last_slot_at timestamptz,
    thread_message_id bigint,
    subject      text,
    variables    jsonb,
    timezone     text,
    mailbox_id   bigint,
    variant      text,
    not_before   timestamptz,
    priority     smallint,
    label        text,
    PRIMARY KEY (campaign_id, address_key),
    CONSTRAINT "ended is how a sequence ends" CHECK (ended IN ('replied', 'bounced', 'unsubscribed', 'complained', 'suppressed',
        'stopped', 'left', 'finished', 'campaign_ended', 'campaign_cancelled')),
    CONSTRAINT "ended_at is there iff it ended" CHECK ((ended IS NULL) = (ended_at IS NULL)),
    CONSTRAINT "priority is 0 to 4" CHECK (priority BETWEEN 0 AND 4),
    CONSTRAINT "not_before is a time from 1970 to 8999" CHECK (not_before >= '1970-01-01 00:00:00+00' AND not_before < '9000-01-01 00:00:00+00')
);
CREATE INDEX lead_address ON lead (address_key);
COMMENT ON TABLE lead IS 'An address in a campaign: what holds or ended its sequence, and what is its own';
COMMENT ON COLUMN lead.ended IS 'NULL while its sequence may go on';
COMMENT ON COLUMN lead.held_due_at IS 'When the mail of a held lead was due';
COMMENT ON COLUMN lead.last_slot_at IS 'Slot of the mail that was sent last: the next step counts from it';
COMMENT ON COLUMN lead.thread_message_id IS 'The mail that began its thread';
COMMENT ON COLUMN lead.subject IS 'Of the mail that began its thread, as it was rendered';
COMMENT ON COLUMN lead.variables IS 'Set by lead_update(); NULL: those of its last message';
COMMENT ON COLUMN lead.mailbox_id IS 'From which its mails go; NULL until the first has gone from one of the pool';

CREATE UNIQUE INDEX "a campaign has one lane of a kind" ON lane
    (campaign_id, is_follow_up, (COALESCE(mailbox_id, 0)), (COALESCE(timezone, ''))) WHERE campaign_id IS NOT NULL;

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['campaign_step', 'campaign_step_step_id_seq', 'campaign_variant', 'lead'] LOOP
        PERFORM pg_catalog.pg_extension_config_dump('mailer.' || t, '');
    END LOOP;
END $$;
