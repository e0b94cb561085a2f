# Sourced with the stage: COUNT follow-ups whose replies are committed while they are handed over, KILLS of them by a sender that is
# killed meanwhile.
count=$1 kills=$2
sql -c "CREATE EXTENSION mailer"
"$top/test/servers/answering.py" "$scratch/answering" "$count" "$kills" </dev/null >"$scratch/answering.log" 2>&1 &
catchalls+=("$!")
server=$!
wait_for 10 test -s "$scratch/answering/port" || fail "the server doesn't start"
export PGOPTIONS='-c client_min_messages=error'
sql -v port="$(cat "$scratch/answering/port")" -v count="$count" <<'SQL' >/dev/null
SELECT mailer.mailbox_create('anna', '127.0.0.1', :port, 'anna@example.com', tls => 'none', timezone => 'UTC');
SELECT mailer.template_set('first', 'Hello', 'Would you like to see it?');
SELECT mailer.template_set('second', '', repeat('Did you see my mail? ', 200));
SELECT mailer.campaign_create('outreach', 'first', '{anna}', window_start => '00:00', window_end => '00:00',
    allowed_days => '{MON,TUE,WED,THU,FRI,SAT,SUN}', gap => '0.01 s', jitter => 0, timezone => 'UTC', max_silence => NULL);
SELECT mailer.campaign_step_set(1, 2, 'second', '1 s');
SELECT mailer.campaign_add_many(1, ARRAY(SELECT 'lead' || i || '@example.com' FROM generate_series(1, :count) i));
SELECT mailer.campaign_start(1);
SQL
played() { [ -s "$scratch/answering/summary" ] || ! kill -0 "$server" 2>/dev/null; }
wait_for $((60 + count + 5 * kills)) played || fail "not all follow-ups came to their moment"
[ -s "$scratch/answering/summary" ] || { cat "$scratch/answering.log"; fail "the server gave up"; }
cat "$scratch/answering/summary"
of() { awk -v moment="$1" -v column="$2" '$1 == moment || moment == "all" { sum += $column } END { print sum + 0 }' "$scratch/answering/summary"; }
same "follow-ups that left after their reply" 0 "$(of all 4)"
for moment in rcpt data committed; do
    same "taken although the reply came at $moment" 0 "$(of $moment 2)"
    [ "$(of $moment 3)" -gt 0 ] || fail "no reply came at $moment"
done
same "given up although the reply was rolled back" 0 "$(of undone 3)"
[ "$(of undone 2)" -gt 0 ] || fail "no reply was rolled back"
same "senders that were killed" "$kills" "$(($(of killed 2) + $(of killed 3)))"
# The race was one: sometimes the dot was first, sometimes the reply.
[ "$(of race 2)" -gt 0 ] || fail "no dot was before its reply"
[ "$(of race 3)" -gt 0 ] || fail "no reply was before its dot"
same "those who never answer get their follow-up" "$((count / 7))" "$(of silent 2)"
until_true 60 "(SELECT count(*) = 0 FROM mailer.queue)"
# Where the sender died the dot may have left, or have been about to.
in_doubt=$(value "SELECT count(*) FROM mailer.message_status WHERE state = 'unconfirmed'")
[ "$in_doubt" -ge "$(of killed 2)" ] && [ "$in_doubt" -le "$kills" ] || fail "$in_doubt unconfirmed after $kills kills"
same "what was taken back has ended with its lead" "$(($(of all 3) + $(of killed 2) - in_doubt))" \
    "$(value "SELECT count(*) FROM mailer.message_status WHERE state = 'cancelled' AND reason = 'replied'")"
same "every reply ended a sequence" "$((count - count / 7 - $(of undone 2)))" "$(value "SELECT count(*) FROM mailer.lead_status WHERE state = 'replied'")"
same "invariants" "" "$(value "SELECT string_agg(invariant || ' ' || sample, '; ') FROM mailer.verify() WHERE violations > 0")"
same "no lock is left" 0 "$(value "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")"
