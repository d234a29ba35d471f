-- What survives a restart (module xmpp_gateway, parameter store). The same for Kamailio and OpenSIPS.
CREATE TABLE xmpp_state (
    id CHAR(40) PRIMARY KEY NOT NULL,
    kind VARCHAR(16) NOT NULL,
    watcher TEXT NOT NULL,
    presentity TEXT NOT NULL,
    content TEXT NOT NULL,
    expires BIGINT DEFAULT 0 NOT NULL
) WITHOUT ROWID;

INSERT INTO version (table_name, table_version) VALUES ('xmpp_state', 1);
