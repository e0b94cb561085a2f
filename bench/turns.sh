#!/usr/bin/env bash
# How long one mail of a tenant waits while another tenant has a million waiting: in one stream, and in thousands of
# batches; then the same with loaders, whose functions run in preparers.
#
#   bench/turns.sh [MAILS]     in a private cluster, smtp-sink as the mail server; 1,000,000
#
# Printed are median and maximum of sent_at - created_at of 40 single mails, with the backlog's rate meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
mails=${1:-1000000}
if [ -z "${MAILER_CLUSTER:-}" ]; then exec scripts/cluster run bench/turns.sh "$mails"; fi
. test/waiting
sink=$(PATH=$PATH:/usr/sbin command -v smtp-sink) || { echo "there is no smtp-sink"; exit 1; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_nobody=()
[ "$(id -u)" -ne 0 ] || as_nobody=(-u nobody)
"$sink" "${as_nobody[@]}" "127.0.0.1:$port" 200 </dev/null >/dev/null 2>&1 &
sink_pid=$!
trap 'kill "$sink_pid"' EXIT
sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

sql -v port="$port" 2>/dev/null <<'SQL' >/dev/null
CREATE EXTENSION mailer;
SELECT mailer.mailbox_create('relay', '127.0.0.1', :port, from_address => 'relay@example.com', tls => 'none', max_connections => 10);
SELECT mailer.template_set('ticket', 'Ticket {{id}}', 'Hello');
CREATE ROLE many LOGIN;
CREATE ROLE few LOGIN;
CREATE FUNCTION ticket_now(message_id bigint, v jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN v; END $$;
SELECT mailer.grant_sender('many'), mailer.grant_sender('few');
SQL
count_sent() { sql -c "SELECT sent FROM mailer.status()"; }
is_moving() { [ "$(count_sent)" -gt "$sent_before" ]; }
is_sent() { [ "$(sql -c "SELECT count(*) FROM mailer.outcome WHERE message_id = ANY ('{$ids}') AND state = 'S'")" = 40 ]; }
measure() {  # measure NAME LOADER: of what waits now
    sent_before=$(count_sent)
    sql -c "SELECT mailer.resume()" >/dev/null
    wait_for 120 is_moving
    local since n
    since=$(date +%s%N) sent_before=$(count_sent) ids=
    for n in $(seq 40); do
        ids+=${ids:+,}$(sql -v loader="$2" <<'SQL'
SET ROLE few;
SELECT mailer.enqueue('few@example.com', template => 'ticket', loader => nullif(:'loader', ''));
SQL
        )
    done
    wait_for 120 is_sent
    awk -v n=$(($(count_sent) - sent_before)) -v ns=$(($(date +%s%N) - since)) -v name="$1" -v waits="$(sql -c "SELECT pending FROM mailer.status()")" \
        'BEGIN { printf "%-16s %7d wait, %5.0f mails/s; ", name, waits, n / ns * 1e9 }'
    sql -c "SELECT format('one of another tenant waited %s ms, at most %s ms', round(1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY s)), round(1000 * max(s)))
        FROM (SELECT extract(epoch FROM sent_at - created_at) AS s FROM mailer.message_status WHERE message_id = ANY ('{$ids}')) w"
    sql -c "SELECT mailer.pause('filling')" -c "SELECT count(mailer.batch_cancel(batch_id)) FROM mailer.batch" >/dev/null
}
fill() {  # fill BATCHES GAP LOADER
    sql -c "SELECT mailer.pause('filling')" >/dev/null
    sql -v mails="$mails" -v batches="$1" -v gap="$2" -v loader="$3" >/dev/null <<'SQL'
SET ROLE many;
SELECT count(mailer.enqueue_batch(ARRAY(SELECT 'm' || n || '@example.com' FROM generate_series(1, :mails / :batches) n), template => 'ticket',
    gap => :'gap', loader => nullif(:'loader', ''), send_at => '2020-01-01')) FROM generate_series(1, :batches) b;
SQL
}
fill 10 0 "";                    measure "one stream" ""
fill 5000 "1 microsecond" "";    measure "5,000 batches" ""
fill 10 0 public.ticket_now;     measure "with loaders" public.ticket_now
