#!/usr/bin/env bash
# What queueing costs: enqueue, enqueue_batch and campaign_add_many against plain inserts of the same rows.
#
#   bench/enqueue.sh [SECONDS [ROUNDS]]     in a private cluster with fsync on; 2 seconds a measurement, 10 of each
#
# Every transaction is the application's: it inserts a ticket, and then either inserts the mail into a plain table with
# the columns and constraints of mailer.message and one index, or calls mailer.enqueue. Measured are the transactions
# a second at 1 and 8 clients and the time of the statement alone, parsed each time and prepared, and the backend's CPU
# time for it, which is what repeats on a busy machine. The batch and the campaign are 100,000 recipients in one call,
# against INSERT … SELECT into a copy of the message table with one index, and into copies of both tables with all their
# indexes. Last, what a tenant's max_pending costs. Ratios are of medians, or the median of pairs with the smallest and the largest.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-2} rounds=${2:-10}
if [ -z "${MAILER_CLUSTER:-}" ]; then exec scripts/cluster run --fsync --no-preload bench/enqueue.sh "$seconds" "$rounds"; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

sql 2>/dev/null <<'SQL'
CREATE EXTENSION mailer;
SELECT FROM mailer.mailbox_create('box', 'localhost', from_address => 'box@example.com', timezone => 'UTC');
CREATE TABLE ticket (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text);
CREATE TABLE plain (LIKE mailer.message INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
CREATE UNIQUE INDEX ON plain (message_id);
CREATE FUNCTION cpu_ns() RETURNS bigint LANGUAGE sql VOLATILE AS
    $$ SELECT split_part(pg_read_file('/proc/' || pg_backend_pid() || '/schedstat'), ' ', 1)::bigint $$;
SQL

body='Hello Ada, there is a new ticket. Please have a look at it.'
plain="INSERT INTO plain (tenant_id, principal_id, lane_id, addresses, roles, address_key, header_to, internet_message_id, subject, body_text) VALUES (1, 1, 1, '{ada@example.com}', 't', 'ada@example.com', 'Ada <ada@example.com>', '<1.a70f6152cf9fe421@example.com>', 'Ticket 156 was opened', '$body')"
enqueue="SELECT mailer.enqueue('Ada <ada@example.com>', 'Ticket 156 was opened', '$body')"
for kind in plain enqueue; do
    printf 'BEGIN;\nINSERT INTO ticket (title) VALUES (%s);\n%s;\nCOMMIT;\n' "'It broke'" "${!kind}" >"$work/$kind.sql"
done

# In turn, for the machine is not the same machine a minute later; and with processors that are kept awake, where this
# user may: while a commit waits for the disk a virtual machine's fall asleep, and waking up took longer than the statement.
if [ -w /dev/cpu_dma_latency ]; then
    exec 5>/dev/cpu_dma_latency
    printf '\0\0\0\0' >&5
else
    echo "processors may fall asleep: times of one client are mostly waking up"
fi
median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
for how in "1 simple" "8 simple" "1 prepared" "8 prepared"; do
    read -r clients protocol <<<"$how"
    rm -f "$work"/*.ms "$work"/*.tps
    for _ in $(seq "$rounds"); do
        for kind in plain enqueue; do
            sql -c CHECKPOINT
            pgbench -n -r -M "$protocol" -c "$clients" -j 2 -T "$seconds" -f "$work/$kind.sql" >"$work/out" 2>&1
            awk '/^tps/ { print $3 }' "$work/out" >>"$work/$kind.tps"
            awk '/INSERT INTO plain|mailer.enqueue/ { ms = $1 } END { print ms }' "$work/out" >>"$work/$kind.ms"
        done
    done
    printf '%d clients, %-8s  medians of %d: plain %5.0f transactions/s, statement %.3f ms; enqueue %5.0f, %.3f ms; ' \
        "$clients" "$protocol" "$rounds" "$(median <"$work/plain.tps")" "$(median <"$work/plain.ms")" \
        "$(median <"$work/enqueue.tps")" "$(median <"$work/enqueue.ms")"
    paste "$work/plain.ms" "$work/enqueue.ms" | awk '{ print $2 / $1 }' | sort -n |
        awk '{ x[NR] = $1 } END { printf "x %.2f (%.2f to %.2f)\n", x[int((NR + 1) / 2)], x[1], x[NR] }'
done

sql -v plain="$plain" -v enqueue="$enqueue" <<'SQL' 2>&1 | sed 's/.*INFO: *//'
SET client_min_messages = info;
SELECT set_config('bench.plain', :'plain', false), set_config('bench.enqueue', :'enqueue', false) \g /dev/null
DO $$
DECLARE kind text; since bigint; n CONSTANT integer := 10000;
BEGIN
    FOREACH kind IN ARRAY ARRAY['plain', 'enqueue', 'plain', 'enqueue'] LOOP
        EXECUTE current_setting('bench.' || kind);
        since := cpu_ns();
        FOR i IN 1..n LOOP EXECUTE current_setting('bench.' || kind); END LOOP;
        RAISE INFO '% CPU time of the statement, parsed each time: % us', rpad(kind, 8), round((cpu_ns() - since) / n / 1000.0, 1);
    END LOOP;
END $$;
SQL

sql <<'SQL' 2>&1 | sed 's/.*INFO: *//'
SET client_min_messages = info;
CREATE TABLE message_copy (LIKE mailer.message INCLUDING ALL);
CREATE TABLE queue_copy (LIKE mailer.queue_entry INCLUDING ALL);
CREATE TEMP TABLE rows_of_batch AS
    SELECT n, 'User ' || n || ' <user' || n || '@example.com>' AS recipient, 'user' || n || '@example.com' AS address,
        '<' || n || '.a70f6152cf9fe421@example.com>' AS message_id FROM generate_series(1, 100000) n;
CREATE TEMP TABLE measured (what text, cpu_ms float, ms float);
CREATE FUNCTION report(what text, since bigint, started timestamptz) RETURNS void LANGUAGE sql AS $$
    INSERT INTO measured VALUES (what, (cpu_ns() - since) / 1e6, extract(epoch FROM clock_timestamp() - started) * 1000)
$$;
DO $$
DECLARE since bigint; started timestamptz; recipients text[] := (SELECT array_agg(recipient ORDER BY n) FROM rows_of_batch);
    subject CONSTANT text := 'Ticket 156 was opened';
    body CONSTANT text := 'Hello Ada, there is a new ticket. Please have a look at it.';
    campaign bigint;
BEGIN
    PERFORM mailer.template_set('ticket', subject, body);
    FOR round IN 1..5 LOOP
        TRUNCATE plain, message_copy, queue_copy;
        since := cpu_ns(); started := clock_timestamp();
        INSERT INTO plain (tenant_id, principal_id, lane_id, addresses, roles, address_key, header_to, internet_message_id, subject, body_text)
        SELECT 1, 1, 1, ARRAY[address], 't', address, recipient, message_id, subject, body FROM rows_of_batch;
        PERFORM report('message rows, one index', since, started);

        since := cpu_ns(); started := clock_timestamp();
        INSERT INTO message_copy (message_id, tenant_id, principal_id, lane_id, batch_id, addresses, roles, address_key, header_to,
            internet_message_id, subject, body_text)
        SELECT n, 1, 1, 1, 1, ARRAY[address], 't', address, recipient, message_id, subject, body FROM rows_of_batch;
        INSERT INTO queue_copy (message_id, lane_id, priority, due_at, epoch) SELECT n, 1, 2, now(), 1 FROM rows_of_batch;
        PERFORM report('message and queue rows, all indexes', since, started);

        since := cpu_ns(); started := clock_timestamp();
        PERFORM mailer.enqueue_batch(recipients, subject, body);
        PERFORM report('mailer.enqueue_batch', since, started);

        campaign := mailer.campaign_create('campaign ' || round, 'ticket', ARRAY['box']);
        since := cpu_ns(); started := clock_timestamp();
        PERFORM mailer.campaign_add_many(campaign, recipients);
        PERFORM report('mailer.campaign_add_many', since, started);
    END LOOP;
END $$;
WITH medians AS (
    SELECT what, percentile_cont(0.5) WITHIN GROUP (ORDER BY cpu_ms) AS cpu_ms, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS ms
    FROM measured GROUP BY what
)
SELECT format('100,000 mails, medians of 5: %s CPU %s ms, in all %s ms; x %s and x %s', rpad(m.what, 36), round(m.cpu_ms), round(m.ms),
    round((m.cpu_ms / o.cpu_ms)::numeric, 2), round((m.ms / o.ms)::numeric, 2))
FROM medians m, medians o WHERE o.what = 'message rows, one index' ORDER BY m.ms;
SQL

# The same statement of a tenant without max_pending and with one; it is counted in the tables once in so many mails as there
# is room for.
sql <<'SQL' 2>&1 | sed 's/.*INFO: *//'
SET client_min_messages = info;
CREATE ROLE bench_app;
GRANT EXECUTE ON FUNCTION cpu_ns() TO bench_app;
GRANT pg_read_server_files TO bench_app;
SELECT mailer.grant_sender('bench_app') \g /dev/null
CREATE FUNCTION limit_to(n jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ SELECT mailer.tenant_alter('bench_app', jsonb_build_object('max_pending', n)) $$;
ALTER FUNCTION cpu_ns() SECURITY DEFINER;
SET ROLE bench_app;
DO $$
DECLARE since bigint; n CONSTANT integer := 5000; used bigint[] := '{0,0}'; many jsonb[] := '{null,1000000}';
BEGIN
    FOR round IN -2..19 LOOP  -- the first two to warm up
        PERFORM public.limit_to(many[(round + 2) % 2 + 1]);
        PERFORM mailer.enqueue('Ada <ada@example.com>', 'Ticket 156 was opened', 'Hello Ada, there is a new ticket.');
        since := public.cpu_ns();
        FOR i IN 1..n LOOP PERFORM mailer.enqueue('Ada <ada@example.com>', 'Ticket 156 was opened', 'Hello Ada, there is a new ticket.'); END LOOP;
        IF round >= 0 THEN
            used[round % 2 + 1] := used[round % 2 + 1] + public.cpu_ns() - since;
        END IF;
    END LOOP;
    RAISE INFO 'CPU time of the statement without max_pending: % us, with it: % us, x %', round(used[1] / 10.0 / n / 1000, 2), round(used[2] / 10.0 / n / 1000, 2),
        round(used[2]::numeric / used[1], 3);
END $$;
SQL
