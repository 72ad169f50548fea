//! A subscriber that never reads, beside another load: from the begin of the
//! measured part on.

use super::ONLY_SID;
use crate::connection::net::{ConnId, Net, OnClose};
use crate::connection::protocol::{Msg, subscribe};
use crate::engine::{LastWords, Load, Share, Tally, Work};
use crate::error::Error;
use crate::result::{Pacing, Parameter};

/// Bytes read at the end, to see whether the server cut it off. More than the
/// kernel's buffers hold.
const READ_LIMIT: usize = 256 * 1024 * 1024;

pub struct Stalled {
    pub subject: String,
}

impl Work for Stalled {
    fn title(&self) -> String {
        "beside one that never reads".into()
    }

    fn pacing(&self) -> Pacing {
        Pacing::OpenLoop
    }

    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    fn latency_measured(&self) -> &'static str {
        ""
    }

    fn connections(&self) -> usize {
        1
    }

    fn load(&self, share: Share) -> Box<dyn Load> {
        Box::new(StalledLoad {
            subject: self.subject.clone(),
            here: share.thread == 0,
            conn: None,
            tally: Tally::default(),
        })
    }

    fn is_aside(&self) -> bool {
        true
    }
}

struct StalledLoad {
    subject: String,
    /// Another thread has it otherwise.
    here: bool,
    conn: Option<ConnId>,
    tally: Tally,
}

impl Load for StalledLoad {
    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        if self.here {
            self.conn = Some(net.connect(0)?);
        }
        Ok(())
    }

    fn begin(&mut self, net: &mut Net, _now: u64) -> Result<(), Error> {
        if let Some(conn) = self.conn {
            net.stop_reading(conn)?;
            subscribe(net.out(conn), &self.subject, None, ONLY_SID);
        }
        Ok(())
    }

    fn publish(&mut self, _net: &mut Net, _now: u64) -> Result<(), Error> {
        Ok(())
    }

    fn is_quiet(&self, now: u64) -> bool {
        now >= self.tally.until
    }

    fn message(&mut self, _tag: usize, _now: u64, _msg: &Msg<'_>, _out: &mut Vec<u8>) {}

    fn closed(&mut self, _tag: usize, _how: &str) -> OnClose {
        OnClose::GoOn
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn conclude(&mut self, net: &mut Net) -> LastWords {
        let notes = self.conn.map(|conn| {
            if net.drain_stalled(conn, READ_LIMIT) {
                "the subscriber that never reads was cut off".to_owned()
            } else {
                "the subscriber that never reads was not cut off".to_owned()
            }
        });
        LastWords {
            notes: notes.into_iter().collect(),
            ..LastWords::default()
        }
    }
}
