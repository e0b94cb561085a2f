-- Addresses as SQL sees them: the same parser and the same identity as in the sender (src/core/mail/address.hpp), so that a
-- lead, a suppression and a recipient are compared by one rule on every server and under every collation.

CREATE FUNCTION _parse_address(value text, OUT address text, OUT address_key text, OUT error text, OUT display_name text)
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_parse_address';
COMMENT ON FUNCTION _parse_address(text) IS
'One address, with or without a display name: address as it goes into the envelope, address_key its identity, display_name its name (NULL: none); or, when it is none, error
says why and the other two are NULL. All are NULL for NULL.';

CREATE FUNCTION _address_key(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_address_key';
COMMENT ON FUNCTION _address_key(text) IS
'Identity of an address: case-folded NFC local part, @, domain in lower-case A-labels, independent of collation. NULL when it is no address';

CREATE FUNCTION address(name text, address text) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_address';
COMMENT ON FUNCTION address(text, text) IS
'Combines a name and an address into one recipient, for enqueue() and similar functions: mailer.address(''Bob, B.'', ''bob@example.com'') is
"Bob, B." <bob@example.com>. Special characters in the name are quoted; control characters become blanks, and for NULL or an empty name it returns
the address alone. NULL for a NULL address. Errors: 22023 the second is not one mail address.';

REVOKE ALL ON FUNCTION _parse_address(text), _address_key(text), address(text, text) FROM PUBLIC;
