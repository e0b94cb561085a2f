// How bounces without a standard are distinguished from other mail: one line a sign, with the sample it is for.
// Included by bounce_text.cpp and its test alone. Subjects and texts are written as comparable() writes them.
#pragma once

#include <string_view>

namespace mailer::core::feedback {

struct Sign {
    std::string_view text;
    std::string_view sample;
};

// Local parts of From and Return-Path that only machines use.
inline constexpr Sign machine_senders[] = {
    {"mailer-daemon", "MAILER-DAEMON@mx.example.com"},
    {"mailerdaemon", "MailerDaemon@example.com"},
    {"mail-daemon", "mail-daemon@example.com"},
    {"postmaster", "Postmaster@example.jp (Domino)"},
    {"post_master", "post_master@example.com (James)"},
    {"mail.delivery.system", "Mail.Delivery.System@mx.example.com"},
    {"maildelivery", "maildelivery@example.com"},
    {"mailsystem", "mailsystem@example.com"},
    {"bounce-notification", "bounce-notification@example.com"},
};

// Beginnings of subjects, unless a person's "Re:" or "Fwd:" stands before.
inline constexpr Sign bounce_subjects[] = {
    {"undelivered mail returned", "Undelivered Mail Returned to Sender (Postfix, Zoho)"},
    {"undeliverable", "Undeliverable: Nyaan (Exchange), Undeliverable Mail (IMail), Undeliverable message (Notes)"},
    {"undelivered message", "Undelivered Message Returned"},
    {"delivery status notif", "Delivery Status Notification (Failure) (Gmail, Outlook, SES, OpenSMTPD)"},
    {"returned mail", "Returned mail: User unknown (sendmail)"},
    {"returned to sender", "Returned to sender"},
    {"mail delivery failed", "Mail delivery failed: returning message to sender (Exim, GMX, DragonFly)"},
    {"mail delivery failure", "Mail delivery failure"},
    {"mail delivery system", "Mail Delivery System"},
    {"message delivery has failed", "Message delivery has failed (MailFoundry)"},
    {"message delivery fail", "Message Delivery Failure"},
    {"mail failure", "Mail failure"},
    {"mail failed", "mail failed, returning to sender"},
    {"failure notice", "failure notice (qmail, Yahoo)"},
    {"delivery fail", "DELIVERY FAILURE: … (Domino), Delivery failure"},
    {"failed delivery", "failed delivery"},
    {"delivery notification", "Delivery Notification: Delivery has failed (Sun, PMDF)"},
    {"delivery report", "Delivery report (PowerMTA)"},
    {"delivery has failed", "Delivery has failed"},
    {"delivery status", "Delivery Status (McAfee)"},
    {"mail system error", "Mail System Error - Returned Mail (ezweb)"},
    {"mail could not be delivered", "Mail could not be delivered"},
    {"message could not be delivered", "Message could not be delivered"},
    {"could not deliver", "Could not deliver your message"},
    {"notice: mail delivery status", "NOTICE: mail delivery status. (Courier)"},
    {"postmaster notify", "Postmaster notify: see transcript for details (sendmail)"},
    {"there was an error sending your mail", "There was an error sending your mail"},
    {"non-delivery", "Non-delivery report"},
    {"nondeliverable", "Nondeliverable mail"},
    {"unzustellbar", "Unzustellbar: Nyaan (Exchange)"},
    {"non remis", "Non remis : Nyaan (Exchange)"},
    {"no se puede entregar", "No se puede entregar: Nyaan (Exchange)"},
    {"non recapitabile", "Non recapitabile: Nyaan (Exchange)"},
    {"niet bezorgd", "Niet bezorgd: Nyaan"},
    {"nie mo\xc5\xbcna dostarczy\xc4\x87", "Nie mo\xc5\xbcna dostarczy\xc4\x87: Nyaan"},
    {"\xd0\x92\xd0\xb0\xd1\x88\xd0\xb5 \xd1\x81\xd0\xbe\xd0\xbe\xd0\xb1\xd1\x89\xd0\xb5\xd0\xbd\xd0\xb8\xd0\xb5 "
     "\xd0\xbd\xd0\xb5 \xd0\xb4\xd0\xbe\xd1\x81\xd1\x82\xd0\xb0\xd0\xb2\xd0\xbb\xd0\xb5\xd0\xbd\xd0\xbe",
     "Your message was not delivered, in Russian (Mail.Ru)"},
    {"\xd0\x9d\xd0\xb5\xd0\xb4\xd0\xbe\xd1\x81\xd1\x82\xd0\xb0\xd0\xb2\xd0\xbb\xd0\xb5\xd0\xbd\xd0\xbd\xd0\xbe\xd0\xb5",
     "Undelivered message, in Russian (Yandex)"},
};

// Words of subjects, anywhere, that say the same where a machine sent it.
inline constexpr Sign delay_subjects[] = {
    {"(delay)", "Delivery Status Notification (Delay) (Gmail)"},
    {"delayed", "Warning: message 1a2b delayed 24 hours (Exim)"},
    {"still being retried", "Delayed Mail (still being retried) (Postfix)"},
    {"delivery delay", "Delivery delay"},
};

// Sentences that only a mail server writes of its own failure.
inline constexpr Sign failure_texts[] = {
    {"could not be delivered", "could not be delivered to one or more of its recipients (Exim, Postfix)"},
    {"not able to be delivered", "your message was not able to be delivered (SendGrid)"},
    {"not be delivered", "cannot be delivered to the following recipients (PMDF)"},
    {"cannot be delivered", "Your message cannot be delivered to the following recipients (PMDF)"},
    {"could not deliver", "could not deliver mail to (Exim)"},
    {"couldn't deliver", "we couldn't deliver your message"},
    {"couldn't be delivered", "Your message couldn't be delivered (Office 365)"},
    {"wasn't delivered", "Your message wasn't delivered"},
    {"was not delivered", "was not delivered to: (Domino)"},
    {"wasn't able to deliver", "I'm afraid I wasn't able to deliver your message (qmail)"},
    {"unable to deliver", "Unable to deliver message to the following address(es). (Yahoo, MailFoundry)"},
    {"trouble delivering", "We had trouble delivering your message."},
    {"error delivering your mail", "There was an error delivering your mail to <a@b>. (DragonFly)"},
    {"delivery to the following recipient", "Delivery to the following recipient failed permanently (Gmail, Outlook)"},
    {"delevery to the following recipient", "Delevery to the following recipients failed permanently"},
    {"delivery has failed", "Delivery has failed to these recipients or groups (Exchange)"},
    {"error occurred while", "An error occurred while trying to deliver the mail (WorkMail, OpenSMTPD)"},
    {"error has occurred while attempting to deliver", "An error has occurred while attempting to deliver (OpenSMTPD)"},
    {"had permanent fatal errors", "The following addresses had permanent fatal errors (sendmail)"},
    {"had delivery problems", "The following addresses had delivery problems"},
    {"had delivery errors", "The following addresses had delivery errors"},
    {"transcript of session follows", "----- Transcript of session follows ----- (sendmail)"},
    {"did not reach the following recipient", "did not reach the following recipient(s): (Exchange 2003)"},
    {"did not receive this message", "The following recipients did not receive this message (ezweb)"},
    {"was rejected by a remote mail server", "Each of the following recipients was rejected by a remote mail server."},
    {"address(es) failed", "The following address(es) failed: (Exim)"},
    {"address failed", "The following address failed:"},
    {"failed addresses follow", "Failed addresses follow:"},
    {"failure reasons", "------- Failure Reasons -------- (Notes)"},
    {"error message below", "Error message below: 550 - Requested action not taken (James)"},
    {"server message 5", "-------server message 550 unknown user <a@b> (m-FILTER)"},
    {"undeliverable to", "undeliverable to a@example.com (IMail)"},
    {"unknown user:", "Unknown user: a@example.com (IMail)"},
    {"invalid final delivery userid", "Invalid final delivery userid: a@example.com (IMail)"},
    {"account is disabled", "The user(s) account is disabled. (ezweb)"},
    {"could not be sent", "your message could not be sent"},
    {"message bounced", "message bounced by administrator"},
    {"has been rejected", "Your message has been rejected"},
    {"not a member of this mailing list", "You are not a member of this mailing list (fml)"},
    {"delivery attempts will continue", "Delivery attempts will continue for some time (Exim)"},
    {"has not yet been delivered", "has not yet been delivered to one or more of its recipients (Exim)"},
    {"has been delayed", "Delivery to the following recipient has been delayed (Gmail)"},
    {"is delayed for more than", "A message is delayed for more than 4 hours (OpenSMTPD)"},
};

inline constexpr Sign delay_texts[] = {
    {"has not yet been delivered", "The address to which the message has not yet been delivered is: (Exim)"},
    {"has been delayed", "Delivery to the following recipient has been delayed: (Gmail, Outlook)"},
    {"is delayed for more than", "A message is delayed for more than 4 hours (OpenSMTPD)"},
    {"warning message only", "THIS IS A WARNING MESSAGE ONLY. (sendmail, Gmail)"},
    {"do not need to resend", "YOU DO NOT NEED TO RESEND YOUR MESSAGE. (sendmail)"},
    {"delivery attempts will continue", "Delivery attempts will continue for some time (Exim)"},
};

// Lines, without the blanks and dashes around them, after which the original follows.
inline constexpr Sign copy_lines[] = {
    {"this is a copy of", "------ This is a copy of the message, including all the headers. ------ (Exim)"},
    {"below this line is a copy", "--- Below this line is a copy of the message. (qmail, Yahoo)"},
    {"below this line is the original", "--- Below this line is the original bounce."},
    {"enclosed is a copy", "--- Enclosed is a copy of the message. (qmail)"},
    {"below is a copy of", "Below is a copy of the original message: (OpenSMTPD)"},
    {"original message", "----- Original message ----- (Gmail), Original message follows. (IMail), Original Message:"},
    {"original mail info", "-------original mail info (m-FILTER)"},
    {"message headers follow", "Message headers follow. (DragonFly)"},
    {"message text follows", "|--- Message text follows: ---|"},
    {"message header follows", "Message header follows"},
    {"unsent message follows", "----- Unsent message follows ----- (sendmail)"},
    {"the header of the original", "--- The header of the original message is following. --- (GMX)"},
    {"included is a copy", "Included is a copy of the message header: (MXLogic)"},
    {"returned message", "------- Returned Message -------- (Notes)"},
    {"returned mail follows", "Returned mail follows"},
    {"message follows", "--- message follows ---"},
    {"undelivered message follows", "--- undelivered message follows"},
    {"received:", "Received: from … at the start of a line"},
    {"return-path:", "Return-Path: <a@b> at the start of a line"},
};

// What stands before an address that failed, on its line.
inline constexpr Sign address_leads[] = {
    {"delivering your mail to", "There was an error delivering your mail to <a@b>."},
    {"unable to deliver message to:", "Unable to deliver message to: <a@b> (MailFoundry)"},
    {"could not be delivered to:", "Could not be delivered to: <a@b> (KDDI)"},
    {"undeliverable to", "undeliverable to a@b (IMail)"},
    {"unknown user:", "Unknown user: a@b (IMail)"},
    {"invalid final delivery userid:", "Invalid final delivery userid: a@b (IMail)"},
    {"rcpt to:", "  RCPT TO: a@b (James)"},
    {"recipient address:", "Recipient address: a@b (PMDF)"},
    {"recipient:", "    Recipient: <a@b> (ezweb)"},
    {"returned permanent errors:", "The following recipients returned permanent errors: a@b."},
    {"did not reach the following recipient:", "Did not reach the following recipient: a@b"},
    {"expanded from:", "(expanded from: <a@b>) (sendmail)"},
};

}  // namespace mailer::core::feedback
