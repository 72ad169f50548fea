//! The options of a CONNECT.
//!
//! Decoded as nats-server 2.15.1 does: keys match in any case, unknown keys are ignored, `null`
//! and absent keys leave a field as it was, the last of equal keys counts, and a value of the
//! wrong type refuses the whole command. Input is bounded by the control line.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::errors::ErrorText;

/// What a client said about itself; absent texts are empty.
///
/// `Default` is what holds before any CONNECT. A later CONNECT is applied on top of an earlier.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `+OK` after each accepted command. Default true.
    pub verbose: bool,
    /// Check publish subjects. Default true.
    pub pedantic: bool,
    /// Deliver the connection's own messages to itself. Default true.
    pub echo: bool,
    /// May send HPUB and receive HMSG.
    pub headers: bool,
    /// Wants a 503 for requests that nobody receives.
    pub no_responders: bool,
    /// Informational.
    pub tls_required: bool,
    /// 1: accepts further INFOs. See [`ConnectOptions::refusal`] for other values.
    pub protocol: i64,
    pub name: Box<str>,
    pub lang: Box<str>,
    pub version: Box<str>,
    pub user: Box<str>,
    pub pass: Box<str>,
    pub auth_token: Box<str>,
    /// Public user nkey.
    pub nkey: Box<str>,
    /// User JWT.
    pub jwt: Box<str>,
    /// Signature of the nonce, base64.
    pub sig: Box<str>,
    /// Signature of the nonce by a trusted proxy.
    pub proxy_sig: Box<str>,
    /// Legacy; refused.
    pub account: Box<str>,
    /// Legacy; refused.
    pub new_account: bool,
    /// Routes and leaf nodes only.
    pub remote_account: Box<str>,
    /// Routes and leaf nodes only.
    pub import: Option<Box<SubjectLists>>,
    /// Routes and leaf nodes only.
    pub export: Option<Box<SubjectLists>>,
}

/// Subjects that a route or leaf node allows and denies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectLists {
    pub allow: Vec<Box<str>>,
    pub deny: Vec<Box<str>>,
}

/// A CONNECT that is not what it should be; the connection is closed in silence.
///
/// Names the place and not the value, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectError {
    /// Not JSON, or cut short.
    Syntax { column: usize },
    /// JSON of the wrong type.
    Type { column: usize },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Syntax { column } => {
                write!(f, "CONNECT is malformed JSON at byte {column}")
            }
            ConnectError::Type { column } => {
                write!(f, "CONNECT has a value of the wrong type at byte {column}")
            }
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<serde_json::Error> for ConnectError {
    fn from(error: serde_json::Error) -> Self {
        let column = error.column();
        match error.classify() {
            serde_json::error::Category::Data => ConnectError::Type { column },
            _ => ConnectError::Syntax { column },
        }
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        let none = Box::<str>::default;
        ConnectOptions {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            tls_required: false,
            protocol: 0,
            name: none(),
            lang: none(),
            version: none(),
            user: none(),
            pass: none(),
            auth_token: none(),
            nkey: none(),
            jwt: none(),
            sig: none(),
            proxy_sig: none(),
            account: none(),
            new_account: false,
            remote_account: none(),
            import: None,
            export: None,
        }
    }
}

impl ConnectOptions {
    /// Applies the text behind `CONNECT`. After an error the options are of no use.
    ///
    /// # Errors
    /// [`ConnectError`] if the text is no JSON object (or `null`) of the expected types.
    pub fn apply(&mut self, json: &[u8]) -> Result<(), ConnectError> {
        if let Some(column) = control_in_string(json) {
            return Err(ConnectError::Syntax { column });
        }
        let mut decoder = serde_json::Deserializer::from_slice(json);
        Fields(self).deserialize(&mut decoder)?;
        decoder.end()?;
        Ok(())
    }

    /// Why these options are refused with an `-ERR`, if they are. `server_headers` is false with
    /// `no_header_support`. To be asked after authentication, whose failure counts first.
    pub fn refusal(&self, server_headers: bool) -> Option<ErrorText> {
        if !self.account.is_empty() || self.new_account {
            Some(ErrorText::AuthorizationViolation)
        } else if !(0..=1).contains(&self.protocol) {
            Some(ErrorText::InvalidClientProtocol)
        } else if self.no_responders && !(self.headers && server_headers) {
            Some(ErrorText::NoRespondersRequiresHeaders)
        } else {
            None
        }
    }

