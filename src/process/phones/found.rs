//! The connection manager of a domain, as its host-meta names it (XEP-0156).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use crate::net::http::Client;
use crate::net::http::Url;
use crate::xmpp::host_meta;

/// Asks for it over TLS: who could change the answer could read the password.
pub(super) async fn bosh_url(tls: &Arc<ClientConfig>, domain: &str) -> Result<String, String> {
    let url = format!("https://{domain}/.well-known/host-meta");
    let asked = Url::read(&url).ok_or_else(|| format!("{domain} can have no host-meta"))?;
    let answer = timeout(PATIENCE, Client::new(asked, Arc::clone(tls)).get()).await;
    let response = answer.map_err(|_| format!("{url}: no answer"))?.map_err(|error| format!("{url}: {error}"))?;
    if response.status != 200 {
        return Err(format!("{url}: HTTP status {}", response.status));
    }
    let mut links = host_meta::connection_managers(&response.body).into_iter();
    links.find(|link| Url::read(link).is_some()).ok_or_else(|| format!("{url} names no connection manager"))
}

const PATIENCE: Duration = Duration::from_secs(15);
