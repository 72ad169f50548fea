//! The threads of the broker: one pinned glommio executor a core.
//!
//! # Why nothing is preempted
//! glommio (0.12 of the fork, and the original) can sleep with a task ready to run.
//! Its loop reaps completions, which makes tasks ready and arms the preemption
//! timer; then it runs tasks unless the timer has fired. If the timer fires between
//! the two, because the thread lost its CPU for that long, `run_task_queues` leaves
//! before the first task and reports that none ran, which the loop takes for "none
//! is ready": the timer's completion wakes nobody, and the executor goes to sleep
//! over the ready task. With a timer of 20 µs the parking test (`tests/parking.rs`)
//! hangs after four sleeps, of 100 µs after some hundred, of 10 ms after some ten
//! thousand on a busy machine. So the timer is set out of reach here, and two things
//! follow for tasks:
//! - nothing preempts them: `yield_if_needed` never yields, long work must yield by
//!   its own count (`yield_task_queue_now`);
//! - queues with `Latency::Matters` are not to be used, as they shorten the timer.
//!
//! The same window is open, though narrower, to whatever else completes on glommio's
//! latency ring: wakes from other threads through glommio's own wakers or its
//! `spawn_blocking`, and more than `ring_depth` completions of its main ring at once.
//! Threads talk through [`super::links`] instead.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use glommio::{ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement};

/// glommio's preemption timer: longer than any thread waits for its CPU.
const PREEMPTION: Duration = Duration::from_secs(3600);

/// How an executor is set up. The defaults keep an idle executor small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorConfig {
    /// Bytes of registered memory for O_DIRECT files. glommio takes at least 64
    /// KiB, which is the default: enough while nothing is stored.
    pub io_memory: usize,
    /// Entries of each of glommio's three rings. Default 32; sockets have a ring of
    /// their own.
    pub ring_depth: usize,
}

impl Default for ExecutorConfig {
    fn default() -> Self {
        Self {
            io_memory: 64 * 1024,
            ring_depth: 32,
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
        .preempt_timer(PREEMPTION)
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
