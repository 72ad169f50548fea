//! Loads on JetStream.

mod api;
pub mod consume;
mod deliver;
pub mod publish;

use crate::connection::handshake::Target;
use crate::error::Error;
use crate::result::Parameter;
use api::Api;
use clap::ValueEnum;
use serde_json::json;
use std::fmt;

/// Where a stream keeps its messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Storage {
    #[default]
    File,
    Memory,
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Storage::File => "file",
            Storage::Memory => "memory",
        })
    }
}

/// The stream under load.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// One that exists; otherwise one is made, and removed at the end.
    pub existing: Option<String>,
    pub storage: Storage,
    pub replicas: usize,
    /// Atomic batches are allowed.
    pub atomic: bool,
}

/// A stream that is there.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    pub name: String,
    /// Messages go to this subject with one more token.
    pub subject: String,
    /// Remove it at the end.
    own: bool,
    /// What it held when it was found.
    pub messages: u64,
    pub first_sequence: u64,
}

impl StreamOptions {
    fn parameters(&self) -> Vec<Parameter> {
        match &self.existing {
            Some(name) => vec![super::parameter("stream", name)],
            None => vec![
                super::parameter("storage", self.storage),
                super::parameter("replicas", self.replicas),
            ],
        }
    }

    /// Makes the stream, or looks for it.
    fn open(&self, api: &mut Api) -> Result<Stream, Error> {
        if let Some(name) = &self.existing {
            let info = api.request(&format!("STREAM.INFO.{name}"), "")?;
            let subject = info["config"]["subjects"][0].as_str().unwrap_or_default();
            let plain = subject.strip_suffix(".>").or(subject.strip_suffix(".*"));
            return Ok(Stream {
                name: name.clone(),
                subject: plain.unwrap_or(subject).to_owned(),
                own: false,
                messages: info["state"]["messages"].as_u64().unwrap_or(0),
                first_sequence: info["state"]["first_seq"].as_u64().unwrap_or(0),
            });
        }
        let subject = super::unique_subject("js");
        let name = subject.replace('.', "_");
        let mut config = json!({
            "name": name,
            "subjects": [format!("{subject}.*")],
            "storage": self.storage.to_string(),
            "num_replicas": self.replicas,
            "retention": "limits",
        });
        if self.atomic {
            config["allow_atomic"] = true.into();
        }
        api.request(&format!("STREAM.CREATE.{name}"), &config.to_string())?;
        Ok(Stream {
            name,
            subject,
            own: true,
            messages: 0,
            first_sequence: 1,
        })
    }
}

impl Stream {
    /// Subject of publisher `id`. The subject of a stream that was there
    /// before may be literal.
    fn subject_of(&self, id: usize) -> String {
        if self.own {
            format!("{}.{id}", self.subject)
        } else {
            self.subject.clone()
        }
    }

    /// Messages in the stream now.
    fn count(&self, target: &Target) -> Result<u64, Error> {
        let info = Api::connect(target)?.request(&format!("STREAM.INFO.{}", self.name), "")?;
        Ok(info["state"]["messages"].as_u64().unwrap_or(0))
    }

    /// Removes it if it was made here.
    fn remove(&self, target: &Target) -> Result<(), Error> {
        if self.own {
            Api::connect(target)?.request(&format!("STREAM.DELETE.{}", self.name), "")?;
        }
        Ok(())
    }
}
