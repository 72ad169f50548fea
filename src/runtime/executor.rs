//! The threads of the broker: one pinned glommio executor a core.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use glommio::{ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement};

/// How an executor is set up. The defaults keep an idle executor small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorConfig {
    /// Bytes of registered memory for O_DIRECT files. glommio takes at least 64
    /// KiB, which is the default: enough while nothing is stored.
    pub io_memory: usize,
    /// Entries of each of glommio's three rings. Default 32; sockets have a ring of
    /// their own.
    pub ring_depth: usize,
    /// How long tasks run before glommio looks at its own rings, if none of them
    /// yields. Default 10 ms: a tick costs some 20 µs, which at 1 ms shows in the
    /// tail of the network task's latency.
    pub preempt_timer: Duration,
}

impl Default for ExecutorConfig {
    fn default() -> Self {
        Self {
            io_memory: 64 * 1024,
            ring_depth: 32,
            preempt_timer: Duration::from_millis(10),
        }
    }
}

/// Why an executor failed.
#[derive(Debug)]
pub enum ExecutorError {
    /// It did not start on this CPU, for the reason given.
    Start { cpu: usize, reason: String },
    /// Its thread ended without a result: a panic, or a failure to set up.
    Lost { cpu: usize, reason: String },
}

impl fmt::Display for ExecutorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { cpu, reason } => {
                write!(f, "cannot start an executor on CPU {cpu}: {reason}")
            }
            Self::Lost { cpu, reason } => write!(f, "the executor on CPU {cpu} failed: {reason}"),
        }
    }
}

impl std::error::Error for ExecutorError {}

/// A running executor.
pub struct Core<T: Send + 'static> {
    cpu: usize,
    handle: ExecutorJoinHandle<T>,
}

impl<T: Send + 'static> Core<T> {
    /// The CPU it is pinned to.
    pub fn cpu(&self) -> usize {
        self.cpu
    }

    /// Waits for the end of its main task.
    ///
    /// # Errors
    /// [`ExecutorError::Lost`].
    pub fn join(self) -> Result<T, ExecutorError> {
        let cpu = self.cpu;
        self.handle.join().map_err(|error| ExecutorError::Lost {
            cpu,
            reason: describe(&error),
        })
    }
}

/// Starts a thread pinned to `cpu` (by its system number) that runs the future
/// which `main` makes there, and with it all tasks it spawns. Several executors
/// may share a CPU; only tests want that.
///
/// # Errors
/// [`ExecutorError::Start`] if the CPU does not exist or no thread is to be had.
/// What fails on the thread itself comes with [`Core::join`].
pub fn start<M, F, T>(
    cpu: usize,
    name: &str,
    config: &ExecutorConfig,
    main: M,
) -> Result<Core<T>, ExecutorError>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let handle = LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .name(name)
        .io_memory(config.io_memory)
        .ring_depth(config.ring_depth)
        .preempt_timer(config.preempt_timer)
        .spawn(main)
        .map_err(|error| ExecutorError::Start {
            cpu,
            reason: describe(&error),
        })?;
    Ok(Core { cpu, handle })
}

fn describe(error: &GlommioError<()>) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cpus;

    #[test]
    fn runs_pinned_and_returns_its_result() {
        let cpu = cpus::allowed().unwrap()[0];
        let core = start(cpu, "test", &ExecutorConfig::default(), || async {
            cpus::allowed().unwrap()
        })
        .unwrap();
        assert_eq!(core.cpu(), cpu);
        assert_eq!(core.join().unwrap(), vec![cpu]);
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_an_error() {
        let refused = start(9999, "test", &ExecutorConfig::default(), || async {});
        assert!(matches!(
            refused.err(),
            Some(ExecutorError::Start { cpu: 9999, .. })
        ));
    }
}
