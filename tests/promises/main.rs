//! The promises between cores (ARCHITECTURE.md), over real sockets on one, two and four cores:
//! each test is named after its promise. More cores than CPUs are allowed.

#[path = "../common/mod.rs"]
mod common;

mod flush_barrier;
mod no_responders;
mod order;
mod queue_groups;
mod slow_consumers;

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

/// Connections enough for several on each core, however the acceptor spreads them.
fn crowd(server: &common::Server, n: usize) -> Vec<common::Client> {
    (0..n)
        .map(|_| common::Client::ready(server.addr()))
        .collect()
}
