-- XMPP accounts in which phones are shown (module xmpp_gateway, parameter phone_state). The same for Kamailio and OpenSIPS.
-- The first columns are the operator's; those from rid on are the module's.
CREATE TABLE xmpp_account (
    id SERIAL PRIMARY KEY NOT NULL,
    sip_uri VARCHAR(255) NOT NULL,
    jid VARCHAR(255) NOT NULL,
    password VARCHAR(255) NOT NULL,
    resource VARCHAR(255) DEFAULT '' NOT NULL,
    priority INTEGER DEFAULT NULL,
    online_status VARCHAR(255) DEFAULT '' NOT NULL,
    call_show VARCHAR(16) DEFAULT '' NOT NULL,
    call_status VARCHAR(255) DEFAULT '' NOT NULL,
    transport VARCHAR(16) DEFAULT '' NOT NULL,
    url VARCHAR(255) DEFAULT '' NOT NULL,
    flags INTEGER DEFAULT 0 NOT NULL,
    rid BIGINT DEFAULT 0 NOT NULL,
    sid VARCHAR(255) DEFAULT '' NOT NULL,
    presence_id VARCHAR(255) DEFAULT '' NOT NULL,
    session TEXT DEFAULT NULL,
    trouble VARCHAR(255) DEFAULT '' NOT NULL,
    CONSTRAINT xmpp_account_sip_uri_idx UNIQUE (sip_uri)
);

INSERT INTO version (table_name, table_version) VALUES ('xmpp_account', 1);
