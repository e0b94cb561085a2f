# Sourced by the tests of mail that a real server takes and bounces later, once Dovecot submits to it: its reports come into a
# Dovecot mailbox, and the listener finds whom each is about, whether it is hard, and what it belongs to, in mails to one and to several recipients.

sql -c "CREATE EXTENSION mailer"
sql -v port="$SUBMISSION_PORT" -v imap="$IMAPS_PORT" -v ca="$DOVECOT_CA" -v password="$DOVECOT_PASSWORD" <<'SQL' >/dev/null
SELECT mailer.mailbox_create(name, 'localhost', :port, name || '@example.com', username => name || '@example.com') FROM (VALUES ('ada'), ('bea')) v(name);
SELECT mailer.mailbox_alter(name, jsonb_build_object('ca_file', :'ca', 'imap_host', 'localhost', 'imap_port', :imap)) FROM (VALUES ('ada'), ('bea')) v(name);
SELECT mailer.mailbox_set_password(name, :'password') FROM (VALUES ('ada'), ('bea')) v(name);
SELECT mailer.mailbox_alter('bea', '{"dsn": null}');
SQL
until_true 30 "(SELECT bool_and(listen_state = 'listening') FROM mailer.mailbox_status)"
declare -F try_again >/dev/null || try_again() { :; }  # by itself, every second
send() { value "SELECT mailer.enqueue('$2', 'S', 'B', mailbox => '$1')"; }
for box in ada bea; do
    good=$(send $box good@mx.example)
    gone=$(send $box gone@mx.example)
    full=$(send $box full@mx.example)
    several=$(send $box 'good@mx.example, left@mx.example, other@mx.example')
    until_true 60 "(SELECT bool_and(state = 'sent') FROM mailer.message_status WHERE message_id IN ($good, $gone, $full, $several))"
    until_true 60 "(SELECT count(*) = 4 FROM mailer.feedback_log WHERE mailbox = '$box' AND kind = 'bounce')"
    true_now "$box: the right mails, addresses and codes" "(SELECT array_agg(format('%s %s %s %s', message_id, address, is_hard, enhanced_code) ORDER BY message_id, address)
        = ARRAY['$gone gone@mx.example t 5.1.1', '$full full@mx.example f 5.2.2', '$several left@mx.example t 5.1.1', '$several other@mx.example f 5.2.2']
        FROM mailer.feedback_log WHERE mailbox = '$box' AND kind = 'bounce')"
    true_now "$box: none of it is a guess" "(SELECT bool_and(NOT is_guess AND source = 'imap' AND evidence = 'id') FROM mailer.feedback_log WHERE mailbox = '$box')"
    true_now "$box: results" "(SELECT array_agg(result ORDER BY message_id) = ARRAY['accepted', 'bounced', 'accepted', 'bounced'] FROM mailer.message_status WHERE mailbox = '$box')"

    # What is put off: the server says after a while that it goes on trying. That is no bounce, and stops nothing.
    slow=$(value "SELECT mailer.enqueue('slow@mx.example', 'S', 'B', mailbox => '$box', options => $([ $box = ada ] && echo "'{\"dsn\": \"failure,delay\"}'" || echo NULL))")
    until_true 60 "(SELECT state = 'sent' FROM mailer.message_status WHERE message_id = $slow)"
    is_put_off() { try_again && is_true "SELECT EXISTS (SELECT FROM mailer.feedback_log WHERE mailbox = '$box' AND kind = 'delay')"; }
    wait_for 60 is_put_off || fail "$box: no delay is logged"
    true_now "$box: the delay is this mail's" "(SELECT bool_and(message_id = $slow AND address = 'slow@mx.example' AND NOT is_guess AND NOT is_hard) FROM mailer.feedback_log WHERE mailbox = '$box' AND kind = 'delay')"
    true_now "$box: it changes nothing" "(SELECT result = 'accepted' FROM mailer.message_status WHERE message_id = $slow)"
    same "$box: suppressed for it" 0 "$(value "SELECT count(*) FROM mailer.suppression_list WHERE address = 'slow@mx.example'")"
    sql -c "SELECT mailer.unsuppress(address) FROM mailer.suppression_list" >/dev/null
done
# What told the two mails apart: the envelope's id where the server takes one and reports it (OpenSMTPD doesn't), else the header that comes back.
[ "${has_envelope_ids:-yes}" = no ] || grep -rqsi '^Original-Envelope-Id: ' "$scratch/dovecot/home/ada@example.com/mail" || fail "no report of ada's names its envelope"
! grep -rqsi '^Original-Envelope-Id: ' "$scratch/dovecot/home/bea@example.com/mail" || fail "bea's mails had an ENVID"
same "bounced mails in the log of metrics" 4 "$(value "SELECT mailer.metrics()" >/dev/null; value "SELECT recent FROM mailer._metric_feedback() WHERE kind = 'hard_bounce' AND \"window\" = '1h'")"
same "mails marked as read" 0 "$(doveadm -c "$DOVECOT_CONF" fetch -u ada@example.com flags mailbox INBOX all | grep -c Seen || true)"
true_now "every invariant holds" "(SELECT sum(violations) = 0 FROM mailer.verify())"
