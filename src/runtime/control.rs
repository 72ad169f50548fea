//! The way between the cores and the control threads: requests to cores as
//! closures, events from cores as messages. None of it is on the data path.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::credentials::Check;
use super::driver::Driver;
use super::parker::Waker;
use super::signals::Signal;
use super::system::{SystemEvent, SystemSender};
use crate::broker::LogLevel;
use crate::monitor::snapshot::ConnSnapshot;

/// Work for a core, run between two turns.
pub type Call = Box<dyn FnOnce(&mut Driver) + Send>;

/// How long a control thread waits for a core's answer. A core that takes
/// longer is stuck, which /healthz then says.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Log lines that may wait to be written. A core never waits for the log: more
/// lines than that are dropped, and their number is logged.
pub const LOG_LINES_MAX: usize = 64 * 1024;

/// How control threads reach a core.
#[derive(Clone)]
pub struct CoreHandle {
    calls: Sender<Call>,
    /// Calls that were sent and not run.
    waiting: Arc<AtomicUsize>,
    waker: Waker,
}

impl CoreHandle {
    /// A handle, and the core's end of it.
    pub fn new(waker: Waker) -> (Self, Calls) {
        let (calls, inbox) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let handle = Self {
            calls,
            waiting: Arc::clone(&waiting),
            waker,
        };
        (handle, Calls { inbox, waiting })
    }

    /// Has the core run `call`. A core that has ended drops it.
    pub fn call(&self, call: Call) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        if self.calls.send(call).is_ok() {
            self.waker.wake();
        }
    }

    /// Has the core run `ask` and returns its answer; `None` if the core has
    /// ended or does not answer in [`ANSWER_TIMEOUT`].
    pub fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Driver) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answers) = channel();
        self.call(Box::new(move |driver| {
            // Who asked may have given up.
            let _ = answer.send(ask(driver));
        }));
        answers.recv_timeout(ANSWER_TIMEOUT).ok()
    }
}

/// A core's end of its handles.
pub struct Calls {
    inbox: Receiver<Call>,
    waiting: Arc<AtomicUsize>,
}

impl Calls {
    /// Whether none waits: the look before sleeping.
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// The oldest call.
    #[inline]
    pub fn next(&self) -> Option<Call> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let call = self.inbox.try_recv().ok()?;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Some(call)
    }
}

/// What the control thread reacts to.
pub enum ControlEvent {
    Log {
        level: LogLevel,
        line: String,
    },
    Closed(Box<ConnSnapshot>),
    Verify(Check),
    /// Claims of an account that a login waits for, or why there are none.
    AccountFetched {
        account: String,
        result: Result<String, String>,
        check: Check,
    },
    Signal(Signal),
    /// Read the configuration again and tell how that went.
    Reload(Sender<Result<(), String>>),
    /// A core's loop ended, with the reason if it was not told to.
    CoreEnded {
        core: usize,
        error: Option<String>,
    },
}

/// How cores and helper threads reach the control thread.
#[derive(Clone)]
pub struct ControlSender {
    events: Sender<ControlEvent>,
    lines: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    system: SystemSender,
}

impl ControlSender {
    /// A sender, and the control thread's end. What is for the system services goes to `system`.
    pub fn new(system: SystemSender) -> (Self, ControlReceiver) {
        let (events, inbox) = channel();
        let lines = Arc::new(AtomicUsize::new(0));
        let dropped = Arc::new(AtomicUsize::new(0));
        let sender = Self {
            events,
            lines: Arc::clone(&lines),
            dropped: Arc::clone(&dropped),
            system,
        };
        (
            sender,
            ControlReceiver {
                inbox,
                lines,
                dropped,
            },
        )
    }

    /// Sends an event. After the control thread ended it is lost, as the process is about to.
    pub fn send(&self, event: ControlEvent) {
        let _ = self.events.send(event);
    }

    /// Logs a line.
    pub fn log(&self, level: LogLevel, line: String) {
        if self.lines.load(Ordering::Relaxed) >= LOG_LINES_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.lines.fetch_add(1, Ordering::Relaxed);
        self.send(ControlEvent::Log { level, line });
    }

    /// Hands something to the system services, or drops it if they are behind.
    pub fn system(&self, event: SystemEvent) {
        self.system.send(event);
    }

    /// Logs an error.
    pub fn error(&self, line: String) {
        self.log(LogLevel::Error, line);
    }
}

/// The control thread's end.
pub struct ControlReceiver {
    inbox: Receiver<ControlEvent>,
    lines: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl ControlReceiver {
    /// The next event; `None` after `timeout`. Without one it waits as long as it takes.
    pub fn next(&self, timeout: Option<Duration>) -> Option<ControlEvent> {
        let event = match timeout {
            None => self.inbox.recv().ok()?,
            Some(timeout) => match self.inbox.recv_timeout(timeout) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            },
        };
        if matches!(event, ControlEvent::Log { .. }) {
            self.lines.fetch_sub(1, Ordering::Relaxed);
        }
        Some(event)
    }

    /// Log lines that were dropped since the last call.
    pub fn take_dropped(&self) -> usize {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}
