#!/usr/bin/env bash
# What a forecast of a sequence costs: 100,000 leads, three steps each, over 20 mailboxes, to the last mail.
#
#   bench/forecast_steps.sh [LEADS [ROUNDS]]     in a private cluster, nothing is sent; 100,000 leads, 5 rounds
#
# Printed are the rows of campaign_forecast, and for each round the processor time of the session that asked, which repeats on a busy
# machine, and the wall-clock time; then the medians. Target: about 2 s. A few rows of it are asked for first, so that nothing is new.
set -euo pipefail
cd "$(dirname "$0")/.."
leads=${1:-100000} rounds=${2:-5}
if [ -z "${MAILER_CLUSTER:-}" ]; then exec scripts/cluster run --no-preload bench/forecast_steps.sh "$leads" "$rounds"; fi
sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

sql -v leads="$leads" 2>/dev/null >/dev/null <<'SQL'
CREATE EXTENSION mailer;
SELECT mailer.mailbox_create('box' || n, 'smtp.example.com', from_address => 'box' || n || '@example.com') FROM generate_series(1, 20) n;
SELECT mailer.template_set('hello', 'Hello', 'Dear {{name}}'), mailer.template_set('again', '', 'Once more, {{name}}');
SELECT mailer.campaign_create('spring', 'hello', ARRAY(SELECT 'box' || n FROM generate_series(1, 20) n), '08:00', '18:00', gap => '60 s',
    timezone => 'UTC', max_silence => NULL);
SELECT mailer.campaign_step_set(1, 2, 'again', '3 days'), mailer.campaign_step_set(1, 3, 'again', '5 days');
SELECT mailer.campaign_add_many(1, ARRAY(SELECT 'lead' || n || '@example.com' FROM generate_series(1, :leads) n));
SELECT mailer.campaign_start(1);
VACUUM ANALYZE;
SQL
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# All rounds in one session: a new one would load and prepare everything again.
{
    echo "SELECT count(*) FROM mailer.campaign_forecast(1, max_rows => 10) \g /dev/null"
    for _ in $(seq "$rounds"); do
        cat <<'SQL'
SELECT split_part(pg_read_file('/proc/' || pg_backend_pid() || '/schedstat'), ' ', 1) AS cpu, clock_timestamp() AS began \gset
SELECT count(*) AS forecast FROM mailer.campaign_forecast(1) \gset
SELECT :forecast, round((split_part(pg_read_file('/proc/' || pg_backend_pid() || '/schedstat'), ' ', 1)::bigint - :cpu) / 1e9, 2),
    round(extract(epoch FROM clock_timestamp() - :'began')::numeric, 2);
SQL
    done
} | sql -F ' ' >"$work/rounds"
awk '{ printf "%d rows: %.2f s of processor time, %.2f s\n", $1, $2, $3 }' "$work/rounds"
median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
printf 'median %s s of processor time, %s s\n' "$(cut -d ' ' -f 2 "$work/rounds" | median)" "$(cut -d ' ' -f 3 "$work/rounds" | median)"
