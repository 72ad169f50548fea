//! The configuration language: any bytes give options or an error, never a panic, a hang or a
//! full memory. The file can include itself and finds itself in the environment too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringwire::config::{Command, Source, diff, load, parse_arguments, test_config};

struct OneFile<'a>(&'a [u8]);

impl Source for OneFile<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "c.conf" => Ok(self.0.to_vec()),
            _ => Err(format!("open {path}: no such file or directory")),
        }
    }

    fn environment(&self, name: &str) -> Option<String> {
        (name == "E").then(|| String::from_utf8_lossy(self.0).into_owned())
    }
}

fuzz_target!(|data: &[u8]| {
    let source = OneFile(data);
    let Ok(Command::Run(flags)) = parse_arguments(["-c", "c.conf"]) else { return };
    let _ = test_config(&flags, &source);
    if let Ok(configuration) = load(&flags, &source) {
        assert!(diff(&configuration.options, &configuration.options).is_ok());
    }
});
