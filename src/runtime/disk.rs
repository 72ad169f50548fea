//! The store's files of one core: the real [`Disk`].
//!
//! Data goes through the core's own ring, with O_DIRECT: no system call of its
//! own, and the core sleeps in one place for sockets and files. Everything that
//! has no place there or may block for long (names, directories, space, locks,
//! closing) is done by a [helper](helper::Helper) thread of the core, in the order
//! in which it was asked for.

mod helper;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

use io_uring::types::{Fd, FsyncFlags};
use io_uring::{opcode, squeue};

pub use self::helper::{Answer, AnswerSink};
use self::helper::{Helper, Request};
use super::net_ring::NetRing;
use super::send_buffer::SendBuffer;
use crate::store::disk::BLOCK;
use crate::store::{Aligned, Completed, Disk, DiskError, FileId, Op, Output, Tag};

/// Most bytes of one operation; longer ones are done in several.
const OPERATION_BYTES_MAX: usize = 1 << 30;

/// An operation that the kernel carries out.
enum Work {
    Read {
        offset: u64,
        buffer: Aligned,
        filled: usize,
    },
    Write {
        offset: u64,
        buffer: Aligned,
        left: Range<usize>,
        sync: bool,
    },
    Sync,
}

struct Running {
    tag: Tag,
    file: FileId,
    fd: Arc<OwnedFd>,
    work: Work,
}

struct File {
    fd: Arc<OwnedFd>,
    /// Operations in the ring.
    running: u32,
    /// To be closed when there are none.
    closing: Option<Tag>,
}

/// The files of one core.
pub struct RingDisk {
    files: HashMap<FileId, File>,
    /// By the number that the ring knows them by.
    running: Vec<Option<Running>>,
    free: Vec<u32>,
    /// Numbers of operations that the ring has not got yet.
    unsent: Vec<u32>,
    helper: Helper,
    /// Answers that nobody took yet.
    completed: Vec<Completed>,
}

impl RingDisk {
    /// Files below `root`. `answers` takes the helper's answers back to the core.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(root: PathBuf, name: &str, answers: AnswerSink) -> io::Result<Self> {
        Ok(Self {
            files: HashMap::new(),
            running: Vec::new(),
            free: Vec::new(),
            unsent: Vec::new(),
            helper: Helper::start(root, name, answers)?,
            completed: Vec::new(),
        })
    }

    /// Whether an operation waits for [`RingDisk::send_to`].
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Hands what was submitted to the ring.
    pub fn send_to<B: SendBuffer>(&mut self, ring: &mut NetRing<B>) {
        for index in std::mem::take(&mut self.unsent) {
            let Some(running) = self.running[index as usize].as_mut() else {
                continue;
            };
            let operation = entry(running);
            // SAFETY: buffer and descriptor stay in `running` until the event, and
            // are leaked if this value goes before.
            unsafe { ring.push_file(operation, index) };
        }
    }

    /// The ring's answer to operation `index`.
    pub fn on_ring(&mut self, index: u32, result: i32) {
        let Some(running) = self
            .running
            .get_mut(index as usize)
            .and_then(Option::as_mut)
        else {
            return;
        };
        if !is_over(running, result) {
            self.unsent.push(index);
            return;
        }
        let Some(running) = self.running[index as usize].take() else {
            return;
        };
        self.free.push(index);
        let (output, buffer) = match running.work {
            Work::Read { buffer, filled, .. } => (Output::Read { bytes: filled }, Some(buffer)),
            Work::Write { buffer, .. } => (Output::Done, Some(buffer)),
            Work::Sync => (Output::Done, None),
        };
        let result = if result < 0 {
            Err(disk_error(-result))
        } else {
            Ok(output)
        };
        self.completed.push(Completed {
            tag: running.tag,
            result,
            buffer,
        });
        if let Some(file) = self.files.get_mut(&running.file) {
            file.running -= 1;
            if file.running == 0
                && let Some(tag) = file.closing
            {
                self.close(running.file, tag);
            }
        }
    }

    /// The helper's answer.
    pub fn on_helper(&mut self, answer: Answer) {
        if let Some((file, fd)) = answer.opened {
            self.files.insert(
                file,
                File {
                    fd,
                    running: 0,
                    closing: None,
                },
            );
        }
        self.completed.push(Completed {
            tag: answer.tag,
            result: answer.result,
            buffer: None,
        });
    }

    /// Takes the answers that came.
    pub fn take_completed(&mut self, into: &mut Vec<Completed>) {
        into.append(&mut self.completed);
    }

    /// Whether nothing is under way and no answer waits.
    pub fn is_quiet(&self) -> bool {
        self.free.len() == self.running.len() && self.completed.is_empty()
    }

    /// Whether an answer waits for [`RingDisk::take_completed`].
    pub fn has_completed(&self) -> bool {
        !self.completed.is_empty()
    }

    fn start(&mut self, tag: Tag, file: FileId, work: Work) {
        let Some(open) = self.files.get_mut(&file).filter(|f| f.closing.is_none()) else {
            let buffer = match work {
                Work::Read { buffer, .. } | Work::Write { buffer, .. } => Some(buffer),
                Work::Sync => None,
            };
            self.completed.push(Completed {
                tag,
                result: Err(DiskError::Io(libc::EBADF)),
                buffer,
            });
            return;
        };
        open.running += 1;
        let running = Running {
            tag,
            file,
            fd: Arc::clone(&open.fd),
            work,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.running[index as usize] = Some(running);
                index
            }
            None => {
                self.running.push(Some(running));
                self.running.len() as u32 - 1
            }
        };
        self.unsent.push(index);
    }

    fn close(&mut self, file: FileId, tag: Tag) {
        if let Some(open) = self.files.remove(&file) {
            self.helper.ask(tag, Request::Close(open.fd));
        }
    }

    fn with_file(&mut self, tag: Tag, file: FileId, request: impl FnOnce(Arc<OwnedFd>) -> Request) {
        match self.files.get(&file) {
            Some(open) => {
                let request = request(Arc::clone(&open.fd));
                self.helper.ask(tag, request);
            }
            None => self.completed.push(Completed {
                tag,
                result: Err(DiskError::Io(libc::EBADF)),
                buffer: None,
            }),
        }
    }
}

