//! From a request's subject and payload to what is asked for.

use super::options::{self, Options};
use crate::broker::{ServerIdentity, SystemRequest};
use crate::monitor::Request;
use crate::monitor::query::Query;

/// Largest payload of a request to the system services, in bytes. nats-server has no limit but
/// `max_payload`; options are far below, and a queue of requests must stay small.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// What every server is asked, `$SYS.REQ.SERVER.PING.<name>`, or one, `$SYS.REQ.SERVER.<id>.<name>`.
const SERVER_ENDPOINTS: [&str; 15] = [
    "IDZ",
    "STATSZ",
    "VARZ",
    "CONNZ",
    "SUBSZ",
    "ROUTEZ",
    "GATEWAYZ",
    "LEAFZ",
    "ACCOUNTZ",
    "JSZ",
    "HEALTHZ",
    "PROFILEZ",
    "EXPVARZ",
    "IPQUEUESZ",
    "RAFTZ",
];

/// What one server is told to do, `$SYS.REQ.SERVER.<id>.<name>`.
const SERVER_ACTIONS: [&str; 3] = ["RELOAD", "KICK", "LDM"];

/// What is asked of one account, `$SYS.REQ.ACCOUNT.<account>.<name>`.
const ACCOUNT_ENDPOINTS: [&str; 7] = ["CONNZ", "SUBSZ", "LEAFZ", "JSZ", "INFO", "STATZ", "CONNS"];

/// The subjects that the services of server `id` listen to in the system account.
pub fn patterns(id: &str) -> Vec<String> {
    let ping = SERVER_ENDPOINTS
        .iter()
        .map(|name| format!("$SYS.REQ.SERVER.PING.{name}"));
    let own = SERVER_ENDPOINTS
        .iter()
        .chain(&SERVER_ACTIONS)
        .map(|name| format!("$SYS.REQ.SERVER.{id}.{name}"));
    let accounts = ACCOUNT_ENDPOINTS
        .iter()
        .map(|name| format!("$SYS.REQ.ACCOUNT.*.{name}"));
    let others = [
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.ACCOUNT.NSUBS",
        "$SYS.DEBUG.SUBSCRIBERS",
    ];
    ping.chain(own)
        .chain(accounts)
        .chain(others.map(str::to_owned))
        .collect()
}

/// Which part of the monitoring port's answer is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// accountz: what is said of the account itself.
    Account,
    /// jsz: what is said of this account.
    JetStreamOf(String),
    /// accstatz: nothing is answered if the account has no figures.
    SomeAccounts,
}

/// What is asked for.
#[derive(Debug)]
pub enum Ask {
    /// An answer of the monitoring port.
    Monitor(Box<Request>, Part),
    Statsz,
    /// Who the server is, without an envelope.
    Identity,
    /// The event about the connections of this account.
    Connections(String),
    /// Subscriptions of an account that a message to the subject reaches; a bare number.
    Subscribers {
        account: String,
        subject: String,
    },
    /// Close the connection.
    Kick(u64),
    /// Ask the connection to go.
    Leave(u64),
    Reload,
    /// Of the process' memory.
    Memory,
    /// An answer that needs nothing: JSON.
    Fixed(&'static str),
    /// There are no profiles: the name that was asked for.
    Profile(String),
}

/// A request that was understood, or the text of error 400.
pub type Asked = Result<Ask, String>;

fn monitor(path: &str, query: &Query) -> Ask {
    Ask::Monitor(Box::new(Request::of_service(path, query)), Part::Whole)
}

impl Ask {
    /// What `request` asks of `server`; `None` if it is not for this server, or nothing is
    /// answered.
    pub fn read(request: &SystemRequest, server: &ServerIdentity) -> Option<Asked> {
        let subject = std::str::from_utf8(&request.subject).ok()?;
        if request.payload.len() > REQUEST_BYTES_MAX {
            return Some(Err(format!(
                "request of more than {REQUEST_BYTES_MAX} bytes"
            )));
        }
        if let Some(own) = &request.only {
            return Self::of_own_account(subject, own, request, server);
        }
        let payload = &request.payload;
        if let Some(name) = subject.strip_prefix("$SYS.REQ.SERVER.PING.") {
            return Self::of_server(name, payload, server);
        }
        if subject == "$SYS.REQ.SERVER.PING" {
            return Self::of_server("STATSZ", payload, server);
        }
        if subject == "$SYS.REQ.ACCOUNT.NSUBS" {
            return subscribers(payload);
        }
        if subject == "$SYS.DEBUG.SUBSCRIBERS" {
            let subject = String::from_utf8_lossy(payload);
            let subject = subject.split_ascii_whitespace().next()?.to_owned();
            return Some(Ok(Ask::Subscribers {
                account: String::new(),
                subject,
            }));
        }
        if let Some(rest) = subject.strip_prefix("$SYS.REQ.SERVER.") {
            let name = rest.strip_prefix(&*server.server_id)?.strip_prefix('.')?;
            return match name {
                "KICK" => client_of(payload).map(|cid| Ok(Ask::Kick(cid))),
                "LDM" => client_of(payload).map(|cid| Ok(Ask::Leave(cid))),
                "RELOAD" => match Options::read(options::FILTER_ONLY, payload) {
                    Ok(options) => options.filter.passes(server).then_some(Ok(Ask::Reload)),
                    Err(error) => Some(Err(error.0)),
                },
                _ => Self::of_server(name, payload, server),
            };
        }
        let (account, name) = subject
            .strip_prefix("$SYS.REQ.ACCOUNT.")?
            .rsplit_once('.')?;
        if account == "PING" && name == "STATZ" {
            return Self::statz(None, payload, server);
        }
        Self::of_account(account, name, payload, server)
    }

