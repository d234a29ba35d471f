-- Users whose address on the other side is chosen (module xmpp_gateway). The same for Kamailio and OpenSIPS.
CREATE TABLE xmpp_address (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    sip_uri VARCHAR(255) NOT NULL,
    jid VARCHAR(255) NOT NULL,
    flags INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT xmpp_address_sip_uri_idx UNIQUE (sip_uri),
    CONSTRAINT xmpp_address_jid_idx UNIQUE (jid)
);

INSERT INTO version (table_name, table_version) VALUES ('xmpp_address', 1);
