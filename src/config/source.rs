//! The [`Source`] of the running program: files and the process's environment.

use std::io::{ErrorKind, Read as _};

use super::parser::Source;

/// The largest configuration file that is read, in bytes. nats-server has no limit; this one
/// keeps a wrong path (a log, a device) from filling the memory.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// Reads from the file system and the environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSource;

impl Source for SystemSource {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let file = std::fs::File::open(path)
            .map_err(|error| format!("open {path}: {}", reason(&error)))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("read {path}: {}", reason(&error)))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(format!("read {path}: larger than {MAX_FILE_BYTES} bytes"));
        }
        Ok(bytes)
    }

    fn environment(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }
}

/// The words that nats-server has for errors of the system: lower case, without the number.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "is a directory".to_owned(),
        ErrorKind::NotADirectory => "not a directory".to_owned(),
        _ => error.to_string(),
    }
}