    fn of_own_account(
        subject: &str,
        own: &str,
        request: &SystemRequest,
        server: &ServerIdentity,
    ) -> Option<Asked> {
        let name = if subject.ends_with(".STATZ") {
            "STATZ"
        } else {
            "CONNZ"
        };
        Self::of_account(own, name, &request.payload, server)
    }

    fn of_server(name: &str, payload: &[u8], server: &ServerIdentity) -> Option<Asked> {
        let table = match name {
            "IDZ" => return Some(Ok(Ask::Identity)),
            "STATSZ" => options::STATSZ,
            "VARZ" => options::VARZ,
            "CONNZ" => options::CONNZ,
            "SUBSZ" => options::SUBSZ,
            "ROUTEZ" => options::ROUTEZ,
            "GATEWAYZ" => options::GATEWAYZ,
            "LEAFZ" => options::LEAFZ,
            "ACCOUNTZ" => options::ACCOUNTZ,
            "JSZ" => options::JSZ,
            "HEALTHZ" => options::HEALTHZ,
            "PROFILEZ" => options::PROFILEZ,
            "EXPVARZ" => options::EXPVARZ,
            "IPQUEUESZ" => options::IPQUEUESZ,
            "RAFTZ" => options::RAFTZ,
            _ => return None,
        };
        let options = match Options::read(table, payload) {
            Ok(options) => options,
            Err(error) => return Some(Err(error.0)),
        };
        if !options.filter.passes(server) {
            return None;
        }
        let query = &options.query;
        Some(Ok(match name {
            "STATSZ" => Ask::Statsz,
            "VARZ" => monitor("/varz", query),
            "CONNZ" => monitor("/connz", query),
            "SUBSZ" => monitor("/subsz", query),
            "ROUTEZ" => monitor("/routez", query),
            "GATEWAYZ" => monitor("/gatewayz", query),
            "LEAFZ" => monitor("/leafz", query),
            "ACCOUNTZ" => monitor("/accountz", query),
            "JSZ" => monitor("/jsz", query),
            "HEALTHZ" => monitor("/healthz", query),
            "PROFILEZ" => Ask::Profile(query.text("name")),
            "EXPVARZ" => Ask::Memory,
            // No replication, and no queues but the rings that corez shows.
            _ => Ask::Fixed("{}"),
        }))
    }

    fn of_account(
        account: &str,
        name: &str,
        payload: &[u8],
        server: &ServerIdentity,
    ) -> Option<Asked> {
        let table = match name {
            "CONNZ" => options::CONNZ,
            "SUBSZ" => options::SUBSZ,
            "LEAFZ" => options::LEAFZ,
            "JSZ" => options::JSZ,
            "STATZ" => return Self::statz(Some(account), payload, server),
            "INFO" | "CONNS" => options::FILTER_ONLY,
            _ => return None,
        };
        let mut options = match Options::read(table, payload) {
            Ok(options) => options,
            Err(error) => return Some(Err(error.0)),
        };
        if !options.filter.passes(server) {
            return None;
        }
        let query = &mut options.query;
        query.replace("acc", account);
        if name == "SUBSZ" {
            query.replace("subs", "true");
        }
        Some(Ok(match name {
            "CONNZ" => monitor("/connz", query),
            "SUBSZ" => monitor("/subsz", query),
            "LEAFZ" => monitor("/leafz", &Query::default()),
            "JSZ" => Ask::Monitor(
                Box::new(Request::of_service("/jsz", query)),
                Part::JetStreamOf(account.to_owned()),
            ),
            "INFO" => Ask::Monitor(
                Box::new(Request::of_service("/accountz", query)),
                Part::Account,
            ),
            _ => Ask::Connections(account.to_owned()),
        }))
    }

