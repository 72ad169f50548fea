//! A source without a file system, and short ways through it.

use std::collections::HashMap;

use super::super::*;

/// Files and environment variables of one test.
#[derive(Default)]
pub(super) struct Memory {
    pub files: HashMap<String, Vec<u8>>,
    pub environment: HashMap<String, String>,
}

impl Memory {
    /// One file, named `c.conf`.
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        Memory::default().file("c.conf", text)
    }

    pub fn file(mut self, path: &str, text: impl AsRef<[u8]>) -> Self {
        self.files.insert(path.to_owned(), text.as_ref().to_vec());
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// What `-t` says, without the program's name.
    pub fn test(&self) -> Result<String, String> {
        test_config(&flags(&["-c", "c.conf"]), self)
            .map_err(|error| error.to_string().trim_end().to_owned())
    }

    /// The options that a server started with these flags has.
    pub fn load(&self, extra: &[&str]) -> Result<Configuration, String> {
        let arguments: Vec<&str> = ["-c", "c.conf"].iter().chain(extra).copied().collect();
        load(&flags(&arguments), self).map_err(|error| error.to_string().trim_end().to_owned())
    }

    pub fn options(&self, extra: &[&str]) -> Options {
        self.load(extra).expect("a valid configuration").options
    }
}

impl Source for Memory {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let missing = || format!("open {path}: no such file or directory");
        self.files.get(path).cloned().ok_or_else(missing)
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }
}

pub(super) fn flags(arguments: &[&str]) -> Flags {
    match parse_arguments(arguments.iter().copied()) {
        Ok(Command::Run(flags)) => flags,
        other => panic!("{arguments:?} gave {other:?}"),
    }
}
