//! Telephone numbers as users: one spelling for each global number (RFC 3966 §5.1, RFC 3261 §19.1.6).
//!
//! Local numbers are names like others: what they mean depends on who dials them.

use std::borrow::Cow;

/// The canonical spelling of a global number, `+` and digits, with the extension or ISDN subaddress that is part of it. Separators that
/// only please the eye go, and so do parameters about routing and charging. `None` if it is no global number.
pub(super) fn global(subscriber: &str) -> Option<Cow<'_, str>> {
    let number = subscriber.strip_prefix('+')?;
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Cow::Borrowed(subscriber));
    }
    let (number, parameters) = number.split_once(';').unwrap_or((number, ""));
    let digits = without_separators(number);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Cow::Owned(format!("+{digits}{}", parameters.split(';').find_map(kept).unwrap_or_default())))
}

/// Whether this is a global number in its canonical spelling.
pub(super) fn is_global(user: &str) -> bool {
    user.starts_with('+') && global(user).as_deref() == Some(user)
}

/// Of the parameters at most one names whom the number reaches, and it stands first (RFC 3966 §5.1.3, §5.3, §5.4).
fn kept(parameter: &str) -> Option<String> {
    let (name, value) = parameter.split_once('=')?;
    let name = name.to_ascii_lowercase();
    let value = match name.as_str() {
        "ext" => without_separators(value),
        "isub" => value.to_owned(),
        _ => return None,
    };
    (!value.is_empty()).then(|| format!(";{name}={value}"))
}

fn without_separators(text: &str) -> String {
    text.replace(['-', '.', '(', ')'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_global_number_has_one_spelling() {
        for (subscriber, canonical) in [
            ("+12015550123", "+12015550123"),
            ("+1-201-555-0123", "+12015550123"),
            ("+1(201)555.0123;tgrp=x;npdi", "+12015550123"),
            ("+1201;EXT=1-2;rn=+1", "+1201;ext=12"),
            ("+1201;isub=a-b", "+1201;isub=a-b"),
            ("+1201;", "+1201"),
            ("+1201;ext=-", "+1201"),
        ] {
            assert_eq!(global(subscriber).as_deref(), Some(canonical), "{subscriber}");
            assert!(is_global(canonical), "{canonical}");
            assert_eq!(is_global(subscriber), subscriber == canonical, "{subscriber}");
        }
    }

    #[test]
    fn what_is_no_global_number_stays_what_it_is() {
        for user in ["", "+", "+-", "+;ext=1", "7042", "7042;phone-context=+1201", "alice", "+12a", "+1 201", "+12\u{663}"] {
            assert_eq!(global(user), None, "{user}");
        }
    }
}
