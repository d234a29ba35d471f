//! Any document names connection managers or none: few, and each one that stands in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::xmpp::host_meta;

fuzz_target!(|data: &[u8]| {
    let links = host_meta::connection_managers(data);
    assert!(links.len() <= host_meta::MOST_LINKS);
    assert_eq!(host_meta::connection_managers(data), links);
    // What is over TLS comes first.
    assert!(links.is_sorted_by_key(|link| !link.starts_with("https:")));
    for link in links {
        // References aside, it stands there as it is.
        let is_plain = !link.is_empty() && !link.contains(['&', ' ', '<', '"']) && !data.contains(&b'&');
        assert!(!is_plain || data.windows(link.len()).any(|part| part == link.as_bytes()), "{link}");
    }
});
