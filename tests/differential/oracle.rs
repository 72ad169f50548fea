//! Where a real `nats-server` may be.

use std::path::{Path, PathBuf};

/// The first of the places that the module above names.
pub fn find() -> Option<PathBuf> {
    let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .map(|dir| dir.join("nats-server"));
    let installed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/venv/bin/nats-server");
    named
        .into_iter()
        .chain(on_path)
        .chain([installed])
        .find(|path| path.is_file())
}
