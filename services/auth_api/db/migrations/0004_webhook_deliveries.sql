-- Webhooks: what clients' programs are told, and what is known of the addresses where they hear it. Nothing that the previous
-- release reads or writes changes; an address that it sets has no row here until something is sent there.

-- One row a client that ever had an address (the address itself is clients.webhook_uri), and its place in the queue: `due_on`
-- is never later than the first try that any of its deliveries waits for, and null where none waits.
CREATE TABLE webhook_endpoints (
    client_id text COLLATE "C" CONSTRAINT webhook_endpoints_id PRIMARY KEY,
    -- Since when there is an address: what happened before is never sent. 0 where it was not written down.
    set_on bigint NOT NULL DEFAULT 0,
    -- When the author last set it, be it the same again: what an older one answers says nothing of it.
    changed_on bigint NOT NULL DEFAULT 0,
    host text NOT NULL DEFAULT '',
    due_on bigint,
    -- 0 where it has shown that it is quick, null where nobody knows yet. Else it was slow, and counts as slow until it is quick
    -- after this time: all that are not quick together get no more than a part of what is sent at the same time.
    slow_until bigint,
    -- Since when every try failed.
    failing_since bigint,
    -- Nothing is sent, and nothing kept, until the author sets an address again.
    disabled_on bigint,
    disabled_why text CONSTRAINT webhook_endpoints_why CHECK (disabled_why IN ('gone', 'failing')),
    -- Of a deleted client, whose keys end a moment after it.
    deleted_on bigint,
    last_address text,
    last_author bigint
);
CREATE INDEX webhook_endpoints_due ON webhook_endpoints (due_on) WHERE due_on IS NOT NULL;
CREATE INDEX webhook_endpoints_deleted ON webhook_endpoints (deleted_on) WHERE deleted_on IS NOT NULL;
CREATE INDEX webhook_endpoints_disabled ON webhook_endpoints (disabled_on) WHERE disabled_on IS NOT NULL;

-- What a client's program is told: the same id and bytes in every try. The answer is never kept.
CREATE TABLE webhook_deliveries (
    webhook_id text COLLATE "C" CONSTRAINT webhook_deliveries_id PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    client_id text COLLATE "C" NOT NULL,
    user_id bigint,
    type text NOT NULL,
    key_id text,
    body bytea NOT NULL,
    happened_on bigint NOT NULL,
    -- When it was put into the queue: when it happened, or when the author asked for it again.
    queued_on bigint NOT NULL,
    status text NOT NULL DEFAULT 'waiting'
        CONSTRAINT webhook_deliveries_status CHECK (status IN ('waiting', 'delivered', 'failed', 'dropped')),
    -- While it waits: when it is tried next; of one that a process is trying, when another may.
    due_on bigint,
    tries integer NOT NULL DEFAULT 0,
    last_tried_on bigint,
    last_status integer,
    last_failure text,
    ended_on bigint,
    CONSTRAINT webhook_deliveries_due CHECK ((status = 'waiting') = (due_on IS NOT NULL)),
    CONSTRAINT webhook_deliveries_ended CHECK ((status = 'waiting') = (ended_on IS NULL))
);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (client_id, due_on) WHERE due_on IS NOT NULL;
CREATE INDEX webhook_deliveries_of_person ON webhook_deliveries (client_id, user_id, number) WHERE due_on IS NOT NULL;
CREATE INDEX webhook_deliveries_of_client ON webhook_deliveries (client_id, number DESC);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_on) WHERE ended_on IS NOT NULL;
