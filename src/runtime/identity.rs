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

/// New keys and the configured names; the address is known once the server
/// listens, see [`advertised`].
pub fn new(options: &Options) -> ServerIdentity {
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
        host: options.host.clone(),
        port: 0,
        websocket_port: 0,
        headers: !options.no_header_support,
        connect_urls: Vec::new(),
        xkey: XKey::new().public_key(),
        jetstream: options.jetstream.enabled,
        domain: if options.jetstream.enabled {
            options.jetstream.domain.clone()
        } else {
            String::new()
        },
        tags: options.server_tags.clone(),
        metadata: options.server_metadata.clone(),
    }
}

/// The address that clients are told, in INFO and /varz: the configured
/// `client_advertise`, else where the server listens. A single server has no
/// other addresses to tell (`connect_urls`).
pub fn advertised(options: &Options, port: u16) -> (String, u16) {
    let advertise = options.client_advertise.trim();
    if advertise.is_empty() {
        return (options.host.clone(), port);
    }
    let (host, given) = match advertise.rsplit_once(':') {
        // A colon in brackets or without them belongs to an IPv6 address.
        Some((host, digits)) if !host.contains(':') || host.ends_with(']') => {
            (host, digits.parse().ok())
        }
        _ => (advertise, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (host.to_owned(), given.unwrap_or(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advertised_may_leave_the_port_out() {
        for (advertise, expected) in [
            ("", ("0.0.0.0", 4222)),
            ("public.example", ("public.example", 4222)),
            ("public.example:80", ("public.example", 80)),
            ("[::1]:80", ("::1", 80)),
            ("::1", ("::1", 4222)),
        ] {
            let options = Options {
                client_advertise: advertise.to_owned(),
                ..Options::default()
            };
            let (host, port) = advertised(&options, 4222);
            assert_eq!((host.as_str(), port), expected, "{advertise}");
        }
    }
}