    fn set<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "verbose" => set(map, &mut self.verbose),
            "pedantic" => set(map, &mut self.pedantic),
            "echo" => set(map, &mut self.echo),
            "headers" => set(map, &mut self.headers),
            "no_responders" => set(map, &mut self.no_responders),
            "tls_required" => set(map, &mut self.tls_required),
            "protocol" => set(map, &mut self.protocol),
            "name" => set_text(map, &mut self.name),
            "lang" => set_text(map, &mut self.lang),
            "version" => set_text(map, &mut self.version),
            "user" => set_text(map, &mut self.user),
            "pass" => set_text(map, &mut self.pass),
            "auth_token" => set_text(map, &mut self.auth_token),
            "nkey" => set_text(map, &mut self.nkey),
            "jwt" => set_text(map, &mut self.jwt),
            "sig" => set_text(map, &mut self.sig),
            "proxy_sig" => set_text(map, &mut self.proxy_sig),
            "account" => set_text(map, &mut self.account),
            "new_account" => set(map, &mut self.new_account),
            "remote_account" => set_text(map, &mut self.remote_account),
            "import" => set_lists(map, &mut self.import),
            "export" => set_lists(map, &mut self.export),
            _ => map.next_value::<IgnoredAny>().map(drop),
        }
    }
}

/// Shows who the client is, never what it proves it with.
impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("name", &self.name)
            .field("lang", &self.lang)
            .field("version", &self.version)
            .field("user", &self.user)
            .field("nkey", &self.nkey)
            .field("protocol", &self.protocol)
            .field("verbose", &self.verbose)
            .field("pedantic", &self.pedantic)
            .field("echo", &self.echo)
            .field("headers", &self.headers)
            .field("no_responders", &self.no_responders)
            .finish_non_exhaustive()
    }
}

/// Position of a raw control character inside a string. The decoder reads strings as raw bytes,
/// which skips its own check.
fn control_in_string(json: &[u8]) -> Option<usize> {
    let (mut inside, mut escaped) = (false, false);
    json.iter().position(|&byte| {
        if inside && byte < b' ' {
            return true;
        }
        let quote = byte == b'"' && !escaped;
        escaped = inside && byte == b'\\' && !escaped;
        inside ^= quote;
        false
    })
}

fn set<'de, A, T>(map: &mut A, field: &mut T) -> Result<(), A::Error>
where
    A: MapAccess<'de>,
    T: Deserialize<'de>,
{
    if let Some(value) = map.next_value::<Option<T>>()? {
        *field = value;
    }
    Ok(())
}

fn set_text<'de, A: MapAccess<'de>>(map: &mut A, field: &mut Box<str>) -> Result<(), A::Error> {
    if let Some(Text(value)) = map.next_value()? {
        *field = value;
    }
    Ok(())
}

fn set_lists<'de, A: MapAccess<'de>>(
    map: &mut A,
    field: &mut Option<Box<SubjectLists>>,
) -> Result<(), A::Error> {
    *field = map.next_value::<Option<SubjectLists>>()?.map(Box::new);
    Ok(())
}

/// A JSON string. What is no UTF-8 in it, escaped lone surrogates included, becomes U+FFFD.
struct Text(Box<str>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(String::from_utf8_lossy(bytes).into()))
            }
        }
        deserializer.deserialize_bytes(TextVisitor)
    }
}

