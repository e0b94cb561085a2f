#!/usr/bin/env bash
# Late-bound mails a second: a loader in PL/pgSQL reads a row for each, in a process of its own; beside them the same
# mails with their variables stored.
#
#   bench/late_bound.sh [MAILS]     in a private cluster with fsync on, smtp-sink as the mail server; 20,000 of each
#
# Printed are mails a second from resume() to the last `sent`, in turn, three rounds, the processor time that the
# sender and the preparers took for a mail, and how many preparers there were.
set -euo pipefail
cd "$(dirname "$0")/.."
mails=${1:-20000}
if [ -z "${MAILER_CLUSTER:-}" ]; then exec scripts/cluster run --fsync bench/late_bound.sh "$mails"; fi
. test/waiting
sink=$(PATH=$PATH:/usr/sbin command -v smtp-sink) || { echo "there is no smtp-sink"; exit 1; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_nobody=()
[ "$(id -u)" -ne 0 ] || as_nobody=(-u nobody)
"$sink" "${as_nobody[@]}" "127.0.0.1:$port" 200 </dev/null >/dev/null 2>&1 &
sink_pid=$!
trap 'kill "$sink_pid"' EXIT
sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

sql -v port="$port" -v mails="$mails" 2>/dev/null <<'SQL' >/dev/null
CREATE EXTENSION mailer;
SELECT mailer.mailbox_create('relay', '127.0.0.1', :port, from_address => 'relay@example.com', tls => 'none', max_connections => 50);
SELECT mailer.template_set('ticket', 'Ticket {{id}}: {{title}}', E'Hello,\n\n{{title}}\n');
CREATE TABLE ticket (id bigint PRIMARY KEY, title text);
INSERT INTO ticket SELECT n, 'printer ' || n FROM generate_series(1, :mails) n;
VACUUM ANALYZE ticket;
CREATE FUNCTION ticket_now(message_id bigint, v jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS
    $$ BEGIN RETURN (SELECT jsonb_build_object('id', t.id, 'title', t.title) FROM public.ticket t WHERE t.id = (v ->> 'id')::bigint); END $$;
CREATE ROLE app LOGIN;
SELECT mailer.grant_sender('app');
GRANT SELECT ON ticket TO app;
SQL
is_done() { [ "$(sql -c "SELECT pending + sending FROM mailer.status()")" = 0 ]; }
senders() { pgrep -f 'mailer worker' || true; }
preparers() { pgrep -f 'mailer preparer' || true; }
# In ticks of a hundredth of a second, of the processes that are there now.
ticks() { for pid in "$@"; do awk '{ print $14 + $15 }' "/proc/$pid/stat" 2>/dev/null || true; done | awk '{ n += $1 } END { print n + 0 }'; }
drain() {  # drain NAME LOADER
    sql -c "SELECT mailer.pause('filling')" >/dev/null
    sql -v mails="$mails" -v loader="$2" >/dev/null <<'SQL'
SET ROLE app;
SELECT count(mailer.enqueue('lead' || n || '@example.com', template => 'ticket', loader => nullif(:'loader', ''),
    variables => jsonb_build_object('id', n, 'title', 'printer ' || n))) FROM generate_series(1, :mails) n;
SQL
    sql -c CHECKPOINT
    local began ended before sender_before
    # shellcheck disable=SC2046  # words are wanted
    before=$(ticks $(preparers)) sender_before=$(ticks $(senders))
    began=$(date +%s%N)
    sql -c "SELECT mailer.resume()" >/dev/null
    wait_for 300 is_done
    ended=$(date +%s%N)
    # shellcheck disable=SC2046
    awk -v name="$1" -v n="$mails" -v ns=$((ended - began)) -v ticks=$(($(ticks $(preparers)) - before)) \
        -v sender=$(($(ticks $(senders)) - sender_before)) -v count="$(preparers | wc -l)" \
        'BEGIN { printf "%-6s %6.0f mails/s, processor time a mail: %3.0f us of the sender, %3.0f us of %d preparers\n", name, n / ns * 1e9, sender * 1e4 / n, ticks * 1e4 / n, count }'
}
for _ in 1 2 3; do
    drain stored ""
    drain loaded public.ticket_now
done
