//! The check of the `Origin` header: a browser tells by it which page opens the connection.
//!
//! Addresses are read as nats-server reads them, with its words for what is wrong.

use std::fmt;

/// Scheme, host and port of an address, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub scheme: String,
    /// Without the brackets of an IPv6 address if a port stands behind it.
    pub host: String,
    /// As written, or the scheme's.
    pub port: String,
}

/// Why an address cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginError {
    address: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Empty,
    NoUri,
    NoScheme,
    Character(char),
    Bracket,
    Port(String),
    TooManyColons(String),
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Problem::TooManyColons(host) = &self.problem {
            return write!(f, "address {host}: too many colons in address");
        }
        write!(f, "parse {:?}: ", self.address)?;
        match &self.problem {
            Problem::Empty => f.write_str("empty url"),
            Problem::NoUri => f.write_str("invalid URI for request"),
            Problem::NoScheme => f.write_str("missing protocol scheme"),
            Problem::Character(c) => {
                write!(f, "invalid character {:?} in host name", c.to_string())
            }
            Problem::Bracket => f.write_str("missing ']' in host"),
            Problem::Port(port) => write!(f, "invalid port {port:?} after host"),
            Problem::TooManyColons(_) => Ok(()),
        }
    }
}

impl std::error::Error for OriginError {}

impl Origin {
    /// Reads an absolute address; what follows the host does not matter.
    ///
    /// # Errors
    /// [`OriginError`].
    pub fn parse(address: &str) -> Result<Self, OriginError> {
        let error = |problem| OriginError {
            address: address.to_owned(),
            problem,
        };
        if address.is_empty() {
            return Err(error(Problem::Empty));
        }
        let (scheme, rest) = split_scheme(address).map_err(error)?;
        let authority = match rest.strip_prefix("//") {
            Some(rest) if !scheme.is_empty() => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                &rest[..end]
            }
            _ => "",
        };
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        check_host(host).map_err(error)?;
        let scheme = scheme.to_lowercase();
        let (host, port) = host_and_port(scheme == "https", host).map_err(error)?;
        Ok(Self { scheme, host, port })
    }

    /// Whether a page from here is one of the server that `host` of its request names.
    /// `secure`: that request came by TLS.
    pub fn is_same(&self, secure: bool, host: &str) -> bool {
        let scheme = if secure { "https" } else { "http" };
        host_and_port(secure, host).is_ok_and(|(host, port)| {
            self.scheme == scheme && self.host == host && self.port == port
        })
    }
}

/// The scheme, empty for a path, and what follows its colon.
fn split_scheme(address: &str) -> Result<(&str, &str), Problem> {
    for (at, c) in address.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at > 0 => {
                let rest = &address[at + 1..];
                return if rest.starts_with('/') {
                    Ok((&address[..at], rest))
                } else {
                    Err(Problem::NoUri)
                };
            }
            ':' => return Err(Problem::NoScheme),
            _ => break,
        }
    }
    if address.starts_with('/') {
        Ok(("", address))
    } else {
        Err(Problem::NoUri)
    }
}

fn check_host(host: &str) -> Result<(), Problem> {
    let allowed = |c: char| {
        c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c) || !c.is_ascii()
    };
    if let Some(bad) = host.chars().find(|&c| !allowed(c)) {
        return Err(Problem::Character(bad));
    }
    let after = if host.starts_with('[') {
        let end = host.rfind(']').ok_or(Problem::Bracket)?;
        &host[end + 1..]
    } else {
        host.rfind(':').map_or("", |at| &host[at..])
    };
    let valid = after.is_empty()
        || after
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    if valid {
        Ok(())
    } else {
        Err(Problem::Port(after.to_owned()))
    }
}

fn host_and_port(secure: bool, address: &str) -> Result<(String, String), Problem> {
    let standard = || if secure { "443" } else { "80" }.to_owned();
    let (host, port) = match address.rsplit_once(':') {
        // An IPv6 address without a port keeps its brackets.
        _ if address.ends_with(']') => (address, standard()),
        None => (address, standard()),
        Some((host, port)) => {
            let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
            if bare.is_none() && host.contains(':') {
                return Err(Problem::TooManyColons(address.to_owned()));
            }
            (bare.unwrap_or(host), port.to_owned())
        }
    };
    Ok((host.to_lowercase(), port))
}
