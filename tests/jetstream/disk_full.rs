//! A full disk: publishers get the error, what is stored stays, work resumes when there is room.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{builder, client::Js};

/// A file system of its own in a file, mounted for the time of a test.
struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    /// Bytes of the file system.
    const BYTES: u64 = 64 * 1024 * 1024;

    fn new() -> Option<Self> {
        let dir = tempfile::TempDir::new().expect("a directory");
        let image = dir.path().join("image");
        let at = dir.path().join("at");
        std::fs::create_dir(&at).unwrap();
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(Self::BYTES).unwrap();
        let run = |program: &str, args: &[&Path]| {
            Command::new(program)
                .args(args)
                .output()
                .is_ok_and(|o| o.status.success())
        };
        let quiet = [Path::new("-q"), Path::new("-m0"), &image];
        let made = run("mkfs.ext4", &quiet) && run("mount", &[Path::new("-oloop"), &image, &at]);
        made.then_some(Self { dir })
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("at")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

#[test]
fn a_full_disk_refuses_keeps_and_resumes() {
    let Some(mount) = Mount::new() else {
        println!("skipped: no right to mount a file system in a file");
        return;
    };
    let server = builder(&mount.path(), 2).start();
    let mut js = Js::connect(server.addr());
    js.add_stream("S", &["s"], json!({}));
    let body = vec![b'x'; 256 * 1024];
    let mut stored = 0;
    let refused = loop {
        let ack = js.publish("s", &body);
        if ack["error"].is_object() {
            break ack;
        }
        stored += 1;
        assert!(
            stored * (256 * 1024) < Mount::BYTES,
            "the disk never was full"
        );
    };
    assert!(refused["error"]["code"].as_u64() >= Some(500), "{refused}");
    let state = js.state("S");
    assert_eq!(state["last_seq"], stored, "{state}");
    for seq in [1, stored / 2, stored] {
        assert_eq!(
            js.stored("S", seq).map(|b| b.len()),
            Ok(body.len()),
            "{seq}"
        );
    }
    js.api_ok("STREAM.PURGE.S", json!({}));
    let mut tries = 0;
    loop {
        let ack = js.publish("s", "after");
        if ack["error"].is_null() {
            break;
        }
        tries += 1;
        assert!(tries < 100_000, "it never resumed: {ack}");
    }
}
