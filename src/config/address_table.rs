//! The table of users whose address the operator chose: which database (`db_url`), and which of its tables (`address_table`).

use super::Error;
use super::Parameters;
use super::Secret;

/// A table of the host's database.
#[derive(Debug, Clone)]
pub struct AddressTable {
    /// The host's database URL: it holds a password, mostly.
    pub url: Secret,
    /// The table's name.
    pub name: String,
}

/// The table, if there is a database.
pub(super) fn address_table(parameters: &Parameters) -> Result<Option<AddressTable>, Error> {
    let Some(url) = database(parameters)? else { return Ok(None) };
    let name = parameters.address_table.as_deref().unwrap_or(DEFAULT_ADDRESS_TABLE);
    Ok(Some(AddressTable { url: url.clone(), name: table("address_table", name)? }))
}

/// The URL of the database, if there is one.
pub(super) fn database(parameters: &Parameters) -> Result<Option<&Secret>, Error> {
    let Some(url) = &parameters.db_url else { return Ok(None) };
    let is_url = url
        .expose()
        .split_once(':')
        .is_some_and(|(driver, _)| !driver.is_empty() && driver.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    if !is_url {
        // It may hold a password all the same.
        let takes = "a database URL, as in \"mysql://user:password@localhost/kamailio\" or \"sqlite:///var/lib/kamailio.sqlite\"";
        return Err(Error { parameter: "db_url", value: Some("(not shown)".to_owned()), takes });
    }
    Ok(Some(url))
}

/// The name of a table.
pub(super) fn table(parameter: &'static str, name: &str) -> Result<String, Error> {
    // It becomes part of a query.
    if name.is_empty() || name.len() > MAX_TABLE_NAME || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let takes = "the name of a table: 1 to 63 letters, digits and underscores";
        return Err(Error { parameter, value: Some(name.to_owned()), takes });
    }
    Ok(name.to_owned())
}

/// The table of mapped users, where `address_table` is not set.
const DEFAULT_ADDRESS_TABLE: &str = "xmpp_address";

/// The longest name of a table in the databases that there are.
const MAX_TABLE_NAME: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::tests::minimal;
    use crate::config::tests::refusal;

    #[test]
    fn without_a_database_there_is_no_table() {
        let parameters = Parameters { address_table: Some("xmpp_address".into()), ..minimal() };
        assert!(Config::from_parameters(&parameters).unwrap().address_table.is_none());
    }

    #[test]
    fn the_table_has_a_name_of_its_own_or_the_usual_one() {
        for (given, name) in [(None, "xmpp_address"), (Some("names_2"), "names_2")] {
            let (db_url, address_table) = (Some("sqlite:///db".into()), given.map(str::to_owned));
            let config = Config::from_parameters(&Parameters { db_url, address_table, ..minimal() }).unwrap();
            assert_eq!(config.address_table.unwrap().name, name);
        }
    }

    #[test]
    fn a_table_is_no_place_for_sql() {
        for name in ["", "a b", "a;drop table b", "a'", "\"a\"", "a--", &"a".repeat(64)] {
            let parameters = Parameters { db_url: Some("sqlite:///db".into()), address_table: Some(name.into()), ..minimal() };
            assert!(refusal(&parameters).starts_with("parameter address_table is \""), "{name}");
        }
    }

    #[test]
    fn a_database_that_is_no_url_is_not_shown() {
        for url in ["", "s3cret", ":s3cret", "my sql://s3cret"] {
            let refusal = refusal(&Parameters { db_url: Some(url.into()), ..minimal() });
            assert!(refusal.starts_with("parameter db_url is \"(not shown)\"; it takes a database URL"), "{refusal}");
        }
    }
}
