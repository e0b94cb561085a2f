#!/usr/bin/env bash
# What a notification costs the statement that fires it: a like is inserted, and a trigger notifies the author.
#
#   bench/notify.sh [SECONDS]     in a private cluster with fsync on; 5 seconds a measurement
#
# Seven tables of likes: without a trigger; with a trigger as an application writes one by hand (one row into a table of
# notifications); and with mailer.community_trigger for a user notified in the inbox only (not announced to listeners;
# the same where a function names the users; announced), by mail too, and by mail with a collapse_key. Measured are
# transactions a second at 1 and 8 clients (NOTIFY serialises commits: the inbox's price shows there), the time of the
# statement with its commit, and the backend's CPU time for it, which is what repeats on a busy machine. Each like is of
# another author, out of 10,000.
# Then: 10,000 notifications in one transaction, and an inbox in a table of a million rows.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-5}
if [ -z "${MAILER_CLUSTER:-}" ]; then exec scripts/cluster run --fsync --no-preload bench/notify.sh "$seconds"; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

sql 2>/dev/null <<'SQL' >/dev/null
CREATE EXTENSION mailer;
SELECT mailer.mailbox_create('box', 'localhost', from_address => 'box@example.com');
SELECT mailer.template_set('liked', '{{actor}} liked your post', 'Hello {{name}}');
INSERT INTO mailer.contact (user_id, address, address_key, name)
SELECT 'mail' || n, 'mail' || n || '@example.com', 'mail' || n || '@example.com', 'User ' || n FROM generate_series(1, 10000) n;
ANALYZE mailer.contact;
CREATE FUNCTION cpu_ns() RETURNS bigint LANGUAGE sql VOLATILE AS
    $$ SELECT split_part(pg_read_file('/proc/' || pg_backend_pid() || '/schedstat'), ' ', 1)::bigint $$;
CREATE TABLE likes_plain (author text, liker text);
CREATE TABLE likes_hand (LIKE likes_plain);
CREATE TABLE likes_inbox (LIKE likes_plain);
CREATE TABLE likes_silent (LIKE likes_plain);
CREATE TABLE likes_asked (LIKE likes_plain);
CREATE TABLE likes_mail (LIKE likes_plain);
CREATE TABLE likes_collapsed (LIKE likes_plain);
CREATE TABLE by_hand (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id text, body text, read_at timestamptz, created_at timestamptz DEFAULT now());
CREATE INDEX ON by_hand (user_id, id);
CREATE FUNCTION tell_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO by_hand (user_id, body) VALUES (NEW.author, NEW.liker || ' liked your post'); RETURN NULL; END $$;
CREATE TRIGGER tell AFTER INSERT ON likes_hand FOR EACH ROW EXECUTE FUNCTION tell_by_hand();
CREATE TRIGGER tell AFTER INSERT ON likes_inbox FOR EACH ROW EXECUTE FUNCTION mailer.community_trigger('likes', 'liked', 'author', 'liker');
SELECT mailer.category_set('silent', is_announced => false);
CREATE TRIGGER tell AFTER INSERT ON likes_silent FOR EACH ROW EXECUTE FUNCTION mailer.community_trigger('silent', 'liked', 'author', 'liker');
CREATE FUNCTION author_of(new_row jsonb) RETURNS TABLE (user_id text, variables jsonb) LANGUAGE sql STABLE AS
    $$ SELECT new_row ->> 'author', NULL::jsonb $$;
CREATE TRIGGER tell AFTER INSERT ON likes_asked FOR EACH ROW EXECUTE FUNCTION mailer.community_trigger('silent', 'liked', 'author_of', 'liker');
CREATE TRIGGER tell AFTER INSERT ON likes_mail FOR EACH ROW EXECUTE FUNCTION mailer.community_trigger('likes', 'liked', 'author', 'liker');
CREATE TRIGGER tell AFTER INSERT ON likes_collapsed FOR EACH ROW EXECUTE FUNCTION mailer.community_trigger('likes', 'liked', 'author', 'liker', 'post 1');
SQL

for clients in 1 8; do
    for kind in plain hand silent asked inbox mail collapsed; do
        user=$([[ $kind = mail || $kind = collapsed ]] && echo mail || echo inbox)
        printf '\\set n random(1, 10000)\nINSERT INTO likes_%s VALUES (%s || :n, %s);\n' "$kind" "'$user'" "'ada'" >"$work/$kind.sql"
        sql -c CHECKPOINT
        pgbench -n -r -c "$clients" -j 2 -T "$seconds" -f "$work/$kind.sql" >"$work/out" 2>&1
        tps=$(awk '/^tps/ { print $3 }' "$work/out")
        [ "$kind" != plain ] || plain=$tps
        awk -v clients="$clients" -v kind="$kind" -v tps="$tps" -v plain="$plain" \
            '/INSERT INTO likes_/ { printf "%d clients  %-10s %7.0f transactions/s  %.2f of plain  statement %s ms\n", clients, kind, tps, tps / plain, $1 }' "$work/out"
    done
done

sql <<'SQL' 2>&1 | sed 's/.*INFO: *//'
SET client_min_messages = info;
DO $$
DECLARE kind text; since bigint; n CONSTANT integer := 5000;
BEGIN
    FOREACH kind IN ARRAY ARRAY['plain', 'hand', 'silent', 'asked', 'inbox', 'mail', 'collapsed'] LOOP
        FOR warm IN 0..1 LOOP
            since := cpu_ns();
            FOR i IN 1..n LOOP
                EXECUTE format('INSERT INTO likes_%s VALUES ($1, $2)', kind)
                USING CASE WHEN kind IN ('mail', 'collapsed') THEN 'mail' ELSE 'inbox' END || i, 'ada' || warm;
            END LOOP;
        END LOOP;
        RAISE INFO '% CPU time of the statement: % us', rpad(kind, 10), round((cpu_ns() - since) / n / 1000.0, 1);
    END LOOP;
END $$;
SQL

timed() { psql -X -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'; }
printf '10,000 notifications in one transaction, inbox only: %s ms\n' "$(timed "SELECT count(mailer.notify('inbox' || n, 'news', 'liked', '{}', 'ada')) FROM generate_series(1, 10000) n")"
printf '10,000 notifications in one transaction, inbox and mail: %s ms\n' "$(timed "SELECT count(mailer.notify('mail' || n, 'news', 'liked', '{}', 'ada')) FROM generate_series(1, 10000) n")"
sql <<'SQL'
INSERT INTO mailer.notification (user_id, category, is_open, created_at, read_at)
SELECT CASE WHEN n % 50 = 0 THEN 'big' ELSE 'inbox' || n % 10000 END, 'news', false, now(), CASE WHEN n % 100 = 0 THEN now() END FROM generate_series(1, 1000000) n;
INSERT INTO mailer.notification_item (notification_id, user_id, category, template, variables, actor_id, created_at)
SELECT notification_id, user_id, category, 'liked', '{}', 'ada', created_at FROM mailer.notification n
WHERE NOT EXISTS (SELECT FROM mailer.notification_item i WHERE i.notification_id = n.notification_id);
VACUUM ANALYZE mailer.notification, mailer.notification_item;
SQL
for call in "mailer.inbox('big')" "mailer.inbox('inbox77')" "mailer.inbox_unread('big')" "mailer.inbox_unread('inbox77')"; do
    printf '%s of a million rows: %s ms\n' "$call" "$(for _ in 1 2 3; do timed "SELECT count(*) FROM $call"; done | sort -n | head -n 1)"
done