    fn statz(account: Option<&str>, payload: &[u8], server: &ServerIdentity) -> Option<Asked> {
        let options = match Options::read(options::STATZ, payload) {
            Ok(options) => options,
            Err(error) => return Some(Err(error.0)),
        };
        if !options.filter.passes(server) {
            return None;
        }
        let unused = options.query.bool("unused").unwrap_or(false);
        let (request, part) = match account {
            Some(account) => (
                Request::of_accounts(unused, vec![account.to_owned()]),
                Part::SomeAccounts,
            ),
            None if options.accounts.is_empty() => {
                (Request::of_accounts(unused, Vec::new()), Part::Whole)
            }
            None => (
                Request::of_accounts(unused, options.accounts),
                Part::SomeAccounts,
            ),
        };
        Some(Ok(Self::Monitor(Box::new(request), part)))
    }
}

/// The connection that a request is about; requests that name none are not answered.
fn client_of(payload: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Client {
        #[serde(default)]
        cid: u64,
    }
    serde_json::from_slice::<Client>(payload)
        .ok()
        .map(|client| client.cid)
}

fn subscribers(payload: &[u8]) -> Option<Asked> {
    #[derive(serde::Deserialize)]
    struct Wanted {
        acc: String,
        subject: String,
    }
    let wanted: Wanted = serde_json::from_slice(payload).ok()?;
    Some(Ok(Ask::Subscribers {
        account: wanted.acc,
        subject: wanted.subject,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::CoreId;

    fn server() -> ServerIdentity {
        ServerIdentity {
            server_id: "NID".into(),
            server_name: "srv".into(),
            ..ServerIdentity::default()
        }
    }

    fn ask(subject: &str, payload: &str) -> String {
        ask_as(None, subject, payload)
    }

    fn ask_as(only: Option<&str>, subject: &str, payload: &str) -> String {
        let request = SystemRequest {
            via: CoreId(0),
            account: 1,
            only: only.map(str::to_owned),
            subject: subject.into(),
            reply: b"r".to_vec(),
            payload: payload.into(),
        };
        format!("{:?}", Ask::read(&request, &server()))
    }

    #[test]
    fn every_pattern_is_understood() {
        for pattern in patterns("NID") {
            let subject = pattern.replace('*', "A");
            for payload in [
                "",
                "{}",
                "null",
                "{bad",
                "[1]",
                r#"{"cid":1,"acc":"A","subject":"x"}"#,
            ] {
                let _ = ask(&subject, payload);
            }
            let payload = r#"{"cid":1,"acc":"A","subject":"x"}"#;
            assert!(ask(&subject, payload).starts_with("Some(Ok("), "{subject}");
        }
        assert_eq!(ask("$SYS.REQ.SERVER.PING.NOPE", ""), "None");
        assert_eq!(ask("$SYS.REQ.SERVER.OTHER.VARZ", ""), "None");
    }

    proptest::proptest! {
        /// Whatever is asked, the question of another account names no account but its own.
        #[test]
        fn no_request_reaches_beyond_its_account(
            subject in "\\$SYS\\.REQ\\.(SERVER|ACCOUNT)\\.(PING|NID|B)(\\.[A-Z]{1,6}Z?)?",
            payload in "(\\{\"(acc|account|accounts|ACC|user|cid)\":(\"B\"|\\[\"B\"\\]|1|null)\\}|.{0,20})",
        ) {
            let asked = ask_as(Some("A"), &subject, &payload);
            proptest::prop_assert!(!asked.contains("account: Some(\"B\")"));
            proptest::prop_assert!(!asked.contains("only: [\"B\"") && !asked.contains("JetStreamOf"));
            let _ = ask(&subject, &payload);
        }
    }

    #[test]
    fn requests_of_other_accounts_are_about_themselves() {
        let subject = "$SYS.REQ.SERVER.PING.CONNZ";
        let asked = ask_as(Some("A"), subject, r#"{"acc":"B"}"#);
        assert!(asked.contains(r#"account: Some("A")"#), "{asked}");
        assert!(!asked.contains("\"B\""), "{asked}");
        let asked = ask_as(
            Some("A"),
            "$SYS.REQ.ACCOUNT.PING.STATZ",
            r#"{"accounts":["B"]}"#,
        );
        assert!(
            asked.contains("\"A\"") && !asked.contains("\"B\""),
            "{asked}"
        );
    }

    #[test]
    fn actions_need_a_connection() {
        assert_eq!(ask("$SYS.REQ.SERVER.NID.KICK", ""), "None");
        assert_eq!(ask("$SYS.REQ.SERVER.NID.KICK", "bad"), "None");
        assert_eq!(
            ask("$SYS.REQ.SERVER.NID.KICK", r#"{"id":9}"#),
            "Some(Ok(Kick(0)))"
        );
        assert_eq!(
            ask("$SYS.REQ.SERVER.NID.LDM", r#"{"cid":9}"#),
            "Some(Ok(Leave(9)))"
        );
        assert_eq!(ask("$SYS.REQ.SERVER.NID.RELOAD", ""), "Some(Ok(Reload))");
    }

    #[test]
    fn large_requests_are_refused() {
        let large = " ".repeat(REQUEST_BYTES_MAX + 1);
        assert!(ask("$SYS.REQ.SERVER.PING.VARZ", &large).starts_with("Some(Err("));
    }
}
