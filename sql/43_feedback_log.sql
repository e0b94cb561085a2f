-- What came back, as a view.

CREATE VIEW feedback_log AS
SELECT f.feedback_id AS id,
       f.at,
       f.kind,
       f.is_hard,
       f.message_id,
       f.campaign_id,
       f.address,
       f.code::integer AS code,
       f.enhanced_code,
       f.words,
       b.name AS mailbox,
       f.source,
       f.is_guess,
       f.evidence,
       f.judged,
       f.judged_by,
       f.address_key
FROM mailer.feedback f
LEFT JOIN mailer.mailbox b ON b.mailbox_id = f.mailbox_id;
COMMENT ON VIEW feedback_log IS 'Feedback to messages: bounces, delays, complaints, replies, automatic answers; each report once';
COMMENT ON COLUMN feedback_log.id IS 'Grows; of the same order as event_log''s ids';
COMMENT ON COLUMN feedback_log.kind IS 'bounce, delay, delivered, complaint, reply, auto_reply or unsubscribe';
COMMENT ON COLUMN feedback_log.is_hard IS 'A bounce because the address is dead';
COMMENT ON COLUMN feedback_log.address IS 'The recipient that it concerns, or who answered';
COMMENT ON COLUMN feedback_log.words IS 'The mail server''s words, or the subject of an answer';
COMMENT ON COLUMN feedback_log.mailbox IS 'The mailbox that the mail was sent from';
COMMENT ON COLUMN feedback_log.source IS 'How it came: imap, smtp, pipe (mailer.ingest), or a provider''s webhook';
COMMENT ON COLUMN feedback_log.is_guess IS 'Matched by address and time alone, or a person''s words taken as a request: it stops sequences and nothing else';
COMMENT ON COLUMN feedback_log.evidence IS 'What ties it to the message: id, text, address or lead';
COMMENT ON COLUMN feedback_log.judged IS 'A person''s judgement of a guess: confirmed (feedback_confirm) or taken_back (feedback_take_back)';
COMMENT ON COLUMN feedback_log.address_key IS 'Identity of the recipient that it concerns: of the lead, in a campaign (lead_status.address_key)';
