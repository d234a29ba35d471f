-- What survives a restart (module xmpp_gateway, parameter store). The same for Kamailio and OpenSIPS.
CREATE TABLE xmpp_state (
    id CHAR(40) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY NOT NULL,
    kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    watcher TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    presentity TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    content TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    expires BIGINT DEFAULT 0 NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

INSERT INTO version (table_name, table_version) VALUES ('xmpp_state', 1);
