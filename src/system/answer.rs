//! The envelope around answers: who answers, and the data or what is wrong.

use serde::Serialize;
use serde_json::value::RawValue;

use super::ask::Part;
use crate::broker::{ServerIdentity, ServerStamp};
use crate::monitor::format;
use crate::monitor::snapshot::Snapshot;
use crate::monitor::statsz::Statsz;
use crate::monitor::{Request, Response};

/// Makes the stamps of this server's messages.
#[derive(Debug)]
pub struct Stamper {
    pub server: ServerIdentity,
    seq: u64,
    /// State of the generator of unique ids.
    ids: u64,
}

/// Characters of unique ids, and their length, as nats-server's.
const ID_ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_LENGTH: usize = 22;

impl Stamper {
    /// Stamps of `server`; `seed` makes ids differ between processes.
    pub fn new(server: ServerIdentity, seed: u64) -> Self {
        Self {
            server,
            seq: 0,
            ids: seed,
        }
    }

    /// The stamp of the next message, made at `unix_ns`.
    pub fn stamp(&mut self, unix_ns: i64) -> ServerStamp {
        self.seq += 1;
        ServerStamp::new(&self.server, self.seq, unix_ns)
    }

    /// A unique id, not secret.
    pub fn id(&mut self) -> String {
        (0..ID_LENGTH)
            .map(|_| char::from(ID_ALPHABET[(self.random() % 62) as usize]))
            .collect()
    }

