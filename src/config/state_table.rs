//! The table of what is to survive a restart: whether there is one (`store`), and its name (`state_table`).

use super::Error;
use super::Parameters;
use super::Secret;
use super::address_table::database;
use super::address_table::table;

/// A table of the host's database.
#[derive(Debug, Clone)]
pub struct StateTable {
    /// The host's database URL.
    pub url: Secret,
    /// The table's name.
    pub name: String,
}

/// The table, if one is to be used.
pub(super) fn state_table(parameters: &Parameters) -> Result<Option<StateTable>, Error> {
    let wrong = |value: i64, takes| Error { parameter: "store", value: Some(value.to_string()), takes };
    match parameters.store {
        None | Some(0) => return Ok(None),
        Some(1) => {}
        Some(other) => return Err(wrong(other, "0, or 1 to keep presence subscriptions over a restart")),
    }
    let url = database(parameters)?.ok_or_else(|| wrong(1, "1 only where db_url names a database"))?;
    let name = parameters.state_table.as_deref().unwrap_or(DEFAULT_STATE_TABLE);
    Ok(Some(StateTable { url: url.clone(), name: table("state_table", name)? }))
}

/// The table where `state_table` is not set.
const DEFAULT_STATE_TABLE: &str = "xmpp_state";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::tests::minimal;
    use crate::config::tests::refusal;

    fn with(store: i64) -> Parameters {
        Parameters { store: Some(store), db_url: Some("sqlite:///db".into()), ..minimal() }
    }

    #[test]
    fn nothing_is_kept_unless_it_is_asked_for() {
        for parameters in [Parameters { store: None, ..with(0) }, with(0)] {
            assert!(Config::from_parameters(&parameters).unwrap().state_table.is_none());
        }
    }

    #[test]
    fn the_table_has_a_name_of_its_own_or_the_usual_one() {
        for (given, name) in [(None, "xmpp_state"), (Some("kept_2"), "kept_2")] {
            let parameters = Parameters { state_table: given.map(str::to_owned), ..with(1) };
            assert_eq!(Config::from_parameters(&parameters).unwrap().state_table.unwrap().name, name);
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        assert!(refusal(&with(2)).starts_with("parameter store is \"2\"; it takes 0, or 1 to keep"));
        let nowhere = Parameters { db_url: None, ..with(1) };
        assert_eq!(refusal(&nowhere), "parameter store is \"1\"; it takes 1 only where db_url names a database");
        let table = Parameters { state_table: Some("a; drop table b".into()), ..with(1) };
        assert!(refusal(&table).starts_with("parameter state_table is \""));
    }
}
