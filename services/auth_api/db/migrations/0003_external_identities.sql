-- People whom the site or an OpenID provider signs in. Safe beside the previous release: it makes accounts with a password
-- as before, and one without it can sign in with none.

ALTER TABLE users
    ALTER COLUMN password_hash DROP NOT NULL,
    ADD COLUMN display_name text,
    ADD COLUMN email text;

-- Who a person is elsewhere: an id, and who gives it (`site`, or the issuer of an OpenID provider). Never an e-mail or name.
CREATE TABLE external_identities (
    issuer text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    user_id bigint NOT NULL REFERENCES users,
    linked_on bigint NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    CONSTRAINT external_identities_known PRIMARY KEY (issuer, subject)
);
CREATE INDEX external_identities_by_user ON external_identities (user_id, number);
CREATE INDEX external_identities_by_subject ON external_identities (subject);
