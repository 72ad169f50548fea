//! Who we are to the server. NKeys and creds files: the decorated format of
//! NATS (`-----BEGIN NATS USER JWT-----`, `-----BEGIN USER NKEY SEED-----`).

use crate::error::Error;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// How a connection proves who it is.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    #[default]
    None,
    User {
        user: String,
        pass: Option<String>,
    },
    Token(String),
    /// A key, and the JWT of a creds file.
    Key {
        key: Arc<KeyPair>,
        jwt: Option<String>,
    },
}

/// The fields of CONNECT that depend on the credentials.
#[derive(Debug, Default, Serialize)]
pub struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nkey: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sig: Option<String>,
}

impl Credentials {
    /// An NKey: the seed itself or a file that holds it.
    pub fn nkey(text: &str) -> Result<Credentials, Error> {
        let seed = if text.starts_with('S') && !Path::new(text).exists() {
            text.to_owned()
        } else {
            let content = read(text)?;
            section(&content, "USER NKEY SEED")
                .unwrap_or_else(|| content.trim())
                .to_owned()
        };
        Ok(Credentials::Key {
            key: key(&seed, "the NKey")?,
            jwt: None,
        })
    }

    /// A creds file.
    pub fn creds(path: &str) -> Result<Credentials, Error> {
        let content = read(path)?;
        let (Some(jwt), Some(seed)) = (
            section(&content, "NATS USER JWT"),
            section(&content, "USER NKEY SEED"),
        ) else {
            return Err(Error::Usage(format!(
                "{path} is not a creds file: it has no NATS USER JWT or no USER NKEY SEED"
            )));
        };
        Ok(Credentials::Key {
            key: key(seed, path)?,
            jwt: Some(jwt.to_owned()),
        })
    }

    /// The fields that answer an INFO with `nonce`.
    pub fn fields(&self, nonce: Option<&str>) -> Result<Fields, String> {
        let mut fields = Fields::default();
        match self {
            Credentials::None => {}
            Credentials::User { user, pass } => {
                fields.user = Some(user.clone());
                fields.pass.clone_from(pass);
            }
            Credentials::Token(token) => fields.auth_token = Some(token.clone()),
            Credentials::Key { key, jwt } => {
                let nonce = nonce.ok_or("it asks for no signature: NKeys are not set up there")?;
                let signature = key
                    .sign(nonce.as_bytes())
                    .map_err(|error| format!("signing its nonce: {error}"))?;
                fields.sig = Some(URL_SAFE_NO_PAD.encode(signature));
                match jwt {
                    Some(jwt) => fields.jwt = Some(jwt.clone()),
                    None => fields.nkey = Some(key.public_key()),
                }
            }
        }
        Ok(fields)
    }
}

fn read(path: &str) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(Error::system(format!("reading {path}")))
}

fn key(seed: &str, of: &str) -> Result<Arc<KeyPair>, Error> {
    KeyPair::from_seed(seed)
        .map(Arc::new)
        .map_err(|error| Error::Usage(format!("{of} has no valid seed: {error}")))
}

/// The line between the BEGIN and END lines of a section.
fn section<'a>(content: &'a str, name: &str) -> Option<&'a str> {
    let begin = format!("BEGIN {name}-");
    let mut lines = content.lines().skip_while(|line| !line.contains(&begin));
    lines.next()?;
    lines
        .map(str::trim)
        .find(|line| !line.is_empty())
        .filter(|line| !line.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creds_text(key: &KeyPair) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\nthe.jwt.text\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            key.seed().unwrap()
        )
    }

    #[test]
    fn a_creds_file_signs_the_nonce() {
        let key = KeyPair::new_user();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("user.creds");
        std::fs::write(&path, creds_text(&key)).unwrap();
        let credentials = Credentials::creds(path.to_str().unwrap()).unwrap();
        let fields = credentials.fields(Some("abc")).unwrap();
        assert_eq!(fields.jwt.as_deref(), Some("the.jwt.text"));
        assert_eq!(fields.nkey, None);
        let signature = URL_SAFE_NO_PAD.decode(fields.sig.unwrap()).unwrap();
        assert!(key.verify(b"abc", &signature).is_ok());
        assert!(credentials.fields(None).is_err());

        // The seed of the same file, as an NKey.
        let fields = Credentials::nkey(path.to_str().unwrap())
            .unwrap()
            .fields(Some("n"))
            .unwrap();
        assert_eq!(fields.nkey, Some(key.public_key()));
    }

    #[test]
    fn what_is_no_key_is_named() {
        assert!(Credentials::nkey("SUNOTASEED").is_err());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("half.creds");
        std::fs::write(&path, "-----BEGIN NATS USER JWT-----\n-----END\n").unwrap();
        let error = Credentials::creds(path.to_str().unwrap()).unwrap_err();
        assert!(error.to_string().contains("not a creds file"), "{error}");
    }
}