    /// splitmix64.
    fn random(&mut self) -> u64 {
        self.ids = self.ids.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.ids ^ (self.ids >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What to answer, before it has a stamp.
#[derive(Debug)]
pub enum Answer {
    Data(Vec<u8>),
    /// The figures are not under `data`.
    Statsz(Box<Statsz>),
    /// Done, nothing to say.
    Done,
    /// No data because of this; error 500.
    Failed(String),
    /// The same where nats-server leaves `data` out: code and text.
    Refused(u16, String),
    /// A body without an envelope.
    Bare(Vec<u8>),
    Silence,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: u16,
    description: &'a str,
}

#[derive(Serialize)]
struct Envelope<'a> {
    server: &'a ServerStamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    statsz: Option<&'a Statsz>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
}

impl Answer {
    /// The answer to a request that the monitoring port could have been asked.
    pub fn of_monitor(request: &Request, part: &Part, snapshot: &Snapshot) -> Self {
        if let Part::JetStreamOf(_) = part
            && snapshot.server.jetstream.is_none()
        {
            return Self::Failed("jetstream not enabled".to_owned());
        }
        let Response {
            status,
            body,
            content_type,
            ..
        } = request.respond(snapshot);
        let is_text = !content_type.starts_with("application/json");
        if is_text || (status != 200 && !body.starts_with(b"{")) {
            return Self::Failed(String::from_utf8_lossy(&body).into_owned());
        }
        let data = format::squeeze(&body);
        match part {
            Part::Whole => Self::Data(data),
            Part::Account => inner(&data, "account_detail").map_or(Self::Silence, Self::Data),
            Part::SomeAccounts => match inner(&data, "account_statz") {
                Some(list) if list != b"[]" => Self::Data(data),
                _ => Self::Silence,
            },
            Part::JetStreamOf(account) => inner(&data, "account_details")
                .and_then(|list| first(&list))
                .map_or_else(
                    || Self::Failed(format!("account {account:?} not found")),
                    Self::Data,
                ),
        }
    }

    /// Who `server` is.
    pub fn identity(server: &ServerIdentity) -> Self {
        #[derive(Serialize)]
        struct Identity<'a> {
            name: &'a str,
            host: &'a str,
            id: &'a str,
        }
        Self::Bare(format::compact_json(&Identity {
            name: &server.server_name,
            host: &server.host,
            id: &server.server_id,
        }))
    }

    /// What is known of the process' memory, under the names that Go's programs have for it.
    pub fn of_memory(resident_bytes: u64) -> Self {
        Self::Data(
            format!(r#"{{"memstats":{{"Alloc":{resident_bytes},"Sys":{resident_bytes}}}}}"#)
                .into_bytes(),
        )
    }

    /// There are no profiles to be had.
    pub fn no_profile(name: &str) -> Self {
        #[derive(Serialize)]
        struct Profile {
            profile: (),
            error: String,
        }
        let error = if name.is_empty() {
            "Profile name not specified".to_owned()
        } else {
            format!("Profile {name:?} not found")
        };
        Self::Data(format::compact_json(&Profile { profile: (), error }))
    }

    /// The body of the message; `None`: nothing is answered.
    pub fn body(&self, stamper: &mut Stamper, unix_ns: i64) -> Option<Vec<u8>> {
        let mut answer = Envelope {
            server: &stamper.stamp(unix_ns),
            statsz: None,
            data: None,
            error: None,
        };
        let data;
        match self {
            Self::Silence => return None,
            Self::Bare(body) => return Some(body.clone()),
            Self::Done => {}
            Self::Statsz(statsz) => answer.statsz = Some(statsz),
            Self::Data(json) => {
                data = raw(json)?;
                answer.data = Some(&data);
            }
            Self::Failed(text) => {
                data = raw(b"null")?;
                answer.data = Some(&data);
                answer.error = Some(Failure {
                    code: 500,
                    description: text,
                });
            }
            Self::Refused(code, text) => {
                answer.error = Some(Failure {
                    code: *code,
                    description: text,
                });
            }
        }
        Some(format::compact_json(&answer))
    }
}

fn raw(json: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(json.to_vec()).ok()?).ok()
}

/// The value of one field of an object.
fn inner(json: &[u8], name: &str) -> Option<Vec<u8>> {
    let fields: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(json).ok()?;
    Some(fields.get(name)?.get().as_bytes().to_vec())
}

/// The first element of a list.
fn first(json: &[u8]) -> Option<Vec<u8>> {
    let list: Vec<Box<RawValue>> = serde_json::from_slice(json).ok()?;
    Some(list.first()?.get().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::query::Query;
    use crate::monitor::snapshot::{AccountSnapshot, ServerSnapshot};

    const SERVER: &str = r#"{"server":{"name":"srv","host":"h","id":"ID","domain":"hub","ver":"2.15.1","tags":["x"],"jetstream":true,"flags":1,"seq":1,"time":"1970-01-01T00:00:00.000000005Z"}"#;

    fn stamper() -> Stamper {
        let server = ServerIdentity {
            server_name: "srv".into(),
            host: "h".into(),
            server_id: "ID".into(),
            domain: "hub".into(),
            version: "2.15.1".into(),
            tags: vec!["x".into()],
            jetstream: true,
            ..ServerIdentity::default()
        };
        Stamper::new(server, 7)
    }

    fn text(answer: &Answer) -> String {
        let body = answer.body(&mut stamper(), 5).expect("an answer");
        String::from_utf8(body).expect("text")
    }

    #[test]
    fn envelopes_are_those_of_nats_server() {
        let with = |rest: &str| format!("{SERVER}{rest}}}");
        assert_eq!(text(&Answer::Data(b"{}".to_vec())), with(r#","data":{}"#));
        assert_eq!(text(&Answer::Done), with(""));
        assert_eq!(
            text(&Answer::Failed("no".into())),
            with(r#","data":null,"error":{"code":500,"description":"no"}"#)
        );
        assert_eq!(
            text(&Answer::Refused(400, "bad".into())),
            with(r#","error":{"code":400,"description":"bad"}"#)
        );
        assert!(Answer::Silence.body(&mut stamper(), 5).is_none());
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            server: ServerSnapshot {
                server_id: "ID".into(),
                ..ServerSnapshot::default()
            },
            accounts: vec![AccountSnapshot {
                name: "A".into(),
                ..AccountSnapshot::default()
            }],
            ..Snapshot::default()
        }
    }

    fn ask(path: &str, acc: &str, part: &Part) -> Answer {
        let mut query = Query::default();
        query.set("acc", acc);
        Answer::of_monitor(&Request::of_service(path, &query), part, &snapshot())
    }

    #[test]
    fn parts_of_monitoring_answers_are_cut_out() {
        let Answer::Data(data) = ask("/accountz", "A", &Part::Account) else {
            panic!("no data");
        };
        assert!(data.starts_with(br#"{"account_name":"A","#));
        let Answer::Failed(text) = ask("/accountz", "NOPE", &Part::Account) else {
            panic!("found");
        };
        assert_eq!(text, "Account NOPE does not exist");
        let of = Part::JetStreamOf("A".into());
        let Answer::Failed(text) = ask("/jsz", "A", &of) else {
            panic!("found");
        };
        assert_eq!(text, "jetstream not enabled");
        let Answer::Data(data) = ask("/healthz", "", &Part::Whole) else {
            panic!("no data");
        };
        assert_eq!(data, br#"{"status":"ok","status_code":200}"#);
    }

    #[test]
    fn ids_differ() {
        let mut stamper = stamper();
        let (a, b) = (stamper.id(), stamper.id());
        assert_eq!(a.len(), ID_LENGTH);
        assert_ne!(a, b);
    }
}
