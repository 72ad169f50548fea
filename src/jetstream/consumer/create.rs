//! Requests to create or update a consumer, and what their subject has to say about them.

use crate::jetstream::error::{ApiError, ErrorCode};
use crate::jetstream::json::{self, Decode, JsonError, Node, Place, Value};
use crate::json_object;

use super::config::ConsumerConfig;

/// What a request may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    #[default]
    CreateOrUpdate,
    Create,
    Update,
}

impl Decode for Action {
    fn decode(&mut self, node: &Node<'_>, _: &Place<'_>) -> Result<(), JsonError> {
        *self = match &node.value {
            Value::Null => return Ok(()),
            Value::Text(name) if name.is_empty() => Self::CreateOrUpdate,
            Value::Text(name) if name == "create" => Self::Create,
            Value::Text(name) if name == "update" => Self::Update,
            _ => {
                let raw = String::from_utf8_lossy(node.raw);
                return Err(JsonError(format!("unknown consumer action: {raw}")));
            }
        };
        Ok(())
    }
}

/// The body of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateConsumerRequest {
    pub stream_name: String,
    pub config: ConsumerConfig,
    pub action: Action,
    /// Refuse what would be corrected silently.
    pub pedantic: bool,
}

json_object!(CreateConsumerRequest, "server.CreateConsumerRequest", {
    "stream_name" => stream_name,
    "config" => config,
    "action" => action,
    "pedantic" => pedantic,
});

/// The three forms of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateSubject<'a> {
    /// `CONSUMER.CREATE.<stream>`.
    Unnamed,
    /// `CONSUMER.DURABLE.CREATE.<stream>.<consumer>`.
    Durable { consumer: &'a str },
    /// `CONSUMER.CREATE.<stream>.<consumer>[.<filter>]`.
    Named {
        consumer: &'a str,
        filter: Option<&'a str>,
    },
}

impl CreateConsumerRequest {
    /// Reads a body; an empty one is an empty request.
    ///
    /// # Errors
    /// 10025.
    pub fn parse(body: &[u8], strict: bool) -> Result<Self, ApiError> {
        let mut request = Self::default();
        json::decode(&mut request, body, "CreateConsumerRequest", strict)
            .map_err(|e| ErrorCode::InvalidJson.with(e))?;
        Ok(request)
    }

    /// Checks the request against the subject it came on, and takes the name from there.
    ///
    /// # Errors
    /// Names or filters that differ.
    pub fn reconcile(&mut self, stream: &str, subject: CreateSubject<'_>) -> Result<(), ApiError> {
        if self.stream_name != stream {
            return Err(ErrorCode::StreamMismatch.into());
        }
        let config = &mut self.config;
        match subject {
            CreateSubject::Unnamed => {
                if config.is_durable() {
                    return Err(ErrorCode::ConsumerEphemeralWithDurableName.into());
                }
            }
            CreateSubject::Durable { consumer } => {
                if !config.is_durable() {
                    return Err(ErrorCode::ConsumerDurableNameNotSet.into());
                }
                if config.durable_name != consumer {
                    return Err(ErrorCode::ConsumerDurableNameNotMatchSubject.into());
                }
                consumer.clone_into(&mut config.name);
            }
            CreateSubject::Named { consumer, filter } => {
                if config.is_durable() && config.durable_name != consumer {
                    return Err(ErrorCode::ConsumerDurableNameNotMatchSubject.into());
                }
                if let Some(filter) = filter {
                    if !config.filter_subjects.is_empty() {
                        return Err(ErrorCode::ConsumerMultipleFiltersNotAllowed.into());
                    }
                    if config.filter_subject != filter {
                        return Err(ErrorCode::ConsumerCreateFilterSubjectMismatch.into());
                    }
                }
                consumer.clone_into(&mut config.name);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reconcile(config: &str, subject: CreateSubject<'_>) -> Result<String, u16> {
        let body = format!(r#"{{"stream_name":"S","config":{config}}}"#);
        let mut request = CreateConsumerRequest::parse(body.as_bytes(), true).unwrap();
        request
            .reconcile("S", subject)
            .map_err(|e| e.code.number())?;
        Ok(request.config.name)
    }

    /// Asked of nats-server 2.15.1.
    #[test]
    fn names_and_filters_agree_with_the_subject() {
        use CreateSubject::*;
        let named = |consumer, filter| Named { consumer, filter };
        assert_eq!(reconcile("{}", Unnamed), Ok(String::new()));
        assert_eq!(reconcile(r#"{"name":"n1"}"#, Unnamed), Ok("n1".into()));
        assert_eq!(reconcile(r#"{"durable_name":"d"}"#, Unnamed), Err(10_020));
        assert_eq!(reconcile("{}", named("x3", None)), Ok("x3".into()));
        assert_eq!(
            reconcile(r#"{"name":"x1"}"#, named("x2", None)),
            Ok("x2".into())
        );
        assert_eq!(
            reconcile(r#"{"durable_name":"x7","name":"x8"}"#, named("x7", None)),
            Ok("x7".into())
        );
        let one = r#"{"filter_subject":"s.1"}"#;
        assert_eq!(reconcile(one, named("x4", Some("s.1"))), Ok("x4".into()));
        assert_eq!(reconcile(one, named("x4", Some("s.2"))), Err(10_131));
        assert_eq!(reconcile(one, named("x5", None)), Ok("x5".into()));
        assert_eq!(reconcile("{}", named("x4", Some("s.2"))), Err(10_131));
        let many = r#"{"filter_subjects":["s.1"]}"#;
        assert_eq!(reconcile(many, named("x4", Some("s.1"))), Err(10_137));
        let durable = Durable { consumer: "x9" };
        assert_eq!(reconcile("{}", durable), Err(10_018));
        assert_eq!(reconcile(r#"{"name":"x9"}"#, durable), Err(10_018));
        assert_eq!(reconcile(r#"{"durable_name":"x7"}"#, durable), Err(10_017));
        assert_eq!(
            reconcile(r#"{"durable_name":"x9","name":"y"}"#, durable),
            Ok("x9".into())
        );
    }

    #[test]
    fn actions_are_three() {
        let parse = |action: &str| {
            let body = format!(r#"{{"stream_name":"S","action":{action}}}"#);
            CreateConsumerRequest::parse(body.as_bytes(), true)
                .map(|r| r.action)
                .map_err(|e| e.description.into_owned())
        };
        assert_eq!(parse("\"\""), Ok(Action::CreateOrUpdate));
        assert_eq!(parse("\"create\""), Ok(Action::Create));
        assert_eq!(parse("\"update\""), Ok(Action::Update));
        assert_eq!(
            parse("\"bogus\"").unwrap_err(),
            r#"invalid JSON: unknown consumer action: "bogus""#
        );
        assert_eq!(
            parse("3").unwrap_err(),
            "invalid JSON: unknown consumer action: 3"
        );
    }

    #[test]
    fn another_stream_in_the_body_is_refused() {
        let mut empty = CreateConsumerRequest::parse(b"", true).unwrap();
        let error = empty.reconcile("S", CreateSubject::Unnamed).unwrap_err();
        assert_eq!(error.code, ErrorCode::StreamMismatch);
    }
}
