-- A small community site: likes, comments, replies, bookmarks and joins tell people in the site and by mail, as each of
-- them wants it.
--
-- Run it with psql in an empty database: psql -v smtp_port=2525 -f examples/community.sql
-- It expects an SMTP server on this machine that wants neither TLS nor a login, such as test/servers/catchall.py.
-- examples/play plays a day on the site.

\if :{?smtp_port}
\else
    \set smtp_port 2525
\endif
\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS mailer;
CREATE SCHEMA community;
SET search_path = community;

SELECT mailer.mailbox_create('community', 'localhost', :smtp_port, from_address => 'hello@community.example',
                             from_name => 'The Community', tls => 'none');

-- ── The site's own tables ──────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE member (
    member_id bigint PRIMARY KEY,
    name      text NOT NULL,
    address   text NOT NULL,
    timezone  text NOT NULL DEFAULT 'Europe/Warsaw'
);
CREATE TABLE post (
    post_id   bigint PRIMARY KEY,
    member_id bigint NOT NULL REFERENCES member,
    title     text NOT NULL
);
CREATE TABLE post_like (
    post_id   bigint NOT NULL REFERENCES post,
    member_id bigint NOT NULL REFERENCES member,
    PRIMARY KEY (post_id, member_id)
);
CREATE TABLE bookmark (LIKE post_like INCLUDING ALL);
CREATE TABLE comment (
    comment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    post_id    bigint NOT NULL REFERENCES post,
    member_id  bigint NOT NULL REFERENCES member,
    answers    bigint REFERENCES comment,
    body       text NOT NULL
);
CREATE TABLE club (
    club_id  bigint PRIMARY KEY,
    owner_id bigint NOT NULL REFERENCES member,
    name     text NOT NULL
);
CREATE TABLE club_member (
    club_id   bigint NOT NULL REFERENCES club,
    member_id bigint NOT NULL REFERENCES member,
    PRIMARY KEY (club_id, member_id)
);

-- Members are known to mailer by the site's own ids. It learns of them, and of every change, from a trigger.
CREATE FUNCTION tell_mailer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mailer.contact_set(NEW.member_id::text, NEW.address, NEW.name, NEW.timezone);
    RETURN NULL;
END $$;
CREATE TRIGGER contact AFTER INSERT OR UPDATE ON member FOR EACH ROW EXECUTE FUNCTION tell_mailer();

-- ── What users are notified of, and how often ──────────────────────────────────────────────────────────────────────

SELECT mailer.template_set('digest', '{{count}} new in {{category}}',
    E'Hello {{name}},\n\n{{#items}}\n- {{title}}\n{{/items}}\n',
    E'<p>Hello {{name}},</p><ul>{{#items}}<li>{{title}}</li>{{/items}}</ul>');

-- At most five mails an hour about likes; what is over comes as one. A burst is one mail anyway (collapse_window).
SELECT mailer.category_set('likes', rate_limit => 5, rate_period => '1 hour', collapse_window => '2 s', digest_template => 'digest');
-- Mail only about what was not read in the site meanwhile.
SELECT mailer.category_set('comments', mail_delay => '2 s', digest_template => 'digest');
SELECT mailer.category_set('bookmarks');
SELECT mailer.category_set('joins', digest_template => 'digest', digest_hour => 8);
-- Nobody can switch this off.
SELECT mailer.category_set('security', is_required => true);

SELECT mailer.template_set('liked',
    '{{actor}}{{#one_other}} and one other{{/one_other}}{{#many_others}} and {{others_count}} others{{/many_others}} like “{{post}}”',
    E'Hello {{name}},\n\n{{#items}}\n- {{actor}}\n{{/items}}\n\nThe Community\n');
SELECT mailer.template_set('commented', '{{actor}} commented on “{{post}}”',
    E'Hello {{name}},\n\n{{actor}} wrote:\n\n{{comment}}\n',
    '<p>Hello {{name}},</p><p>{{actor}} wrote:</p><blockquote>{{comment}}</blockquote>');
