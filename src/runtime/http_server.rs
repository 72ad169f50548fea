//! The monitoring port's sockets: one short-lived thread a connection, bounded.
//!
//! Monitoring is read a few times a second by a few readers; blocking threads
//! with time limits are enough, and keep all of it off the data cores.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::gather::Gatherer;
use crate::monitor::http::HttpConnection;

/// Connections served at once; more are closed at once.
pub const CONNECTIONS_MAX: usize = 64;
/// How long a connection may say nothing, or take nothing.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes read at once.
const READ_BYTES: usize = 4096;

/// Serves the listener until the process ends.
pub fn serve(listener: TcpListener, gatherer: Arc<Gatherer>) -> std::io::Result<()> {
    let open = Arc::new(AtomicUsize::new(0));
    thread::Builder::new()
        .name("monitor".into())
        .spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                    open.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (gatherer, slot) = (Arc::clone(&gatherer), Open(Arc::clone(&open)));
                // Without a thread the connection is closed; the next may fare better.
                let _ = thread::Builder::new()
                    .name("monitor-conn".into())
                    .spawn(move || {
                        let _slot = slot;
                        // The peer's trouble is the peer's.
                        let _ = converse(stream, &gatherer);
                    });
            }
        })?;
    Ok(())
}

/// Counts a connection while it lives.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn converse(mut stream: TcpStream, gatherer: &Gatherer) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
    let mut http = HttpConnection::default();
    let mut buffer = [0; READ_BYTES];
    let mut output = Vec::new();
    loop {
        while let Some(request) = http.next_request(&mut output) {
            let (response, now) = gatherer.respond(&request.target);
            http.answer(&response, now, &mut output);
        }
        stream.write_all(&output)?;
        output.clear();
        if http.is_closing() {
            return Ok(());
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        http.receive(&buffer[..count]);
    }
}
