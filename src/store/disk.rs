//! What the store asks of a disk, and what it hears back.
//!
//! [`Disk`] is implemented by the runtime (files on io_uring) and by the
//! [simulated disk](super::sim). Nothing here waits: an operation is submitted
//! and its [`Completed`] comes later, in any order.

use std::fmt;
use std::ops::Range;

use super::aligned::Aligned;

/// Unit of every address, offset and length of file data, in bytes (O_DIRECT).
pub const BLOCK: usize = 4096;

/// Whose operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// A log or journal of this core; its number comes back as it is.
    pub owner: u32,
    /// The owner's own number of the operation.
    pub op: u32,
}

/// An open file, named by its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// As in [`Tag::owner`].
    pub owner: u32,
    /// Unique among the owner's open files, and free again after [`Op::Close`] completed.
    pub number: u32,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; the file must exist.
    Read,
    /// For reading and writing, under an exclusive lock on the file that lasts until it is closed
    /// *and* every operation on it is over. A predecessor that was killed with writes in flight
    /// holds it until the kernel is done with them; the runtime retries for a bounded time, then
    /// answers [`DiskError::Locked`].
    Write {
        /// Create the file if there is none.
        create: bool,
    },
}

/// One operation. Paths are relative to the store directory, parts joined by `/`.
///
/// Offsets, lengths and ranges of data are multiples of [`BLOCK`].
#[derive(Debug)]
pub enum Op {
    /// Creates a directory and its parents; one that exists is fine.
    MakeDir { path: String },
    /// Names what is in a directory. [`Output::Names`].
    List { path: String },
    /// Opens a file under a number. [`Output::Opened`].
    Open {
        file: FileId,
        path: String,
        mode: OpenMode,
    },
    /// Closes a file after the operations submitted before.
    Close { file: FileId },
    /// Fills the buffer from the file. [`Output::Read`]; at the end of the file it is short.
    Read {
        file: FileId,
        offset: u64,
        buffer: Aligned,
    },
    /// Writes a part of the buffer. [`Output::Done`], and all of it is written; with `sync` it is
    /// also durable, and so is the file's length (O_DSYNC).
    Write {
        file: FileId,
        offset: u64,
        buffer: Aligned,
        range: Range<usize>,
        sync: bool,
    },
    /// Makes durable what was written before.
    Sync { file: FileId },
    /// Reserves the file's first `length` bytes; what was not written reads as zeros.
    Allocate { file: FileId, length: u64 },
    /// Sets the length; what is behind it is gone, what is new reads as zeros.
    Truncate { file: FileId, length: u64 },
    /// Renames a file over whatever is there.
    Rename { from: String, to: String },
    /// Removes a file.
    Remove { path: String },
    /// Removes a directory with all in it; one that does not exist is fine.
    RemoveTree { path: String },
    /// Makes durable which names are in the directory.
    SyncDir { path: String },
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The last part of the path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length of a file in bytes, 0 for a directory.
    pub length: u64,
}

/// What came of an operation that succeeded.
#[derive(Debug)]
pub enum Output {
    /// Nothing to tell.
    Done,
    /// Of [`Op::List`], in no order.
    Names(Vec<DirEntry>),
    /// Of [`Op::Open`].
    Opened {
        /// The file's length in bytes.
        length: u64,
    },
    /// Of [`Op::Read`].
    Read {
        /// How many bytes of the buffer were filled.
        bytes: usize,
    },
}

/// A completion.
#[derive(Debug)]
pub struct Completed {
    pub tag: Tag,
    pub result: Result<Output, DiskError>,
    /// The buffer of a [`Op::Read`] or [`Op::Write`], also when it failed.
    pub buffer: Option<Aligned>,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No such file or directory.
    NotFound,
    /// There is one already.
    Exists,
    /// The file system or a quota is full.
    NoSpace,
    /// Another process holds the file.
    Locked,
    /// Anything else: the system's error number.
    Io(i32),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such file"),
            Self::Exists => f.write_str("file exists"),
            Self::NoSpace => f.write_str("no space left"),
            Self::Locked => f.write_str("the file is in use by another process"),
            Self::Io(number) => write!(f, "{}", std::io::Error::from_raw_os_error(*number)),
        }
    }
}

impl std::error::Error for DiskError {}

/// Takes operations on behalf of one core.
pub trait Disk {
    /// Starts `op`. The answer carries `tag`; operations may complete in any order, but a
    /// [`Op::Close`] waits for what was submitted for its file before.
    fn submit(&mut self, tag: Tag, op: Op);
}

/// `bytes` rounded up to whole blocks.
pub const fn block_up(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK as u64)
}

/// `bytes` rounded down to whole blocks.
pub const fn block_down(bytes: u64) -> u64 {
    bytes - bytes % BLOCK as u64
}
