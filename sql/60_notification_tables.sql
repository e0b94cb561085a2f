-- Community notifications: what happened to whom, how each user wants to hear of it, and which mails carry it.
--
-- One call of notify() is one row of notification_item, never updated but for the mail that took it. Around the items lie two
-- groupings that live and end apart: notification is a row of the in-app inbox (ends when it is read, or when its period is
-- over), notification_mail is a mail that still gathers (ends when it is about to be sent). Mails wait in the ordinary queue,
-- so everything that mailer guarantees for mail holds for them.
--
-- Functions that users call have the owner's rights and a pinned search_path; private ones run inside of them and inherit both, for
-- setting a path at each of ten calls would be a quarter of what a notification costs.
--
-- User ids are text, whatever the application counts its users by. No foreign keys here either; verify() proves what they would.

-- Two tenants may both have a user 17. In all of these tables a user of the operators' is called by the application's own id, one of
-- another tenant by the tenant's id, U+001F and the application's id: so every key keeps tenants apart. Ids have no control characters.

CREATE FUNCTION _user_key(user_id text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    tenant CONSTANT bigint := mailer._tenant();
BEGIN
    RETURN CASE tenant WHEN 1 THEN user_id ELSE tenant || E'\x1f' || user_id END;
END;
$$;
COMMENT ON FUNCTION _user_key(text) IS 'What tables call this user of the caller''s tenant';

CREATE FUNCTION _shown_user(user_key text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT pg_catalog.substr(user_key, pg_catalog.strpos(user_key, E'\x1f') + 1) $$;
COMMENT ON FUNCTION _shown_user(text) IS 'The application''s id of a user';

CREATE FUNCTION _user_tenant(user_key text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT COALESCE(pg_catalog.substring(user_key, E'^([0-9]+)\x1f')::bigint, 1) $$;
COMMENT ON FUNCTION _user_tenant(text) IS 'The tenant that the user belongs to';

CREATE TABLE contact (
    user_id     text PRIMARY KEY,
    address     text,
    address_key text COLLATE "C",
    name        text,
    timezone    text,
    locale      text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT "user_id is 1 to 200 characters, beside the tenant" CHECK (length(user_id) BETWEEN 1 AND 220),
    CONSTRAINT "name is at most 64 kB" CHECK (octet_length(name) <= 65536),
    CONSTRAINT "an address has its key" CHECK ((address IS NULL) = (address_key IS NULL))
);
CREATE INDEX contact_address ON contact (address_key) WHERE address_key IS NOT NULL;
COMMENT ON TABLE contact IS 'How to reach the application''s users: mail address, name, time zone and language by user id';
COMMENT ON COLUMN contact.address IS 'NULL: this user is notified in the application only';
COMMENT ON COLUMN contact.timezone IS 'Where digests'' hours are counted; NULL is mailer.timezone';
COMMENT ON COLUMN contact.locale IS 'Takes the template NAME.LOCALE where there is one';

CREATE TABLE category (
    name            text PRIMARY KEY,
    is_required     boolean NOT NULL DEFAULT false,
    rate_limit      integer,
    rate_period     interval NOT NULL DEFAULT '1 hour',
    mail_delay      interval NOT NULL DEFAULT '0',
    collapse_window interval NOT NULL DEFAULT '10 s',
    lane_id         bigint NOT NULL DEFAULT 1,
    digest_template text,
    digest_hour     integer NOT NULL DEFAULT 8,
    is_announced    boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT "name is 1 to 200 characters" CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT "rate_limit is positive" CHECK (rate_limit > 0),
    CONSTRAINT "rate_period is above 0 and at most 100 years" CHECK (extract(epoch FROM rate_period) > 0 AND extract(epoch FROM rate_period) <= 3155760000),
    CONSTRAINT "mail_delay is 0 to 100 years" CHECK (extract(epoch FROM mail_delay) BETWEEN 0 AND 3155760000),
    CONSTRAINT "collapse_window is 0 to 100 years" CHECK (extract(epoch FROM collapse_window) BETWEEN 0 AND 3155760000),
    CONSTRAINT "digest_hour is 0 to 23" CHECK (digest_hour BETWEEN 0 AND 23)
);
COMMENT ON TABLE category IS 'Kinds of notification that users choose about: likes, comments, … A category is there from its first use on, with these defaults';
COMMENT ON COLUMN category.is_required IS 'Users can''t switch it off, and no unsubscribing stops it';
COMMENT ON COLUMN category.rate_limit IS 'Most mails to one user in rate_period; what is over waits for the period''s end and goes as one mail';
COMMENT ON COLUMN category.mail_delay IS 'Above 0: the mail waits so long, and only what is still unread goes into it';
COMMENT ON COLUMN category.collapse_window IS 'How long the mail of a collapse_key waits for more of the same: a burst is one mail';
COMMENT ON COLUMN category.lane_id IS 'Lane of the mailbox that sends its mails; 1 is the default mailboxes''';
COMMENT ON COLUMN category.is_announced IS 'New rows of inboxes are announced to listeners (NOTIFY), which makes commits wait for each other';
COMMENT ON COLUMN category.digest_template IS 'Template of mails that gather several things; NULL is a plain list of titles';

CREATE TABLE preference (
    user_id        text NOT NULL,
    category       text NOT NULL,
    email_enabled  boolean NOT NULL,
    in_app_enabled boolean NOT NULL,
    digest         text NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    unsubscribed_at timestamptz,
    PRIMARY KEY (user_id, category),
    CONSTRAINT "digest is immediate, hourly or daily" CHECK (digest IN ('immediate', 'hourly', 'daily'))
);
COMMENT ON COLUMN preference.unsubscribed_at IS 'When the link of a mail to the user''s address switched it off; only that user''s own choice takes it back';
COMMENT ON TABLE preference IS 'What users chose for a category; without a row both ways are on, at once';

CREATE TABLE notification (
    notification_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id         text NOT NULL,
    category        text NOT NULL,
    collapse_key    text,
    is_open         boolean NOT NULL,
    created_at      timestamptz NOT NULL,
    read_at         timestamptz,
    read_count      bigint,
    CONSTRAINT "only unread rows with a collapse_key take more" CHECK (NOT is_open OR collapse_key IS NOT NULL AND read_at IS NULL)
);
CREATE INDEX notification_inbox ON notification (user_id, notification_id);
CREATE INDEX notification_unread ON notification (user_id, notification_id) WHERE read_at IS NULL;
CREATE UNIQUE INDEX "a collapse_key has one open notification" ON notification (user_id, category, collapse_key) WHERE is_open;
COMMENT ON TABLE notification IS 'Rows of the in-app inboxes: one for each item, or for all items of a collapse_key until it is read or rate_period has passed';
CREATE INDEX notification_read_partly ON notification (user_id, notification_id) WHERE read_count IS NOT NULL;
COMMENT ON COLUMN notification.read_count IS 'Of a row that could still take items when it was read: how many items it had. With more of them it is unread';
COMMENT ON COLUMN notification.is_open IS 'Takes further items of its collapse_key';

CREATE TABLE notification_item (
    item_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notification_id bigint,
    user_id         text NOT NULL,
    category        text NOT NULL,
    template        text NOT NULL,
    variables       jsonb NOT NULL,
    actor_id        text,
    collapse_key    text,
    created_at      timestamptz NOT NULL,
    mail_group      text,
    message_id      bigint,
    CONSTRAINT "collapse_key is 1 to 500 characters" CHECK (length(collapse_key) BETWEEN 1 AND 500)
) WITH (fillfactor = 90);
CREATE INDEX notification_item_notification ON notification_item (notification_id, item_id) WHERE notification_id IS NOT NULL;
CREATE INDEX notification_item_mail_only ON notification_item (user_id, category) WHERE notification_id IS NULL AND message_id IS NOT NULL;
CREATE INDEX notification_item_message ON notification_item (message_id, item_id) WHERE message_id IS NOT NULL;
CREATE INDEX notification_item_waiting ON notification_item (user_id, category, mail_group) WHERE mail_group IS NOT NULL AND message_id IS NULL;
COMMENT ON TABLE notification_item IS 'What happened: one row for each call of notify() that notifies a user';
COMMENT ON COLUMN notification_item.notification_id IS 'Its row of the inbox; NULL: the user wants this category by mail only';
COMMENT ON COLUMN notification_item.mail_group IS 'With which others it shares a mail: key:… of a collapse_key, rest over the rate limit, digest. NULL: has a mail of its own, or none';
COMMENT ON COLUMN notification_item.message_id IS 'The mail that carries it; NULL: none yet, or none at all';

CREATE TABLE notification_mail (
    message_id  bigint PRIMARY KEY,
    user_id     text NOT NULL,
    category    text NOT NULL,
    mail_group  text,
    is_open     boolean NOT NULL,
    unread_only boolean NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT "only a mail of a group takes more items" CHECK (NOT is_open OR mail_group IS NOT NULL)
);
CREATE UNIQUE INDEX "a group has one mail that takes more" ON notification_mail (user_id, category, mail_group) WHERE is_open;
CREATE INDEX notification_mail_user ON notification_mail (user_id);
COMMENT ON TABLE notification_mail IS 'Notification mails that are looked at again when they are sent: they gather items, or go only if something is unread';
COMMENT ON COLUMN notification_mail.is_open IS 'Still gathers; false from the moment it is about to be sent. A transaction that adds an item holds the row FOR KEY SHARE until commit';
COMMENT ON COLUMN notification_mail.unread_only IS 'Items that were read in the meantime are left out';

CREATE TABLE notification_pace (
    user_id    text NOT NULL,
    category   text NOT NULL,
    period_at  timestamptz NOT NULL,
    mail_count integer NOT NULL,
    PRIMARY KEY (user_id, category),
    CONSTRAINT "mails are counted from 1" CHECK (mail_count > 0)
) WITH (fillfactor = 80);
COMMENT ON TABLE notification_pace IS 'Mails to a user in the running period of a category that has a rate limit; one over the limit stands for the mail of the rest';

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['contact', 'category', 'preference', 'notification', 'notification_item', 'notification_mail',
        'notification_pace', 'notification_notification_id_seq', 'notification_item_item_id_seq']
    LOOP
        PERFORM pg_catalog.pg_extension_config_dump('mailer.' || t, '');
    END LOOP;
END $$;
