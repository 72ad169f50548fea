//! The thread that does for a core what may block: names, directories, space,
//! locks. One request at a time, in order.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::disk_error;
use crate::store::disk::DirEntry;
use crate::store::{DiskError, FileId, OpenMode, Output, Tag};

/// How long a file that another process holds is waited for: the writes of a
/// killed predecessor outlive it by some milliseconds.
pub const LOCK_PATIENCE: Duration = Duration::from_millis(1500);
/// Between two looks at such a file.
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// What the helper is asked for. Paths are relative to the store.
pub(super) enum Request {
    MakeDir(String),
    List(String),
    Open(FileId, String, OpenMode),
    Close(Arc<OwnedFd>),
    Allocate(Arc<OwnedFd>, u64),
    Truncate(Arc<OwnedFd>, u64),
    Rename(String, String),
    Remove(String),
    RemoveTree(String),
    SyncDir(String),
}

/// What it found.
pub struct Answer {
    pub tag: Tag,
    pub result: Result<Output, DiskError>,
    /// A file that was opened.
    pub opened: Option<(FileId, Arc<OwnedFd>)>,
    /// Something for the log.
    pub warning: Option<String>,
}

/// Takes answers to their core.
pub type AnswerSink = Box<dyn Fn(Answer) + Send>;

/// The core's end.
pub(super) struct Helper {
    requests: Sender<(Tag, Request)>,
}

impl Helper {
    /// # Errors
    /// If no thread can be started.
    pub fn start(root: PathBuf, name: &str, answers: AnswerSink) -> io::Result<Self> {
        let (requests, inbox) = channel();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || Worker::new(root, answers).run(&inbox))?;
        Ok(Self { requests })
    }

    /// Asks; the answer carries `tag`.
    pub fn ask(&self, tag: Tag, request: Request) {
        // The thread ends only after this end is dropped.
        let _ = self.requests.send((tag, request));
    }
}

struct Worker {
    root: PathBuf,
    answers: AnswerSink,
    /// The file system refused O_DIRECT, and the log was told.
    warned: bool,
}

impl Worker {
    fn new(root: PathBuf, answers: AnswerSink) -> Self {
        Self {
            root,
            answers,
            warned: false,
        }
    }

    fn run(mut self, inbox: &Receiver<(Tag, Request)>) {
        while let Ok((tag, request)) = inbox.recv() {
            let mut answer = Answer {
                tag,
                result: Ok(Output::Done),
                opened: None,
                warning: None,
            };
            if let Err(error) = self.serve(request, &mut answer) {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                answer.result = Err(disk_error(errno));
            }
            (self.answers)(answer);
        }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    fn serve(&mut self, request: Request, answer: &mut Answer) -> io::Result<()> {
        match request {
            Request::MakeDir(path) => fs::create_dir_all(self.path(&path)),
            Request::List(path) => {
                answer.result = Ok(Output::Names(list(&self.path(&path))?));
                Ok(())
            }
            Request::Open(file, path, mode) => {
                let (fd, direct) = open(&self.path(&path), mode)?;
                if !direct && !self.warned {
                    self.warned = true;
                    answer.warning = Some(format!(
                        "The file system of {} has no O_DIRECT: the store goes through the page cache",
                        self.root.display()
                    ));
                }
                if matches!(mode, OpenMode::Write { .. }) && !lock(&fd)? {
                    answer.result = Err(DiskError::Locked);
                    return Ok(());
                }
                let length = fd.metadata()?.len();
                answer.result = Ok(Output::Opened { length });
                answer.opened = Some((file, Arc::new(OwnedFd::from(fd))));
                Ok(())
            }
            Request::Close(fd) => {
                drop(fd);
                Ok(())
            }
            // SAFETY: both calls take an open descriptor and plain numbers.
            Request::Allocate(fd, length) => {
                check(unsafe { libc::fallocate(fd.as_raw_fd(), 0, 0, length as libc::off_t) })
            }
            Request::Truncate(fd, length) => {
                check(unsafe { libc::ftruncate(fd.as_raw_fd(), length as libc::off_t) })
            }
            Request::Rename(from, to) => fs::rename(self.path(&from), self.path(&to)),
            Request::Remove(path) => fs::remove_file(self.path(&path)),
            Request::RemoveTree(path) => match fs::remove_dir_all(self.path(&path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                result => result,
            },
            Request::SyncDir(path) => fs::File::open(self.path(&path))?.sync_all(),
        }
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn list(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let data = entry.metadata()?;
        // The store makes no name that is not UTF-8: not ours.
        if let Ok(name) = entry.file_name().into_string() {
            entries.push(DirEntry {
                name,
                is_dir: data.is_dir(),
                length: if data.is_dir() { 0 } else { data.len() },
            });
        }
    }
    Ok(entries)
}

/// The file, and whether it bypasses the page cache.
fn open(path: &Path, mode: OpenMode) -> io::Result<(fs::File, bool)> {
    let with = |flags| {
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(flags);
        if let OpenMode::Write { create } = mode {
            options.write(true).create(create);
        }
        options.mode(0o640).open(path)
    };
    match with(libc::O_DIRECT) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok((with(0)?, false)),
        result => Ok((result?, true)),
    }
}

/// Takes the exclusive lock; false if somebody holds it for [`LOCK_PATIENCE`].
fn lock(file: &fs::File) -> io::Result<bool> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        // SAFETY: an open descriptor and a flag.
        let locked = check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) });
        match locked {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::EWOULDBLOCK) => {
                if Instant::now() >= until {
                    return Ok(false);
                }
                thread::sleep(LOCK_RETRY);
            }
            Err(error) => return Err(error),
        }
    }
}
