//! The secret: in the script (`xmpp_password`), or in a file of its own (`xmpp_password_file`), so that the script can be shown, backed up
//! and versioned without it.
//!
//! The file is read once, in mod_init, as the user who starts the server: root's files will do where root starts it. One line end at
//! its end is not part of the secret. A file that others can read is used and warned about, not refused: in containers secrets are mounted
//! like that, and nobody else is there. No error holds any of what stands in the file.

use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Error;
use super::Parameters;

/// A password that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The password itself, for the digest.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(secret.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// The longest secret: no XMPP server takes one by the page.
const MAX_SECRET: u64 = 1024;

/// That of the component.
pub(super) fn secret(parameters: &Parameters) -> Result<Secret, Error> {
    match (parameters.xmpp_password.as_ref(), parameters.xmpp_password_file.as_deref()) {
        (Some(secret), None) if !secret.expose().is_empty() => Ok(secret.clone()),
        (None, Some(path)) => {
            let wrong = |takes| Error { parameter: "xmpp_password_file", value: Some(path.to_owned()), takes };
            read(path).map_err(wrong)
        }
        (Some(_), Some(path)) => {
            let takes = "no value beside xmpp_password: the secret stands in the script or in a file";
            Err(Error { parameter: "xmpp_password_file", value: Some(path.to_owned()), takes })
        }
        (_, None) => {
            let takes =
                "the secret that the XMPP server holds for this component, or xmpp_password_file names a file that holds it";
            Err(Error { parameter: "xmpp_password", value: None, takes })
        }
    }
}

/// The secret in a file; the error says what the parameter takes.
pub(super) fn read(path: &str) -> Result<Secret, &'static str> {
    if !Path::new(path).is_absolute() {
        return Err("the absolute path of a file, as in \"/etc/xmpp_gateway.secret\"");
    }
    let file = open(path).map_err(|error| cause(error.kind()))?;
    let metadata = file.metadata().map_err(|error| cause(error.kind()))?;
    if !metadata.is_file() {
        return Err("a regular file, not a folder, pipe or device");
    }
    let mut bytes = Vec::new();
    file.take(MAX_SECRET.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| cause(error.kind()))?;
    let secret = of_bytes(bytes)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        log::warn!(
            "others than its owner and group can read or change {path}, which holds a secret: mode {mode:03o}; chmod o= it"
        );
    }
    Ok(secret)
}

/// Without waiting for somebody to write where it is a pipe.
fn open(path: &str) -> io::Result<File> {
    fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// To read and to write, for who is neither owner nor in the group.
const OTHERS: u32 = 0o006;

fn of_bytes(bytes: Vec<u8>) -> Result<Secret, &'static str> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_SECRET) {
        return Err("a file of at most 1024 bytes");
    }
    let text = String::from_utf8(bytes).map_err(|_| ONE_LINE)?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    match line {
        "" => Err("a file that holds the secret, and this one is empty"),
        line if line.contains(char::is_control) => Err(ONE_LINE),
        line => Ok(line.into()),
    }
}

const ONE_LINE: &str = "a file that holds one line of text in UTF-8: the secret and nothing else";

fn cause(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::NotFound {
        return "the path of a file, and there is none";
    }
    if kind == io::ErrorKind::PermissionDenied {
        return "a file that the user who starts the server may read";
    }
    "a file that can be read"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Backend;
    use crate::config::Config;
    use crate::config::tests::minimal;
    use crate::config::tests::refusal;

    fn of(bytes: &[u8]) -> Result<String, &'static str> {
        of_bytes(bytes.to_vec()).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn the_secret_stands_in_the_script_or_in_a_file() {
        let file = std::env::temp_dir().join(format!("xmpp_gateway-config-{}", std::process::id()));
        std::fs::write(&file, "from the file\n").unwrap();
        let path = file.to_str().unwrap().to_owned();
        let alone = Parameters { xmpp_password: None, xmpp_password_file: Some(path.clone()), ..minimal() };
        let both = Parameters { xmpp_password_file: Some(path), ..minimal() };
        let Backend::Components(components) = Config::from_parameters(&alone).unwrap().backend;
        let component = components.first().unwrap();
        assert_eq!(component.secret.expose(), "from the file");
        let said = refusal(&both);
        assert!(said.starts_with("parameter xmpp_password_file is \"") && said.contains("beside xmpp_password"), "{said}");
        std::fs::remove_file(&file).unwrap();
        let said = refusal(&alone);
        assert!(said.starts_with("parameter xmpp_password_file is \"") && said.contains("there is none"), "{said}");
    }

    #[test]
    fn one_line_end_is_not_part_of_the_secret() {
        for file in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            assert_eq!(of(file.as_bytes()).as_deref(), Ok("s3cret"), "{file:?}");
        }
        assert_eq!(of(b" s3 cret \n").as_deref(), Ok(" s3 cret "), "blanks are");
    }

    #[test]
    fn what_is_not_one_line_of_text_is_refused() {
        for file in [&b"a\nb\n"[..], b"a\n\n", b"a\0b", b"a\rb", b"\xff", b"a\x1b[0m"] {
            assert_eq!(of(file), Err(ONE_LINE), "{file:?}");
        }
        assert!(of(b"").unwrap_err().contains("empty") && of(b"\n").unwrap_err().contains("empty"));
        assert!(of(&[b'a'; 1025]).unwrap_err().contains("1024") && of(&[b'a'; 1024]).is_ok());
    }

    #[test]
    fn what_is_no_file_is_refused_and_nothing_waits_for_it() {
        let folder = std::env::temp_dir().join(format!("xmpp_gateway-secret-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let pipe = folder.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success());
        let said = |path: &Path| read(path.to_str().unwrap()).unwrap_err();
        assert!(said(&folder).contains("regular file"));
        if made {
            assert!(said(&pipe).contains("regular file"));
        } else {
            println!("skipped: a pipe, as there is no mkfifo");
        }
        assert!(said(&folder.join("none")).contains("there is none"));
        assert!(said(Path::new("relative")).contains("absolute"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn no_debug_output_shows_a_password() {
        let parameters = Parameters { db_url: Some("mysql://us:s3cret@localhost/db".into()), ..minimal() };
        let config = Config::from_parameters(&parameters).unwrap();
        assert!(!format!("{config:?}{parameters:?}").contains("s3cret"));
    }
}
