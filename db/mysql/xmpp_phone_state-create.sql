-- States of phones that other programs write (module xmpp_gateway, parameter phone_state_poll): each row is taken once, in the order of the
-- ids, and deleted. The same for Kamailio and OpenSIPS.
CREATE TABLE xmpp_phone_state (
    id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT NOT NULL,
    sip_uri VARCHAR(255) NOT NULL,
    state VARCHAR(16) NOT NULL
) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO version (table_name, table_version) VALUES ('xmpp_phone_state', 1);
