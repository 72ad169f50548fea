//! Who this server is.

use nkeys::{KeyPair, XKey};

use crate::broker::ServerIdentity;
use crate::config::{Options, PEER_VERSION};

/// The commit this was built from, if the build was told.
pub const GIT_COMMIT: &str = match option_env!("RINGWIRE_GIT_COMMIT") {
    Some(commit) => commit,
    None => "",
};

/// What stands in INFO's field `go`, which clients expect to be there.
pub const COMPILER: &str = concat!("rust-ringwire-", env!("CARGO_PKG_VERSION"));

/// Our own version, beside the one whose features we offer.
pub const RINGWIRE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// New keys and the configured names.
pub fn new(options: &Options, host: &str, port: u16) -> ServerIdentity {
    let server_id = KeyPair::new_server().public_key();
    let server_name = if options.server_name.is_empty() {
        server_id.clone()
    } else {
        options.server_name.clone()
    };
    ServerIdentity {
        server_id,
        server_name,
        version: PEER_VERSION.to_owned(),
        git_commit: GIT_COMMIT.to_owned(),
        compiler: COMPILER.to_owned(),
        host: host.to_owned(),
        port,
        headers: !options.no_header_support,
        connect_urls: connect_urls(options),
        xkey: XKey::new().public_key(),
    }
}

/// A single server announces addresses only if one is configured.
pub fn connect_urls(_options: &Options) -> Vec<String> {
    Vec::new()
}