impl Disk for RingDisk {
    fn submit(&mut self, tag: Tag, op: Op) {
        match op {
            Op::Read {
                file,
                offset,
                buffer,
            } => {
                let work = Work::Read {
                    offset,
                    buffer,
                    filled: 0,
                };
                self.start(tag, file, work);
            }
            Op::Write {
                file,
                offset,
                buffer,
                range,
                sync,
            } => {
                let work = Work::Write {
                    offset,
                    buffer,
                    left: range,
                    sync,
                };
                self.start(tag, file, work);
            }
            Op::Sync { file } => self.start(tag, file, Work::Sync),
            Op::Close { file } => match self.files.get_mut(&file) {
                Some(open) if open.running > 0 => open.closing = Some(tag),
                Some(_) => self.close(file, tag),
                None => self.completed.push(Completed {
                    tag,
                    result: Err(DiskError::Io(libc::EBADF)),
                    buffer: None,
                }),
            },
            Op::Allocate { file, length } => {
                self.with_file(tag, file, |fd| Request::Allocate(fd, length));
            }
            Op::Truncate { file, length } => {
                self.with_file(tag, file, |fd| Request::Truncate(fd, length));
            }
            Op::MakeDir { path } => self.helper.ask(tag, Request::MakeDir(path)),
            Op::List { path } => self.helper.ask(tag, Request::List(path)),
            Op::Open { file, path, mode } => self.helper.ask(tag, Request::Open(file, path, mode)),
            Op::Rename { from, to } => self.helper.ask(tag, Request::Rename(from, to)),
            Op::Remove { path } => self.helper.ask(tag, Request::Remove(path)),
            Op::RemoveTree { path } => self.helper.ask(tag, Request::RemoveTree(path)),
            Op::SyncDir { path } => self.helper.ask(tag, Request::SyncDir(path)),
        }
    }
}

impl Drop for RingDisk {
    fn drop(&mut self) {
        // The ring may be gone with operations that the kernel still carries out.
        for running in self.running.drain(..).flatten() {
            std::mem::forget(running);
        }
    }
}

fn entry(running: &mut Running) -> squeue::Entry {
    let fd = Fd(raw(&running.fd));
    match &mut running.work {
        Work::Read {
            offset,
            buffer,
            filled,
        } => {
            let at = *offset + *filled as u64;
            let part = &mut buffer[*filled..];
            let length = part.len().min(OPERATION_BYTES_MAX) as u32;
            opcode::Read::new(fd, part.as_mut_ptr(), length)
                .offset(at)
                .build()
        }
        Work::Write {
            offset,
            buffer,
            left,
            sync,
        } => {
            let part = &buffer[left.clone()];
            let length = part.len().min(OPERATION_BYTES_MAX) as u32;
            let flags = if *sync { libc::RWF_DSYNC } else { 0 };
            opcode::Write::new(fd, part.as_ptr(), length)
                .offset(*offset)
                .rw_flags(flags)
                .build()
        }
        Work::Sync => opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build(),
    }
}

fn raw(fd: &OwnedFd) -> RawFd {
    fd.as_raw_fd()
}

/// Takes note of a result; false if the operation must go on.
fn is_over(running: &mut Running, result: i32) -> bool {
    if matches!(-result, libc::EINTR | libc::EAGAIN) {
        return false;
    }
    let Ok(bytes) = usize::try_from(result) else {
        return true;
    };
    match &mut running.work {
        Work::Read { buffer, filled, .. } => {
            *filled += bytes;
            // Short of a whole block: the end of the file.
            bytes == 0 || !bytes.is_multiple_of(BLOCK) || *filled == buffer.len()
        }
        Work::Write { offset, left, .. } => {
            left.start += bytes;
            *offset += bytes as u64;
            left.start == left.end
        }
        Work::Sync => true,
    }
}

/// The store's name for an errno.
fn disk_error(errno: i32) -> DiskError {
    match errno {
        libc::ENOENT => DiskError::NotFound,
        libc::EEXIST => DiskError::Exists,
        libc::ENOSPC | libc::EDQUOT => DiskError::NoSpace,
        libc::EWOULDBLOCK => DiskError::Locked,
        errno => DiskError::Io(errno),
    }
}

#[cfg(test)]
mod tests;
