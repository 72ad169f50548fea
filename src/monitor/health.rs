//! `/healthz`: one line for probes.

use serde::Serialize;

use super::query::{BadValue, Query};
use super::response::Response;
use super::snapshot::{Health, JetStreamSnapshot};

/// The options of one request, checked. Those about JetStream are true of a server without it, as
/// nats-server has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthQuery {
    details: bool,
    enabled_only: bool,
    account: String,
    stream: String,
    consumer: String,
    /// System services tell the status code in the body.
    pub(super) tell_code: bool,
    complaint: Option<&'static str>,
}

impl HealthQuery {
    /// Checks the options in the order nats-server does.
    pub fn parse(query: &Query) -> Result<Self, BadValue> {
        let enabled = query.bool("js-enabled")?;
        let enabled_only = query.bool("js-enabled-only")?;
        query.bool("js-server-only")?;
        let details = query.bool("details")?;
        query.bool("js-meta-only")?;
        let given = |name| !query.bytes(name).is_empty();
        let complaint = if given("consumer") && !given("stream") {
            Some("\"stream\" must not be empty when checking consumer health")
        } else if given("stream") && !given("account") {
            Some("\"account\" must not be empty when checking stream health")
        } else {
            None
        };
        Ok(HealthQuery {
            details,
            enabled_only: enabled || enabled_only,
            account: query.text("account"),
            stream: query.text("stream"),
            consumer: query.text("consumer"),
            tell_code: false,
            complaint,
        })
    }

    /// Whether the answer is about one stream or account.
    pub fn needs_streams(&self) -> bool {
        !self.account.is_empty()
    }

    /// What is wrong with the account, stream or consumer that was asked for: its kind and text.
    fn missing(&self, js: &JetStreamSnapshot) -> Option<(&'static str, String)> {
        let (account, stream, consumer) = (&self.account, &self.stream, &self.consumer);
        if account.is_empty() {
            return None;
        }
        let Some(found) = js.accounts.iter().find(|a| a.name == *account) else {
            let text = format!("JetStream account {account:?} not found");
            return Some(("ACCOUNT", text));
        };
        if stream.is_empty() {
            return None;
        }
        let Some(found) = found.streams.iter().find(|s| s.name == *stream) else {
            let text = format!("JetStream stream {stream:?} not found on account {account:?}");
            return Some(("STREAM", text));
        };
        if consumer.is_empty() || found.consumers.iter().any(|c| c.name == *consumer) {
            return None;
        }
        let text = format!(
            "JetStream consumer {consumer:?} not found for stream {stream:?} on account {account:?}"
        );
        Some(("CONSUMER", text))
    }

    fn body<'a>(&self, status: &'static str, code: u16) -> Healthz<'a> {
        Healthz {
            status,
            status_code: self.tell_code.then_some(code),
            error: None,
            errors: None,
        }
    }

    /// 200 if clients are served, 503 if not, 400 if the options contradict each other.
    pub fn respond(&self, health: &Health, js: Option<&JetStreamSnapshot>) -> Response {
        let missing = js.and_then(|js| self.missing(js));
        let problem = js
            .filter(|_| !self.enabled_only)
            .and_then(|js| js.problems.first());
        let (code, status, kind, text) = match (self.complaint, health) {
            (Some(text), _) => (400, "error", "BAD_REQUEST", text),
            (None, Health::Unavailable(text)) => (503, "unavailable", "CONNECTION", text.as_str()),
            (None, Health::Ok) => match (&missing, problem) {
                (Some((kind, text)), _) => (404, "unavailable", *kind, text.as_str()),
                (None, Some(text)) => (503, "unavailable", "JETSTREAM", text.as_str()),
                (None, None) => return Response::compact_json(200, &self.body("ok", 200)),
            },
        };
        let mut body = self.body(status, code);
        if self.details {
            body.errors = Some([Problem { kind, error: text }]);
        } else {
            body.error = Some(text);
        }
        Response::compact_json(code, &body)
    }
}

#[derive(Serialize)]
struct Healthz<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[Problem<'a>; 1]>,
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &str, health: &Health) -> (u16, String) {
        let answer = match HealthQuery::parse(&Query::parse(query)) {
            Ok(query) => query.respond(health, None),
            Err(error) => Response::text(400, error.to_string()),
        };
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    // The texts are nats-server's, except those of a server that is not available.
    #[test]
    fn answers_are_those_of_nats_server() {
        let ok = (200, "{\"status\":\"ok\"}".to_owned());
        for query in [
            "",
            "js-enabled-only=true",
            "account=A",
            "account=A&stream=S",
            "details=1",
        ] {
            assert_eq!(ask(query, &Health::Ok), ok);
        }
        let no_account = (
            400,
            r#"{"status":"error","error":"\"account\" must not be empty when checking stream health"}"#
                .to_owned(),
        );
        assert_eq!(ask("stream=S", &Health::Ok), no_account);
        let no_stream = (
            400,
            r#"{"status":"error","error":"\"stream\" must not be empty when checking consumer health"}"#
                .to_owned(),
        );
        assert_eq!(ask("account=A&consumer=C", &Health::Ok), no_stream);
        let detailed = (
            400,
            r#"{"status":"error","errors":[{"type":"BAD_REQUEST","error":"\"account\" must not be empty when checking stream health"}]}"#
                .to_owned(),
        );
        assert_eq!(ask("details=1&stream=S", &Health::Ok), detailed);
        assert_eq!(
            ask("js-server-only=zzz", &Health::Ok).1,
            "Error decoding boolean for 'js-server-only': strconv.ParseBool: parsing \"zzz\": invalid syntax"
        );
    }

    #[test]
    fn a_server_that_cannot_serve_says_why() {
        let health = Health::Unavailable("core 1 does not answer".to_owned());
        assert_eq!(
            ask("", &health),
            (
                503,
                r#"{"status":"unavailable","error":"core 1 does not answer"}"#.to_owned()
            )
        );
    }
}
