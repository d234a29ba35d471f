-- Users whose address on the other side is chosen (module xmpp_gateway). The same for Kamailio and OpenSIPS.
CREATE TABLE xmpp_address (
    id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
    sip_uri VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    jid VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    flags INT(10) UNSIGNED DEFAULT 0 NOT NULL,
    CONSTRAINT xmpp_address_sip_uri_idx UNIQUE (sip_uri),
    CONSTRAINT xmpp_address_jid_idx UNIQUE (jid)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

INSERT INTO version (table_name, table_version) VALUES ('xmpp_address', 1);
