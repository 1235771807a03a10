-- Which versions of a client's webhook keys sign: the newest, and the one before it until a time. A client without a row has
-- version 1 alone. The keys themselves are derived: nothing here is secret. A row outlives its client, whose last webhooks are
-- still on their way. The previous release neither reads nor writes this.
CREATE TABLE webhook_versions (
    client_id text COLLATE "C" CONSTRAINT webhook_versions_client PRIMARY KEY,
    version integer NOT NULL,
    created_on bigint NOT NULL,
    previous_ends_on bigint NOT NULL,
    request_digest text NOT NULL
);
