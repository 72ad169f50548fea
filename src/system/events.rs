//! What the server tells the system account by itself.

use serde::Serialize;

use super::answer::Stamper;
use crate::broker::ServerStamp;
use crate::monitor::accounts::AccountStat;
use crate::monitor::format;
use crate::monitor::snapshot::{AccountSnapshot, ConnSnapshot, Snapshot};
use crate::monitor::statsz::Statsz;

/// What the types of events start with.
const TYPE_PREFIX: &str = "io.nats.server.advisory.v1.";
/// The account whose connections nats-server does not count out.
const GLOBAL_ACCOUNT: &str = "$G";

/// A message for the system account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    pub subject: String,
    pub body: Vec<u8>,
}

/// A client that came or went.
#[derive(Debug, Clone)]
pub enum ClientEvent {
    Connected(Box<ConnSnapshot>),
    Disconnected(Box<ConnSnapshot>),
}

impl ClientEvent {
    fn conn(&self) -> &ConnSnapshot {
        match self {
            Self::Connected(conn) | Self::Disconnected(conn) => conn,
        }
    }

    /// The account whose count of connections changed; `None` if nobody is told.
    pub fn counted_account(&self) -> Option<&str> {
        let conn = self.conn();
        (conn.account != GLOBAL_ACCOUNT).then_some(&*conn.account)
    }
}

#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    timestamp: String,
    server: &'a ServerStamp,
    #[serde(flatten)]
    fields: T,
}

#[derive(Serialize)]
struct Client<'a> {
    start: String,
    host: &'a str,
    id: u64,
    acc: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ver: &'a str,
    /// Nanoseconds, whole microseconds below a millisecond.
    #[serde(skip_serializing_if = "is_zero")]
    rtt: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    jwt: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    issuer_key: &'a str,
    name_tag: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    kind: &'static str,
    client_type: &'static str,
}

/// Round trips below a millisecond are told in whole microseconds.
fn rounded(rtt_ns: u64) -> u64 {
    if rtt_ns < 1_000_000 {
        rtt_ns - rtt_ns % 1_000
    } else {
        rtt_ns
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<'a> Client<'a> {
    fn new(conn: &'a ConnSnapshot, ended: bool) -> Self {
        let figures = &conn.figures;
        let user = if conn.authorized_user.is_empty() {
            &conn.user_given
        } else {
            &conn.authorized_user
        };
        Self {
            start: format::rfc3339(figures.start),
            host: &conn.ip,
            id: figures.cid,
            acc: &conn.account,
            user,
            name: &conn.name,
            lang: &conn.lang,
            ver: &conn.version,
            rtt: if ended { rounded(figures.rtt) } else { 0 },
            stop: figures.stop.map(format::rfc3339),
            jwt: &conn.jwt,
            issuer_key: &conn.issuer_key,
            name_tag: if conn.account_name.is_empty() {
                &conn.account
            } else {
                &conn.account_name
            },
            tags: &conn.tags,
            kind: "Client",
            client_type: if conn.websocket { "websocket" } else { "nats" },
        }
    }
}

#[derive(Serialize)]
struct Connect<'a> {
    client: Client<'a>,
}

#[derive(Serialize)]
struct Disconnect<'a> {
    client: Client<'a>,
    sent: Amount,
    received: Amount,
    reason: &'a str,
}

#[derive(Serialize)]
struct Amount {
    msgs: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct StatszEvent<'a> {
    server: &'a ServerStamp,
    statsz: &'a Statsz,
}

/// Makes announcements at one moment.
pub struct Announcer<'a> {
    pub stamper: &'a mut Stamper,
    /// Nanoseconds since 1970.
    pub now: i64,
}

