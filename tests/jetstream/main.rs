//! JetStream over real sockets: what a client gets, on one, two and four cores, and what is left
//! after a kill, a restart, a full disk and damage. Each test is named after what holds.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod consuming;
mod crash;
mod damage;
mod disk_full;
mod interest;
mod publishing;

use std::path::Path;

use common::{Server, ServerBuilder};
use tempfile::TempDir;

/// A server with JetStream in a directory of its own.
struct Node {
    server: Server,
    store: TempDir,
}

impl Node {
    #[track_caller]
    fn start(cores: usize) -> Node {
        let store = TempDir::new().expect("a directory for streams");
        Node {
            server: builder(store.path(), cores).start(),
            store,
        }
    }

    fn js(&self) -> client::Js {
        client::Js::connect(self.server.addr())
    }

    /// Kills the server and starts it anew on the same store.
    #[track_caller]
    fn restart(&mut self, cores: usize) {
        self.server.kill();
        self.server = builder(self.store.path(), cores).start();
    }
}

fn builder(store: &Path, cores: usize) -> ServerBuilder {
    let store = store.to_str().expect("UTF-8");
    Server::builder()
        .args(["-js", "-sd", store])
        .monitor()
        .cores(cores)
}

/// Makes one test for each number of cores of a function that takes it.
macro_rules! on_cores {
    ($($name:ident),+ $(,)?) => {
        $(
            mod $name {
                #[test]
                fn on_1_core() {
                    super::$name(1);
                }
                #[test]
                fn on_2_cores() {
                    super::$name(2);
                }
                #[test]
                fn on_4_cores() {
                    super::$name(4);
                }
            }
        )+
    };
}
use on_cores;