SELECT mailer.template_set('answered', '{{actor}} answered your comment on “{{post}}”', E'{{comment}}\n');
SELECT mailer.template_set('bookmarked', '{{actor}} keeps “{{post}}”', E'Hello {{name}}, your post was bookmarked.\n');
SELECT mailer.template_set('joined', '{{actor}} joined {{club}}', E'Say hello!\n');
SELECT mailer.template_set('new address', 'Your address was changed', E'Hello {{name}}, your mail now goes to {{address}}.\n');

-- ── Users to notify of a new row, and with which variables: one row for each ────────────────────────────────────────

CREATE FUNCTION post_author(new_row jsonb) RETURNS TABLE (user_id text, variables jsonb) LANGUAGE sql STABLE AS $$
    SELECT p.member_id::text, jsonb_build_object('post', p.title)
    FROM community.post AS p WHERE p.post_id = (new_row->>'post_id')::bigint
$$;

-- A comment concerns the author and everybody who has commented before; the next function names the user it answers.
-- thread_key lets the mails about a post be one conversation.
CREATE FUNCTION post_followers(new_row jsonb) RETURNS TABLE (user_id text, variables jsonb) LANGUAGE sql STABLE AS $$
    SELECT f.member_id::text, jsonb_build_object('post', p.title, 'comment', new_row->>'body', 'thread_key', 'post ' || p.post_id)
    FROM community.post AS p
    CROSS JOIN LATERAL (
        SELECT p.member_id UNION SELECT c.member_id FROM community.comment AS c WHERE c.post_id = p.post_id
    ) AS f
    WHERE p.post_id = (new_row->>'post_id')::bigint
      AND f.member_id IS DISTINCT FROM (SELECT a.member_id FROM community.comment AS a WHERE a.comment_id = (new_row->>'answers')::bigint)
$$;
CREATE FUNCTION answered_member(new_row jsonb) RETURNS TABLE (user_id text, variables jsonb) LANGUAGE sql STABLE AS $$
    SELECT a.member_id::text, jsonb_build_object('post', p.title, 'comment', new_row->>'body', 'thread_key', 'post ' || p.post_id)
    FROM community.comment AS a JOIN community.post AS p USING (post_id)
    WHERE a.comment_id = (new_row->>'answers')::bigint
$$;
CREATE FUNCTION club_owner(new_row jsonb) RETURNS TABLE (user_id text, variables jsonb) LANGUAGE sql STABLE AS $$
    SELECT c.owner_id::text, jsonb_build_object('club', c.name)
    FROM community.club AS c WHERE c.club_id = (new_row->>'club_id')::bigint
$$;

-- ── The triggers: category, template, users to notify, actor, collapse key ───────────────────────────────────────────

CREATE TRIGGER tell AFTER INSERT ON post_like FOR EACH ROW
    EXECUTE FUNCTION mailer.community_trigger('likes', 'liked', 'post_author', 'member_id', 'post {{post_id}}');
CREATE TRIGGER tell AFTER INSERT ON bookmark FOR EACH ROW
    EXECUTE FUNCTION mailer.community_trigger('bookmarks', 'bookmarked', 'post_author', 'member_id', 'post {{post_id}}');
CREATE TRIGGER tell AFTER INSERT ON comment FOR EACH ROW
    EXECUTE FUNCTION mailer.community_trigger('comments', 'commented', 'post_followers', 'member_id');
CREATE TRIGGER tell_answered AFTER INSERT ON comment FOR EACH ROW WHEN (NEW.answers IS NOT NULL)
    EXECUTE FUNCTION mailer.community_trigger('replies', 'answered', 'answered_member', 'member_id');
CREATE TRIGGER tell AFTER INSERT ON club_member FOR EACH ROW
    EXECUTE FUNCTION mailer.community_trigger('joins', 'joined', 'club_owner', 'member_id');
-- Here the row itself holds the user to notify: no function is needed, and the template sees the row's columns.
CREATE TRIGGER tell_changed AFTER UPDATE OF address ON member FOR EACH ROW
    EXECUTE FUNCTION mailer.community_trigger('security', 'new address', 'member_id');

RESET search_path;