impl Announcer<'_> {
    fn event<T: Serialize>(&mut self, kind: &str, fields: T) -> Vec<u8> {
        format::compact_json(&Event {
            kind: format!("{TYPE_PREFIX}{kind}"),
            id: self.stamper.id(),
            timestamp: format::rfc3339(self.now),
            server: &self.stamper.stamp(self.now),
            fields,
        })
    }

    /// The messages about a client that came or went.
    pub fn client(&mut self, event: &ClientEvent) -> Vec<Announcement> {
        match event {
            ClientEvent::Connected(conn) => vec![Announcement {
                subject: format!("$SYS.ACCOUNT.{}.CONNECT", conn.account),
                body: self.event(
                    "client_connect",
                    Connect {
                        client: Client::new(conn, false),
                    },
                ),
            }],
            ClientEvent::Disconnected(conn) => {
                let mut subjects = Vec::new();
                // Nats-server tells of refused logins twice.
                if conn.reason == "Authentication Failure" {
                    let id = &self.stamper.server.server_id;
                    subjects.push(format!("$SYS.SERVER.{id}.CLIENT.AUTH.ERR"));
                }
                subjects.push(format!("$SYS.ACCOUNT.{}.DISCONNECT", conn.account));
                subjects
                    .into_iter()
                    .map(|subject| Announcement {
                        subject,
                        body: self.disconnect(conn),
                    })
                    .collect()
            }
        }
    }

    fn disconnect(&mut self, conn: &ConnSnapshot) -> Vec<u8> {
        let traffic = &conn.figures.traffic;
        let fields = Disconnect {
            client: Client::new(conn, true),
            // Seen from the client: what it sent and received.
            sent: Amount {
                msgs: traffic.in_msgs,
                bytes: traffic.in_bytes,
            },
            received: Amount {
                msgs: traffic.out_msgs,
                bytes: traffic.out_bytes,
            },
            reason: &conn.reason,
        };
        self.event("client_disconnect", fields)
    }

    /// The event about an account's connections, and the subjects it goes to.
    pub fn account(&mut self, account: &AccountSnapshot) -> Vec<Announcement> {
        let name = &account.name;
        let body = self.account_body(account);
        [
            format!("$SYS.SERVER.ACCOUNT.{name}.CONNS"),
            format!("$SYS.ACCOUNT.{name}.SERVER.CONNS"),
        ]
        .into_iter()
        .map(|subject| Announcement {
            subject,
            body: body.clone(),
        })
        .collect()
    }

    /// The event about an account's connections.
    pub fn account_body(&mut self, account: &AccountSnapshot) -> Vec<u8> {
        self.event("account_connections", AccountStat::new(account))
    }

    /// The server's own figures.
    pub fn statsz(&mut self, snapshot: &Snapshot) -> Announcement {
        let id = &self.stamper.server.server_id;
        let subject = format!("$SYS.SERVER.{id}.STATSZ");
        let body = format::compact_json(&StatszEvent {
            server: &self.stamper.stamp(self.now),
            statsz: &Statsz::new(snapshot),
        });
        Announcement { subject, body }
    }

    /// The server leaves: `SHUTDOWN` or `LAMEDUCK`.
    pub fn leaving(&mut self, how: &str) -> Announcement {
        let id = &self.stamper.server.server_id;
        Announcement {
            subject: format!("$SYS.SERVER.{id}.{how}"),
            body: format::compact_json(&self.stamper.stamp(self.now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::ServerIdentity;
    use crate::monitor::snapshot::{ConnFigures, Traffic};

    fn conn() -> Box<ConnSnapshot> {
        Box::new(ConnSnapshot {
            figures: ConnFigures {
                cid: 9,
                start: 1,
                rtt: 512_076,
                traffic: Traffic {
                    in_msgs: 1,
                    in_bytes: 2,
                    out_msgs: 3,
                    out_bytes: 4,
                },
                ..ConnFigures::default()
            },
            ip: "127.0.0.1".into(),
            account: "A".into(),
            authorized_user: "a".into(),
            ..ConnSnapshot::default()
        })
    }

    fn announce(event: &ClientEvent) -> Vec<(String, String)> {
        let server = ServerIdentity {
            server_id: "ID".into(),
            ..ServerIdentity::default()
        };
        let mut stamper = Stamper::new(server, 1);
        let mut announcer = Announcer {
            stamper: &mut stamper,
            now: 3,
        };
        announcer
            .client(event)
            .into_iter()
            .map(|a| (a.subject, String::from_utf8(a.body).expect("text")))
            .collect()
    }

    fn tail(body: &str) -> &str {
        &body[body.find("\"client\"").expect("a client")..]
    }

    #[test]
    fn clients_are_told_of_as_nats_server_does() {
        let told = announce(&ClientEvent::Connected(conn()));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0, "$SYS.ACCOUNT.A.CONNECT");
        assert!(
            told[0]
                .1
                .starts_with(r#"{"type":"io.nats.server.advisory.v1.client_connect","id":""#)
        );
        assert_eq!(
            tail(&told[0].1),
            r#""client":{"start":"1970-01-01T00:00:00.000000001Z","host":"127.0.0.1","id":9,"acc":"A","user":"a","name_tag":"A","kind":"Client","client_type":"nats"}}"#
        );
        let mut gone = conn();
        gone.figures.stop = Some(2);
        gone.reason = "Client Closed".into();
        let told = announce(&ClientEvent::Disconnected(gone));
        assert_eq!(told[0].0, "$SYS.ACCOUNT.A.DISCONNECT");
        assert_eq!(
            tail(&told[0].1),
            r#""client":{"start":"1970-01-01T00:00:00.000000001Z","host":"127.0.0.1","id":9,"acc":"A","user":"a","rtt":512000,"stop":"1970-01-01T00:00:00.000000002Z","name_tag":"A","kind":"Client","client_type":"nats"},"sent":{"msgs":1,"bytes":2},"received":{"msgs":3,"bytes":4},"reason":"Client Closed"}"#
        );
    }

    #[test]
    fn refused_logins_are_told_twice_and_name_who_tried() {
        let mut refused = conn();
        refused.account = "$G".into();
        refused.authorized_user = String::new();
        refused.user_given = "no".into();
        refused.reason = "Authentication Failure".into();
        let event = ClientEvent::Disconnected(refused);
        assert_eq!(event.counted_account(), None);
        let told = announce(&event);
        assert_eq!(told[0].0, "$SYS.SERVER.ID.CLIENT.AUTH.ERR");
        assert_eq!(told[1].0, "$SYS.ACCOUNT.$G.DISCONNECT");
        assert!(told[0].1.contains(r#""acc":"$G","user":"no""#));
    }
}