/// A key in the one spelling of Go's case folding that the field names are written in.
fn folded(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{17F}' => 's',
            '\u{212A}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

/// Applies an object's fields.
struct Fields<'a>(&'a mut ConnectOptions);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key()? {
            self.0.set(&folded(&key), &mut map)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for SubjectLists {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lists;
        impl<'de> Visitor<'de> for Lists {
            type Value = SubjectLists;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of subject lists")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SubjectLists, A::Error> {
                let mut lists = SubjectLists::default();
                while let Some(Text(key)) = map.next_key()? {
                    let list = match folded(&key).as_str() {
                        "allow" => &mut lists.allow,
                        "deny" => &mut lists.deny,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    let subjects = map.next_value::<Option<Vec<Text>>>()?.unwrap_or_default();
                    *list = subjects.into_iter().map(|Text(subject)| subject).collect();
                }
                Ok(lists)
            }
        }
        deserializer.deserialize_map(Lists)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(json: &[u8]) -> Result<ConnectOptions, ConnectError> {
        let mut options = ConnectOptions::default();
        options.apply(json).map(|()| options)
    }

    fn verbose(json: &str) -> bool {
        connect(json.as_bytes()).unwrap().verbose
    }

    #[test]
    fn absent_and_null_fields_keep_what_was() {
        assert!(verbose("{}") && verbose("null") && verbose(r#"{"verbose":null}"#));
        let mut options = connect(br#"{"verbose":false,"headers":true,"name":"x"}"#).unwrap();
        options.apply(br#"{"verbose":null,"name":null}"#).unwrap();
        assert!(!options.verbose && options.headers && options.echo);
        assert_eq!(&*options.name, "x");
    }

    #[test]
    fn keys_match_in_any_case_and_the_last_counts() {
        for json in [
            r#"{"VERBOSE":false}"#,
            r#"{"\u0076erbose":false}"#,
            "{\"verbo\u{17f}e\":false}",
            r#"{"verbose":true,"verbose":false}"#,
            r#"{"verbose":false,"verbose":null}"#,
        ] {
            assert!(!verbose(json), "{json}");
        }
        assert!(verbose(r#"{"verbose":false,"Verbose":true}"#));
    }

    #[test]
    fn takes_all_fields() {
        let json = br#" {"user":"u","pass":"p","auth_token":"t","nkey":"U","jwt":"j","sig":"s",
            "proxy_sig":"x","name":"n","lang":"rust","version":"1","protocol":1,"echo":false,
            "pedantic":false,"tls_required":true,"headers":true,"no_responders":true,
            "account":"a","new_account":true,"remote_account":"r","unknown":{"a":[1e999,"\ud800"]},
            "import":{"Allow":["a",">"],"deny":null},"export":{"deny":["b"],"x":5}} "#;
        let options = connect(json).unwrap();
        assert_eq!((&*options.user, &*options.pass), ("u", "p"));
        assert_eq!((&*options.auth_token, &*options.jwt), ("t", "j"));
        assert_eq!(
            (&*options.nkey, &*options.sig, &*options.proxy_sig),
            ("U", "s", "x")
        );
        assert_eq!(
            (&*options.name, &*options.lang, &*options.version),
            ("n", "rust", "1")
        );
        assert!(!options.echo && !options.pedantic && options.tls_required);
        assert!(options.headers && options.no_responders && options.new_account);
        assert_eq!((&*options.account, &*options.remote_account), ("a", "r"));
        assert_eq!(options.import.unwrap().allow, ["a".into(), ">".into()]);
        assert_eq!(options.export.unwrap().deny, ["b".into()]);
    }

    #[test]
    fn refuses_what_the_real_server_refuses() {
        for json in [
            "",
            "\r",
            "[]",
            "\"x\"",
            "5",
            "{} x",
            "{}\0",
            "X {}",
            "{\"name\":\"a\",}",
            "{'a':1}",
            r#"{"verbose":"false"}"#,
            r#"{"verbose":1}"#,
            r#"{"verbose":TRUE}"#,
            r#"{"name":5}"#,
            r#"{"name":[]}"#,
            r#"{"protocol":"1"}"#,
            r#"{"protocol":1.0}"#,
            r#"{"protocol":1e0}"#,
            r#"{"protocol":99999999999999999999}"#,
            r#"{"protocol":0001}"#,
            r#"{"import":5}"#,
            r#"{"import":{"allow":[5]}}"#,
            r#"{"export":{"deny":"a"}}"#,
            "{\"name\":\"a\u{1}b\"}",
            "{\"name\":\"\\\"a\tb\"}",
            r#"{"verbose":false,"verbose":5,"a":1}"#,
            "\u{feff}{}",
        ] {
            assert!(connect(json.as_bytes()).is_err(), "{json:?}");
        }
        assert!(matches!(connect(b"{"), Err(ConnectError::Syntax { .. })));
        assert!(matches!(connect(b"[]"), Err(ConnectError::Type { .. })));
    }

    #[test]
    fn replaces_what_is_no_text() {
        assert_eq!(&*connect(b"{\"name\":\"\xff\"}").unwrap().name, "\u{fffd}");
        assert!(
            connect(br#"{"name":"\ud800"}"#)
                .unwrap()
                .name
                .contains('\u{fffd}')
        );
        let nested = format!("{{\"x\":{}{}}}", "[".repeat(2000), "]".repeat(2000));
        assert!(connect(nested.as_bytes()).is_ok());
    }

    #[test]
    fn refusals_have_their_texts() {
        let refusal = |json: &str| connect(json.as_bytes()).unwrap().refusal(true);
        assert_eq!(refusal("{}"), None);
        for protocol in [-1, 2] {
            let json = format!("{{\"protocol\":{protocol}}}");
            assert_eq!(refusal(&json), Some(ErrorText::InvalidClientProtocol));
        }
        let account = refusal(r#"{"account":"x","protocol":2,"no_responders":true}"#);
        assert_eq!(account, Some(ErrorText::AuthorizationViolation));
        let headers = Some(ErrorText::NoRespondersRequiresHeaders);
        assert_eq!(refusal(r#"{"no_responders":true}"#), headers);
        let both = connect(br#"{"no_responders":true,"headers":true}"#).unwrap();
        assert_eq!((both.refusal(true), both.refusal(false)), (None, headers));
    }

    #[test]
    fn debug_output_has_no_secrets() {
        let json = br#"{"pass":"s3cret","auth_token":"s3cret","jwt":"s3cret","sig":"s3cret"}"#;
        assert!(!format!("{:?}", connect(json).unwrap()).contains("s3cret"));
    }
}
