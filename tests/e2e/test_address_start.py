"""The address table is wrong as a whole: the host refuses to start, and its log says what to do."""

import pytest
from support import address_table
from support.gateway import hosts

HOSTS = [pytest.param(make, id=name, marks=[pytest.mark.skip(reason=missing)] if missing else []) for name, make, missing in hosts()]


def sql(*statements):
    def change(tables):
        for statement in statements:
            tables.execute(statement)
    return change


WRONG = {
    "no table": (sql("DROP TABLE xmpp_address"), "table xmpp_address cannot be read"),
    "no version": (sql("DELETE FROM version WHERE table_name = 'xmpp_address'"),
                   "the database has no version of table xmpp_address; create the table with the script xmpp_address-create.sql"),
    "another version": (sql("UPDATE version SET table_version = 2 WHERE table_name = 'xmpp_address'"),
                        "table xmpp_address has version 2, this module takes 1"),
    "no column": (sql("ALTER TABLE xmpp_address DROP COLUMN flags"), "table xmpp_address cannot be read"),
}


@pytest.mark.parametrize("make", HOSTS)
@pytest.mark.parametrize("change, said", WRONG.values(), ids=WRONG)
def test_the_host_refuses_to_start(make, tmp_path, change, said):
    host = make(tmp_path, edit=address_table.with_database)
    address_table.create(host.database)
    address_table.change(host.database, change)
    refused(host, said)


@pytest.mark.parametrize("make", HOSTS)
@pytest.mark.parametrize("url, said", [("sqlite:///nowhere/at/all.sqlite", "the database of db_url cannot be opened"),
                                       ("pigeon://us:s3cret@localhost/db", "module db_pigeon is not loaded"),
                                       ("s3cret", "parameter db_url is \"(not shown)\"; it takes a database URL")])
def test_a_database_that_is_not_there_is_said_without_its_password(make, tmp_path, url, said):
    def edit(text):
        anchor = 'modparam("xmpp_gateway", '
        start = text.index(anchor)
        return f'{text[:start]}modparam("xmpp_gateway", "db_url", "{url}")\n{text[start:]}'
    host = make(tmp_path, edit=edit)
    refused(host, said)
    assert not [line for line in host.log().splitlines() if "s3cret" in line and "xmpp_gateway" in line]


@pytest.mark.parametrize("make", HOSTS)
def test_a_table_is_no_place_for_sql(make, tmp_path):
    def edit(text):
        anchor = 'modparam("xmpp_gateway", '
        start = text.index(anchor)
        return address_table.with_database(f'{text[:start]}modparam("xmpp_gateway", "address_table", "a where 1=1")\n{text[start:]}')
    refused(make(tmp_path, edit=edit), 'parameter address_table is "a where 1=1"; it takes the name of a table')


def refused(host, said):
    host.start(ready=False)
    try:
        assert host.process.wait_end(10) != 0
    finally:
        host.kill()
    assert [line for line in host.log().splitlines() if said in line], host.log()[-3000:]


@pytest.mark.parametrize("make", HOSTS)
def test_without_a_database_a_reload_says_so(make, tmp_path):
    host = make(tmp_path)
    host.start()
    try:
        with pytest.raises(AssertionError, match="db_url is not set"):
            host.reload_addresses()
        assert host.process.runs()
    finally:
        host.stop()
