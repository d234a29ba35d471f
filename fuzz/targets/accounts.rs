//! Any file is accounts and bad lines, no line both; accounts that are written as such a file are read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::phone::import;
use xmpp_gateway::phone::import::Imported;

fuzz_target!(|data: &[u8]| {
    for domain in [None, Some("example.net")] {
        let (accounts, bad) = import::read(data, domain);
        let lines = data.split(|byte| *byte == b'\n').count();
        assert!(accounts.len() + bad.len() <= lines);
        assert!(bad.is_sorted_by_key(|line| line.number));
        assert!(bad.iter().all(|line| (1..=lines as u64).contains(&line.number)));
        for account in &accounts {
            properties::check_uri(&account.sip_uri);
            properties::check_jid(&account.jid);
            assert!(account.jid.contains('@') && !account.password.is_empty() && !account.password.contains('\n'));
        }
        let file: String = accounts.iter().map(line).collect();
        assert_eq!(import::read(file.as_bytes(), None), (accounts, Vec::new()));
    }
});

fn line(Imported { sip_uri, jid, password }: &Imported) -> String {
    let quoted = |field: &str| format!("\"{}\"", field.replace('"', "\"\""));
    format!("{},{},{}\n", quoted(sip_uri), quoted(jid), quoted(password))
}
